//! What an instance is to be: the part that RunInstances and a launch template have in common.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use super::errors;
use super::instance::Market;
use super::ipv6::Ipv6Wish;
use super::tags::{self, Tags};
use crate::region::call::ServiceError;
use crate::region::imds::MetadataOptions;
use crate::region::params::Params;

/// "User data is limited to 16 KB, in raw form, before it is base64-encoded."
const USER_DATA_BYTES_MAX: usize = 16 * 1024;

/// A wish, in parts that may be left open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchSpec {
    pub image: Option<String>,
    pub instance_type: Option<String>,
    pub key_name: Option<String>,
    pub subnet: Option<String>,
    pub address: Option<Ipv4Addr>,
    pub ipv6: Ipv6Wish,
    pub groups: Vec<String>,
    pub interfaces: Vec<InterfaceSpec>,
    /// The instance profile's name or ARN, as given.
    pub profile: Option<ProfileSpec>,
    /// Base64, as given.
    pub user_data: Option<String>,
    pub metadata: MetadataChange,
    pub market: Option<Market>,
    /// By resource type: `instance`, `network-interface`, `volume`, …
    pub tags: BTreeMap<String, Tags>,
}

/// One network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceSpec {
    pub device_index: u32,
    pub subnet: Option<String>,
    pub address: Option<Ipv4Addr>,
    pub secondary: u32,
    pub ipv6: Ipv6Wish,
    pub groups: Vec<String>,
    pub description: Option<String>,
    pub delete_on_termination: Option<bool>,
}

/// An instance profile by name or by ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileSpec {
    Name(String),
    Arn(String),
}

/// What a request sets of the metadata options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetadataChange {
    pub tokens_required: Option<bool>,
    pub hop_limit: Option<u8>,
    pub endpoint_enabled: Option<bool>,
    pub tags_enabled: Option<bool>,
}

impl LaunchSpec {
    /// Reads RunInstances' parameters, or those under `LaunchTemplateData`: they are named alike.
    pub fn of(params: &Params) -> Result<Self, ServiceError> {
        let text = |name: &str| params.get(name).map(str::to_owned);
        let profile = params.structure("IamInstanceProfile");
        let by_name = profile.get("Name").map(|name| ProfileSpec::Name(name.to_owned()));
        let by_arn = profile.get("Arn").map(|arn| ProfileSpec::Arn(arn.to_owned()));
        let interfaces = params.structures("NetworkInterface");
        let spec = Self {
            image: text("ImageId"),
            instance_type: text("InstanceType"),
            key_name: text("KeyName"),
            subnet: text("SubnetId"),
            address: params.number("PrivateIpAddress")?,
            ipv6: Ipv6Wish::of(params, "Ipv6Address")?,
            groups: params.list("SecurityGroupId").into_iter().map(str::to_owned).collect(),
            interfaces: interfaces.iter().map(InterfaceSpec::of).collect::<Result<_, _>>()?,
            profile: by_arn.or(by_name),
            user_data: text("UserData"),
            metadata: MetadataChange::of(&params.structure("MetadataOptions"))?,
            market: params.get("InstanceMarketOptions.MarketType").map(market).transpose()?,
            tags: tags::all_specified(params),
        };
        spec.user_data_bytes()?;
        for (key, value) in spec.tags.values().flatten() {
            tags::allowed(key, value)?;
        }
        Ok(spec)
    }

    /// This wish, with what it leaves open taken from `base`: a request's parameters stand before
    /// those of its launch template.
    pub fn over(self, base: Self) -> Self {
        let mut tags = base.tags;
        for (kind, mine) in self.tags {
            tags.entry(kind).or_default().extend(mine);
        }
        Self {
            image: self.image.or(base.image),
            instance_type: self.instance_type.or(base.instance_type),
            key_name: self.key_name.or(base.key_name),
            subnet: self.subnet.or(base.subnet),
            address: self.address.or(base.address),
            ipv6: if self.ipv6.is_open() { base.ipv6 } else { self.ipv6 },
            groups: if self.groups.is_empty() { base.groups } else { self.groups },
            interfaces: if self.interfaces.is_empty() { base.interfaces } else { self.interfaces },
            profile: self.profile.or(base.profile),
            user_data: self.user_data.or(base.user_data),
            metadata: MetadataChange {
                tokens_required: self.metadata.tokens_required.or(base.metadata.tokens_required),
                hop_limit: self.metadata.hop_limit.or(base.metadata.hop_limit),
                endpoint_enabled: self.metadata.endpoint_enabled.or(base.metadata.endpoint_enabled),
                tags_enabled: self.metadata.tags_enabled.or(base.metadata.tags_enabled),
            },
            market: self.market.or(base.market),
            tags,
        }
    }

    /// The same wish in this subnet, as a group launches it.
    pub fn in_subnet(mut self, subnet: &str) -> Self {
        match self.interfaces.first_mut() {
            Some(primary) => primary.subnet = Some(subnet.to_owned()),
            None => self.subnet = Some(subnet.to_owned()),
        }
        self
    }

    /// The user data that the instance will read.
    pub fn user_data_bytes(&self) -> Result<Option<Bytes>, ServiceError> {
        let Some(encoded) = &self.user_data else { return Ok(None) };
        let compact: String = encoded.split_whitespace().collect();
        let bytes = BASE64.decode(compact).map_err(|_| {
            ServiceError::client(
                "InvalidUserData.Malformed",
                "Invalid BASE64 encoding of user data.",
            )
        })?;
        if bytes.len() > USER_DATA_BYTES_MAX {
            return Err(ServiceError::client(
                "InvalidParameterValue",
                format!("User data is limited to {USER_DATA_BYTES_MAX} bytes"),
            ));
        }
        Ok(Some(Bytes::from(bytes)).filter(|bytes| !bytes.is_empty()))
    }
}

impl InterfaceSpec {
    fn of(params: &Params) -> Result<Self, ServiceError> {
        let mut addresses = params.structures("PrivateIpAddresses").into_iter();
        let primary = addresses.find(|address| address.get("Primary") == Some("true"));
        let listed =
            primary.map(|address| address.number("PrivateIpAddress")).transpose()?.flatten();
        Ok(Self {
            device_index: params.number("DeviceIndex")?.unwrap_or(0),
            subnet: params.get("SubnetId").map(str::to_owned),
            address: params.number("PrivateIpAddress")?.or(listed),
            secondary: params.number("SecondaryPrivateIpAddressCount")?.unwrap_or(0),
            ipv6: Ipv6Wish::of(params, "Ipv6Addresses")?,
            groups: params.list("SecurityGroupId").into_iter().map(str::to_owned).collect(),
            description: params.get("Description").map(str::to_owned),
            delete_on_termination: params.flag("DeleteOnTermination")?,
        })
    }
}

impl MetadataChange {
    /// `HttpTokens`, `HttpPutResponseHopLimit` (1 to 64), `HttpEndpoint`, `InstanceMetadataTags`.
    pub fn of(params: &Params) -> Result<Self, ServiceError> {
        let choice = |name: &str, on: &str, off: &str| match params.get(name) {
            None => Ok(None),
            Some(value) if value == on => Ok(Some(true)),
            Some(value) if value == off => Ok(Some(false)),
            Some(value) => {
                Err(errors::bad_value(value, name, &format!("Valid values are {off} and {on}.")))
            }
        };
        let hop_limit: Option<u8> = params.number("HttpPutResponseHopLimit")?;
        if let Some(hops) = hop_limit.filter(|hops| !(1..=64).contains(hops)) {
            return Err(errors::bad_value(
                &hops.to_string(),
                "HttpPutResponseHopLimit",
                "Valid values are from 1 to 64.",
            ));
        }
        Ok(Self {
            tokens_required: choice("HttpTokens", "required", "optional")?,
            hop_limit,
            endpoint_enabled: choice("HttpEndpoint", "enabled", "disabled")?,
            tags_enabled: choice("InstanceMetadataTags", "enabled", "disabled")?,
        })
    }

    /// Makes the change.
    pub fn apply(self, options: &mut MetadataOptions) {
        options.tokens_required = self.tokens_required.unwrap_or(options.tokens_required);
        options.http_put_response_hop_limit =
            self.hop_limit.unwrap_or(options.http_put_response_hop_limit);
        options.endpoint_enabled = self.endpoint_enabled.unwrap_or(options.endpoint_enabled);
        options.instance_tags_enabled = self.tags_enabled.unwrap_or(options.instance_tags_enabled);
    }
}

fn market(name: &str) -> Result<Market, ServiceError> {
    match name {
        "spot" => Ok(Market::Spot),
        other => Err(errors::bad_value(
            other,
            "InstanceMarketOptions.MarketType",
            "The region offers spot only.",
        )),
    }
}
