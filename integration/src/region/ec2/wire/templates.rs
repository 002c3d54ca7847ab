//! Launch templates and their versions.

use super::instance_item::metadata_options;
use super::{Listing, answer, renamed, second, tag_set};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::launch_spec::{InterfaceSpec, LaunchSpec, MetadataChange, ProfileSpec};
use crate::region::ec2::launch_template::{Author, LaunchTemplate, TemplateName, TemplateVersion};
use crate::region::ec2::{Ec2, tags};
use crate::region::params::Params;
use crate::region::state::State;
use crate::region::xml::Element;

const FILTERS: &[&str] = &["create-time", "launch-template-id", "launch-template-name"];

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = call.params.required("LaunchTemplateName")?;
    let (description, spec) = (description(call), LaunchSpec::of(&data(call)?)?);
    let arn = call.caller.arn();
    let by = Author { arn: &arn, now: call.now };
    let id = state.ec2.create_template(&mut state.ids, name, description, spec, by)?;
    state.ec2.tag(&id, &tags::specified(call.params, "launch-template"))?;
    one(&state.ec2, &TemplateName::Id(id))
}

pub fn create_version(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = name_of(call.params)?;
    let (source, spec) = (call.params.get("SourceVersion"), LaunchSpec::of(&data(call)?)?);
    let arn = call.caller.arn();
    let by = Author { arn: &arn, now: call.now };
    let number = state.ec2.create_template_version(&name, source, description(call), spec, by)?;
    let held = state.ec2.template(&name)?;
    let version = version_item(held, held.version(Some(&number.to_string()))?);
    Ok(Element::answer().with(renamed("launchTemplateVersion", version)))
}

pub fn modify(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = name_of(call.params)?;
    if let Some(version) = call.params.get("SetDefaultVersion") {
        state.ec2.set_default_version(&name, version)?;
    }
    one(&state.ec2, &name)
}

pub fn delete(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let told = one(&state.ec2, &name_of(call.params)?)?;
    state.ec2.delete_template(&name_of(call.params)?)?;
    Ok(told)
}

pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let listing = Listing::of(call.params, "LaunchTemplateId", FILTERS)?;
    let names = call.params.list("LaunchTemplateName");
    let by_id = listing.ids.iter().map(|id| TemplateName::Id(id.to_string()));
    let by_name = names.iter().map(|name| TemplateName::Name(name.to_string()));
    by_id.chain(by_name).try_for_each(|name| ec2.template(&name).map(|_| ()))?;
    let named = ec2.templates.values().filter(|held| {
        listing.names(&held.id) && (names.is_empty() || names.contains(&held.name.as_str()))
    });
    let found = named.filter(|held| {
        listing.filters.want(ec2.tags_of(&held.id), |name| match name {
            "create-time" => vec![second(held.created_at)],
            "launch-template-id" => vec![held.id.clone()],
            _ => vec![held.name.clone()],
        })
    });
    Ok(answer(
        "launchTemplates",
        listing.page.cut(found.map(|held| (held.id.clone(), template_item(ec2, held)))),
    ))
}

/// Of one template; all versions unless some are named.
pub fn describe_versions(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let held = state.ec2.template(&name_of(call.params)?)?;
    let listing = Listing::of(call.params, "LaunchTemplateVersion", &[])?;
    let wanted: Vec<&TemplateVersion> = if listing.ids.is_empty() {
        held.versions.values().collect()
    } else {
        listing.ids.iter().map(|version| held.version(Some(version))).collect::<Result<_, _>>()?
    };
    let items = wanted
        .into_iter()
        .map(|version| (format!("{:020}", version.number), version_item(held, version)));
    Ok(answer("launchTemplateVersionSet", listing.page.cut(items)))
}

/// `LaunchTemplateId` or `LaunchTemplateName`, not both.
pub fn name_of(params: &Params) -> Result<TemplateName, ServiceError> {
    match (params.get("LaunchTemplateId"), params.get("LaunchTemplateName")) {
        (Some(id), None) => Ok(TemplateName::Id(id.to_owned())),
        (None, Some(name)) => Ok(TemplateName::Name(name.to_owned())),
        (None, None) => Err(ServiceError::client(
            "MissingParameter",
            "Either a launch template ID or a launch template name must be specified in the request.",
        )),
        (Some(_), Some(_)) => Err(ServiceError::client(
            "InvalidParameterCombination",
            "Both a launch template ID and a launch template name cannot be specified in the request.",
        )),
    }
}

fn one(ec2: &Ec2, name: &TemplateName) -> Result<Element, ServiceError> {
    Ok(Element::answer().with(renamed("launchTemplate", template_item(ec2, ec2.template(name)?))))
}

fn data(call: &Call<'_>) -> Result<Params, ServiceError> {
    let data = call.params.structure("LaunchTemplateData");
    if data.is_empty() {
        Err(ServiceError::missing_parameter("LaunchTemplateData"))
    } else {
        Ok(data)
    }
}

fn description(call: &Call<'_>) -> Option<String> {
    call.params.get("VersionDescription").map(str::to_owned)
}

fn template_item(ec2: &Ec2, held: &LaunchTemplate) -> Element {
    Element::new("item")
        .field("launchTemplateId", &held.id)
        .field("launchTemplateName", &held.name)
        .field("createTime", second(held.created_at))
        .field("createdBy", &held.created_by)
        .field("defaultVersionNumber", held.default_version)
        .field("latestVersionNumber", held.latest_version())
        .list("tagSet", tag_set(ec2.tags_of(&held.id)))
}

fn version_item(held: &LaunchTemplate, version: &TemplateVersion) -> Element {
    Element::new("item")
        .field("launchTemplateId", &held.id)
        .field("launchTemplateName", &held.name)
        .field("versionNumber", version.number)
        .optional("versionDescription", version.description.as_ref())
        .field("createTime", second(version.created_at))
        .field("createdBy", &version.created_by)
        .field("defaultVersion", version.number == held.default_version)
        .with(data_item(&version.spec))
}

fn data_item(spec: &LaunchSpec) -> Element {
    let mut item = Element::new("launchTemplateData")
        .optional("imageId", spec.image.as_ref())
        .optional("instanceType", spec.instance_type.as_ref())
        .optional("keyName", spec.key_name.as_ref())
        .optional("userData", spec.user_data.as_ref());
    if let Some(profile) = &spec.profile {
        let (name, value) = match profile {
            ProfileSpec::Name(name) => ("name", name),
            ProfileSpec::Arn(arn) => ("arn", arn),
        };
        item.push(Element::new("iamInstanceProfile").field(name, value));
    }
    if let Some(market) = spec.market {
        item.push(Element::new("instanceMarketOptions").field("marketType", market.name()));
    }
    if spec.metadata != MetadataChange::default() {
        let mut options =
            crate::region::imds::MetadataOptions { tokens_required: false, ..Default::default() };
        spec.metadata.apply(&mut options);
        item.push(metadata_options("metadataOptions", &options));
    }
    let tags = spec.tags.iter().map(|(kind, tags)| {
        Element::new("item").field("resourceType", kind).list("tagSet", tag_set(tags))
    });
    item.list("networkInterfaceSet", spec.interfaces.iter().map(interface_item))
        .list("securityGroupIdSet", spec.groups.iter().map(|id| Element::text("item", id)))
        .list("tagSpecificationSet", tags)
}

fn interface_item(spec: &InterfaceSpec) -> Element {
    Element::new("item")
        .field("deviceIndex", spec.device_index)
        .optional("subnetId", spec.subnet.as_ref())
        .optional("privateIpAddress", spec.address)
        .optional("description", spec.description.as_ref())
        .optional("deleteOnTermination", spec.delete_on_termination)
        .field("secondaryPrivateIpAddressCount", spec.secondary)
        .optional("ipv6AddressCount", spec.ipv6.count)
        .list(
            "ipv6AddressesSet",
            spec.ipv6
                .addresses
                .iter()
                .map(|address| Element::new("item").field("ipv6Address", address)),
        )
        .list("groupSet", spec.groups.iter().map(|id| Element::text("groupId", id)))
}
