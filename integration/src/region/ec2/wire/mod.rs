//! EC2's query protocol: which action is which function, and what all of them share.
//!
//! Names are those of the EC2 API Reference, 2016-11-15.

mod attributes;
mod catalogue;
mod gateways;
mod instance_item;
mod instances;
mod interfaces;
mod route_tables;
mod routes;
mod run;
mod statuses;
mod subnets;
mod tagging;
mod templates;
mod vpcs;

use time::OffsetDateTime;

use super::filter::Filters;
use super::page::{Cut, Page};
use super::tags::Tags;
use crate::region::call::{Call, ServiceError};
use crate::region::params::Params;
use crate::region::state::State;
use crate::region::xml::{Element, timestamp};

pub(super) use self::run::wish;
pub use self::templates::name_of as template_name;

type Action = fn(&mut State, &Call<'_>) -> Result<Element, ServiceError>;

/// One action of EC2's query protocol.
pub fn handle(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let action = named(call.action).ok_or_else(|| ServiceError::invalid_action(call.action))?;
    state.ec2_buckets.take(call.action, &state.ec2.limits, call.now)?;
    if call.params.flag("DryRun")? == Some(true) {
        let message = "Request would have succeeded, but DryRun flag is set.";
        return Err(ServiceError::new(412, "DryRunOperation", message));
    }
    action(state, call)
}

fn named(action: &str) -> Option<Action> {
    Some(match action {
        "AssignIpv6Addresses" => interfaces::assign_ipv6,
        "AssociateRouteTable" => route_tables::associate,
        "AssociateSubnetCidrBlock" => subnets::associate_block,
        "AssociateVpcCidrBlock" => vpcs::associate_block,
        "AttachInternetGateway" => gateways::attach,
        "CreateInternetGateway" => gateways::create,
        "CreateLaunchTemplate" => templates::create,
        "CreateLaunchTemplateVersion" => templates::create_version,
        "CreateRoute" => routes::create,
        "CreateRouteTable" => route_tables::create,
        "CreateSecurityGroup" => vpcs::create_group,
        "CreateSubnet" => subnets::create,
        "CreateTags" => tagging::create,
        "CreateVpc" => vpcs::create,
        "DeleteLaunchTemplate" => templates::delete,
        "DeleteRoute" => routes::delete,
        "DeleteTags" => tagging::delete,
        "DescribeAvailabilityZones" => catalogue::zones,
        "DescribeImages" => catalogue::images,
        "DescribeInstanceStatus" => statuses::describe,
        "DescribeInstanceTypes" => catalogue::types,
        "DescribeInstances" => instances::describe,
        "DescribeInternetGateways" => gateways::describe,
        "DescribeLaunchTemplateVersions" => templates::describe_versions,
        "DescribeLaunchTemplates" => templates::describe,
        "DescribeNetworkInterfaces" => interfaces::describe,
        "DescribeRegions" => catalogue::regions,
        "DescribeRouteTables" => route_tables::describe,
        "DescribeSecurityGroups" => vpcs::describe_groups,
        "DescribeSubnets" => subnets::describe,
        "DescribeTags" => tagging::describe,
        "DescribeVpcs" => vpcs::describe,
        "DetachInternetGateway" => gateways::detach,
        "DisassociateRouteTable" => route_tables::disassociate,
        "ModifyInstanceAttribute" => attributes::modify_instance,
        "ModifyInstanceMetadataOptions" => run::modify_metadata,
        "ModifyLaunchTemplate" => templates::modify,
        "ModifyNetworkInterfaceAttribute" => attributes::modify_interface,
        "ModifySubnetAttribute" => subnets::modify,
        "RebootInstances" => run::reboot,
        "ReplaceRoute" => routes::replace,
        "RunInstances" => run::run,
        "StartInstances" => run::start,
        "StopInstances" => run::stop,
        "TerminateInstances" => run::terminate,
        "UnassignIpv6Addresses" => interfaces::unassign_ipv6,
        _ => return None,
    })
}

/// What a Describe action asks for: IDs, filters and a page.
struct Listing<'a> {
    ids: Vec<&'a str>,
    filters: Filters,
    page: Page,
}

impl<'a> Listing<'a> {
    /// IDs beside `MaxResults` are refused, as EC2 does.
    fn of(params: &'a Params, ids: &str, filters: &[&str]) -> Result<Self, ServiceError> {
        Self::of_at_most(params, ids, filters, 1000)
    }

    /// The same for an action with smaller pages.
    fn of_at_most(
        params: &'a Params,
        ids: &str,
        filters: &[&str],
        most: usize,
    ) -> Result<Self, ServiceError> {
        let named = params.list(ids);
        if !named.is_empty() && params.get("MaxResults").is_some() {
            return Err(ServiceError::client(
                "InvalidParameterCombination",
                format!("The parameter {ids} cannot be used with the parameter MaxResults"),
            ));
        }
        Ok(Self {
            ids: named,
            filters: Filters::of(params, filters)?,
            page: Page::of(params, 5..=most)?,
        })
    }

    /// Whether the resource is among the IDs, if there are any.
    fn names(&self, id: &str) -> bool {
        self.ids.is_empty() || self.ids.contains(&id)
    }
}

/// Answers with `set` around the items and the token for more.
fn answer(set: &str, cut: Cut<Element>) -> Element {
    Element::answer().list(set, cut.items).optional("nextToken", cut.next_token)
}

/// What actions say that have nothing to tell.
fn done() -> Element {
    Element::answer().field("return", true)
}

/// `NAME` with the children of an item: what Create actions answer.
fn renamed(name: &str, item: Element) -> Element {
    item.into_children().into_iter().fold(Element::new(name), Element::with)
}

fn tag_set(tags: &Tags) -> Vec<Element> {
    tags.iter()
        .map(|(key, value)| Element::new("item").field("key", key).field("value", value))
        .collect()
}

/// EC2 tells the time of its resources to the second.
fn second(at: OffsetDateTime) -> String {
    timestamp(at.replace_nanosecond(0).unwrap_or(at))
}
