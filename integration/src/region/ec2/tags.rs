//! Tags of every resource: EC2 User Guide, "Tag your Amazon EC2 resources".

use std::collections::BTreeMap;

use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::params::Params;

/// Keys and values.
pub type Tags = BTreeMap<String, String>;

const TAGS_MAX: usize = 50;
const KEY_CHARACTERS_MAX: usize = 128;
const VALUE_CHARACTERS_MAX: usize = 256;

static NONE: Tags = Tags::new();

impl Ec2 {
    /// The tags of a resource of any kind.
    pub fn tags_of(&self, resource: &str) -> &Tags {
        self.tags.get(resource).unwrap_or(&NONE)
    }

    /// Adds tags, or gives them new values. The resource must exist.
    pub fn tag(&mut self, resource: &str, tags: &Tags) -> Result<(), ServiceError> {
        self.may_tag(resource, tags)?;
        self.tag_as_aws(resource, tags);
        Ok(())
    }

    /// Whether a resource exists and may have these tags besides those that it has.
    pub fn may_tag(&self, resource: &str, tags: &Tags) -> Result<(), ServiceError> {
        self.ensure_exists(resource)?;
        tags.iter().try_for_each(|(key, value)| allowed(key, value))?;
        if self.instances.get(resource).is_some_and(|held| held.metadata.instance_tags_enabled) {
            tags.keys().try_for_each(|key| fit_for_metadata(key))?;
        }
        let held = self.tags_of(resource);
        let new = tags.keys().filter(|key| !held.contains_key(*key)).count();
        if held.len() + new > TAGS_MAX {
            return Err(ServiceError::client(
                "TagLimitExceeded",
                format!("You have reached the maximum of {TAGS_MAX} tags on resource '{resource}'"),
            ));
        }
        Ok(())
    }

    /// Takes away a tag; with a value only if it has that one.
    pub fn untag(
        &mut self,
        resource: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), ServiceError> {
        self.ensure_exists(resource)?;
        if let Some(held) = self.tags.get_mut(resource)
            && value.is_none_or(|value| held.get(key).is_some_and(|held| held == value))
        {
            held.remove(key);
        }
        Ok(())
    }

    /// All tags there are: resource, key, value.
    pub fn all_tags(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.tags.iter().flat_map(|(id, tags)| {
            tags.iter().map(move |(key, value)| (id.as_str(), key.as_str(), value.as_str()))
        })
    }

    /// Puts tags on what the region itself makes, `aws:` keys too.
    /// Takes away a tag that only AWS may set.
    pub fn untag_as_aws(&mut self, resource: &str, key: &str) {
        if let Some(tags) = self.tags.get_mut(resource) {
            tags.remove(key);
        }
    }

    pub(super) fn tag_as_aws(&mut self, resource: &str, tags: &Tags) {
        if !tags.is_empty() {
            self.tags.entry(resource.to_owned()).or_default().extend(tags.clone());
        }
    }

    fn ensure_exists(&self, id: &str) -> Result<(), ServiceError> {
        let (exists, missing) = match kind_of(id) {
            Some("instance") => (self.instances.contains_key(id), errors::no_instances(&[id])),
            Some("vpc") => (self.vpcs.contains_key(id), errors::no_vpc(id)),
            Some("subnet") => (self.subnets.contains_key(id), errors::no_subnet(id)),
            Some("route-table") => (self.route_tables.contains_key(id), errors::no_route_table(id)),
            Some("network-interface") => {
                (self.interfaces.contains_key(id), errors::no_interface(id))
            }
            Some("security-group") => {
                (self.security_groups.contains_key(id), errors::no_security_group(id))
            }
            Some("internet-gateway") => {
                (self.gateways.contains_key(id), errors::no_internet_gateway(id))
            }
            Some("launch-template") => (self.templates.contains_key(id), no_template(id)),
            _ => (false, ServiceError::client("InvalidID", format!("The ID '{id}' is not valid"))),
        };
        if exists { Ok(()) } else { Err(missing) }
    }
}

/// The resource type that an ID's prefix means, as in ARNs and tag specifications.
pub fn kind_of(id: &str) -> Option<&'static str> {
    let (prefix, _) = id.rsplit_once('-')?;
    Some(match prefix {
        "i" => "instance",
        "vpc" => "vpc",
        "subnet" => "subnet",
        "rtb" => "route-table",
        "eni" => "network-interface",
        "sg" => "security-group",
        "igw" => "internet-gateway",
        "lt" => "launch-template",
        "ami" => "image",
        _ => return None,
    })
}

/// `TagSpecification.N`: the tags for one type of resource, out of those for several.
pub fn specified(params: &Params, kind: &str) -> Tags {
    all_specified(params).remove(kind).unwrap_or_default()
}

/// `TagSpecification.N`: tags by resource type.
pub fn all_specified(params: &Params) -> BTreeMap<String, Tags> {
    let mut found: BTreeMap<String, Tags> = BTreeMap::new();
    for specification in params.structures("TagSpecification") {
        let kind = specification.get("ResourceType").unwrap_or_default().to_owned();
        found.entry(kind).or_default().extend(listed(&specification));
    }
    found
}

/// `Tag.N.Key`, `Tag.N.Value`; a tag without a value has an empty one.
pub fn listed(params: &Params) -> Tags {
    let tags = params.structures("Tag").into_iter();
    tags.filter_map(|tag| {
        Some((tag.get("Key")?.to_owned(), tag.get("Value").unwrap_or_default().to_owned()))
    })
    .collect()
}

/// What a user may set.
pub(super) fn allowed(key: &str, value: &str) -> Result<(), ServiceError> {
    let refuse = |what: String| Err(ServiceError::client("InvalidParameterValue", what));
    if key.to_lowercase().starts_with("aws:") {
        return refuse(format!(
            "Tag keys starting with 'aws:' are reserved for internal use: {key}"
        ));
    }
    if key.is_empty() || key.chars().count() > KEY_CHARACTERS_MAX {
        return refuse(format!(
            "Tag key exceeds the maximum length of {KEY_CHARACTERS_MAX} characters"
        ));
    }
    if value.chars().count() > VALUE_CHARACTERS_MAX {
        return refuse(format!(
            "Tag value exceeds the maximum length of {VALUE_CHARACTERS_MAX} characters"
        ));
    }
    Ok(())
}

/// EC2 User Guide, "View tags for your EC2 instances using instance metadata": a key becomes a
/// path there, so an instance that shows its tags has none with a slash or a space.
pub(super) fn fit_for_metadata(key: &str) -> Result<(), ServiceError> {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "-_+=,.@:".contains(letter);
    if key.chars().all(letter) && ![".", "..", "_index"].contains(&key) {
        return Ok(());
    }
    Err(ServiceError::client(
        "InvalidParameterValue",
        format!(
            "'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), and must not be a reserved name ('.', '..', '_index')"
        ),
    ))
}

fn no_template(id: &str) -> ServiceError {
    ServiceError::client(
        "InvalidLaunchTemplateId.NotFound",
        format!("The specified launch template, with template ID {id}, does not exist."),
    )
}
