//! Launching: from a wish to pending instances with their interfaces.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::announced::Announced;
use super::instance::{Instance, InstanceState, Profile};
use super::instance_type::{self, InstanceType};
use super::interface::{Attachment, NewInterface};
use super::ipv6::ensure_room;
use super::launch_spec::{InterfaceSpec, LaunchSpec, ProfileSpec};
use super::tags::{self, Tags};
use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::iam::Iam;
use crate::region::ids::Ids;
use crate::region::imds::MetadataOptions;
use crate::region::state::Event;

/// How many, of what, for whom.
#[derive(Clone, Debug)]
pub struct Order {
    pub spec: LaunchSpec,
    pub count: u32,
    /// Two orders with the same token are one.
    pub client_token: Option<String>,
    /// Tags that only AWS may set, as a group's name.
    pub aws_tags: Tags,
    pub now: OffsetDateTime,
}

/// A wish in which nothing is open any more.
struct Resolved {
    spec: LaunchSpec,
    image: String,
    of_type: &'static InstanceType,
    interfaces: Vec<InterfaceSpec>,
    profile: Option<Profile>,
    metadata: MetadataOptions,
}

impl Ec2 {
    /// Launches all of them or, with an error, none. The answer is their IDs.
    pub fn launch(
        &mut self,
        ids: &mut Ids,
        iam: &Iam,
        order: &Order,
    ) -> Result<Vec<String>, ServiceError> {
        if let Some(earlier) = self.launched_with(order.client_token.as_deref()) {
            return Ok(earlier);
        }
        let resolved = self.resolve(iam, order.spec.clone())?;
        let reservation = ids.resource("r");
        let mut launched = Vec::new();
        for index in 0..order.count {
            match self.launch_one(ids, order, &resolved, &reservation, index) {
                Ok(id) => launched.push(id),
                Err(refused) => {
                    launched.iter().for_each(|id| self.forget(id));
                    return Err(refused);
                }
            }
        }
        launched.iter().for_each(|id| self.events.push(Event::InstancePending { id: id.clone() }));
        Ok(launched)
    }

    /// EC2 API Reference, "Ensuring idempotency".
    fn launched_with(&self, client_token: Option<&str>) -> Option<Vec<String>> {
        let token = client_token?;
        let same =
            self.instances.values().filter(|held| held.client_token.as_deref() == Some(token));
        let earlier: BTreeMap<u32, String> =
            same.map(|held| (held.launch_index, held.id.clone())).collect();
        Some(earlier.into_values().collect()).filter(|ids: &Vec<String>| !ids.is_empty())
    }

    fn resolve(&self, iam: &Iam, spec: LaunchSpec) -> Result<Resolved, ServiceError> {
        let image = spec.image.clone().ok_or_else(|| ServiceError::missing_parameter("ImageId"))?;
        let architecture = self.images.get(&image).ok_or_else(|| errors::no_image(&image))?;
        let of_type = spec.instance_type.as_deref();
        let of_type = of_type.ok_or_else(|| ServiceError::missing_parameter("InstanceType"))?;
        let of_type = instance_type::named(of_type)?;
        if of_type.architecture != *architecture {
            return Err(ServiceError::client(
                "InvalidParameterValue",
                format!(
                    "The architecture '{}' of the specified instance type does not match the architecture '{architecture}' of the specified AMI.",
                    of_type.architecture
                ),
            ));
        }
        let mut metadata = MetadataOptions { tokens_required: false, ..MetadataOptions::default() };
        spec.metadata.apply(&mut metadata);
        if metadata.instance_tags_enabled {
            let mut keys = spec.tags.get("instance").into_iter().flat_map(Tags::keys);
            keys.try_for_each(|key| tags::fit_for_metadata(key))?;
        }
        let profile = spec.profile.as_ref().map(|profile| profile_of(iam, profile)).transpose()?;
        let interfaces = interfaces_of(&spec, of_type)?;
        Ok(Resolved { spec, image, of_type, interfaces, profile, metadata })
    }

    fn launch_one(
        &mut self,
        ids: &mut Ids,
        order: &Order,
        resolved: &Resolved,
        reservation: &str,
        launch_index: u32,
    ) -> Result<String, ServiceError> {
        let id = ids.resource("i");
        let interfaces = self.attach_all(ids, &id, &resolved.interfaces, order.now)?;
        let primary = self.interface(&interfaces[0])?.clone();
        let instance = Instance {
            id: id.clone(),
            reservation: reservation.to_owned(),
            launch_index,
            client_token: order.client_token.clone(),
            image: resolved.image.clone(),
            instance_type: resolved.of_type.name.to_owned(),
            architecture: resolved.of_type.architecture,
            state: InstanceState::Pending { until: order.now + self.timing.pending },
            launched_at: order.now,
            visible_at: order.now + self.timing.unseen,
            settled_at: order.now + self.timing.pending + self.timing.settling,
            reason: None,
            announced: Announced::default(),
            metadata: resolved.metadata.clone(),
            user_data: resolved.spec.user_data_bytes()?,
            profile: resolved.profile.clone(),
            market: resolved.spec.market.unwrap_or_default(),
            key_name: resolved.spec.key_name.clone(),
            address: primary.address(),
            private_dns_name: self.private_dns_name(primary.address()),
            vpc: primary.vpc,
            subnet: primary.subnet,
            zone: primary.zone,
            interfaces,
        };
        let pending = instance.state;
        self.instances.insert(id.clone(), instance);
        self.enter(&id, pending, None);
        self.tag_launched(&id, &resolved.spec, &order.aws_tags);
        Ok(id)
    }

    /// The interfaces' IDs in the order of their device indices; with an error none is left.
    fn attach_all(
        &mut self,
        ids: &mut Ids,
        instance: &str,
        specs: &[InterfaceSpec],
        now: OffsetDateTime,
    ) -> Result<Vec<String>, ServiceError> {
        let mut attached = Vec::new();
        for spec in specs {
            match self.attach_new(ids, instance, spec, now) {
                Ok(id) => attached.push(id),
                Err(refused) => {
                    attached.iter().for_each(|id| drop(self.interfaces.remove(id)));
                    return Err(refused);
                }
            }
        }
        Ok(attached)
    }

    fn attach_new(
        &mut self,
        ids: &mut Ids,
        instance: &str,
        spec: &InterfaceSpec,
        now: OffsetDateTime,
    ) -> Result<String, ServiceError> {
        let new = NewInterface {
            subnet: spec.subnet.clone().ok_or_else(no_subnet_given)?,
            groups: spec.groups.clone(),
            primary: spec.address,
            secondary: spec.secondary,
            ipv6: spec.ipv6.clone(),
            description: spec.description.clone().unwrap_or_default(),
        };
        let id = self.create_interface(ids, &new)?;
        let attachment = Attachment {
            id: ids.resource("eni-attach"),
            instance: instance.to_owned(),
            device_index: spec.device_index,
            attached_at: now,
            delete_on_termination: spec.delete_on_termination.unwrap_or(true),
        };
        if let Some(interface) = self.interfaces.get_mut(&id) {
            interface.attachment = Some(attachment);
        }
        Ok(id)
    }

    fn tag_launched(&mut self, id: &str, spec: &LaunchSpec, aws_tags: &Tags) {
        let interfaces =
            self.instances.get(id).map(|held| held.interfaces.clone()).unwrap_or_default();
        for (kind, tags) in &spec.tags {
            match kind.as_str() {
                "instance" => self.tag_as_aws(id, tags),
                "network-interface" => {
                    interfaces.iter().for_each(|interface| self.tag_as_aws(interface, tags))
                }
                _ => {}
            }
        }
        self.tag_as_aws(id, aws_tags);
    }

    /// Undoes a launch of which nobody has heard.
    fn forget(&mut self, instance: &str) {
        self.tags.remove(instance);
        self.agenda.retain(|(_, id)| id != instance);
        let interfaces =
            self.instances.remove(instance).map(|held| held.interfaces).unwrap_or_default();
        for id in interfaces {
            self.interfaces.remove(&id);
            self.tags.remove(&id);
        }
    }
}

/// The interfaces asked for, or one in the instance's subnet.
fn interfaces_of(
    spec: &LaunchSpec,
    of_type: &InstanceType,
) -> Result<Vec<InterfaceSpec>, ServiceError> {
    if spec.interfaces.is_empty() {
        ensure_room(of_type, spec.ipv6.asked())?;
        return Ok(vec![InterfaceSpec {
            subnet: spec.subnet.clone(),
            address: spec.address,
            ipv6: spec.ipv6.clone(),
            groups: spec.groups.clone(),
            ..InterfaceSpec::default()
        }]);
    }
    if spec.subnet.is_some() || !spec.groups.is_empty() || !spec.ipv6.is_open() {
        return Err(ServiceError::client(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level subnet ID, security groups or IPv6 addresses may not be specified on the same request",
        ));
    }
    let mut interfaces = spec.interfaces.clone();
    interfaces.iter().try_for_each(|held| ensure_room(of_type, held.ipv6.asked()))?;
    interfaces.sort_by_key(|interface| interface.device_index);
    let distinct = interfaces.windows(2).all(|pair| pair[0].device_index != pair[1].device_index);
    if interfaces[0].device_index != 0 || !distinct {
        return Err(ServiceError::client(
            "InvalidParameterValue",
            "Each network interface requires a device index of its own, the primary one 0.",
        ));
    }
    if interfaces.len() > of_type.interfaces as usize {
        return Err(ServiceError::client(
            "AttachmentLimitExceeded",
            format!("Interface count {} exceeds the limit for {}", interfaces.len(), of_type.name),
        ));
    }
    Ok(interfaces)
}

fn profile_of(iam: &Iam, profile: &ProfileSpec) -> Result<Profile, ServiceError> {
    let (given, parameter, role) = match profile {
        ProfileSpec::Name(name) => (name, "iamInstanceProfile.name", iam.role(name)),
        ProfileSpec::Arn(arn) => (arn, "iamInstanceProfile.arn", iam.role_of_profile(arn)),
    };
    let role = role
        .ok_or_else(|| errors::bad_value(given, parameter, "Invalid IAM Instance Profile name"))?;
    Ok(Profile { arn: iam.profile_arn(&role.name), id: role.profile_id.clone() })
}

fn no_subnet_given() -> ServiceError {
    ServiceError::client(
        "MissingInput",
        "No subnets found for the default VPC. Please specify a subnet.",
    )
}
