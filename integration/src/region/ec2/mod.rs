//! EC2, API version 2016-11-15: VPCs, subnets, route tables, interfaces, launch templates and
//! instances.
//!
//! The model is plain data with methods that keep it sound; each refuses with EC2's own code.
//! `wire` turns requests into calls of the model and the model into answers, `access` says what a
//! caller must be allowed.

mod access;
mod announced;
mod attributes;
mod errors;
mod filter;
mod gateway;
mod images;
mod instance;
mod instance_type;
mod interface;
mod ipv6;
mod launch;
mod launch_spec;
mod launch_template;
mod machine;
mod page;
mod route_table;
mod routing;
mod scheduled;
mod spot;
mod subnet;
mod tags;
#[cfg(test)]
mod tests;
mod throttle;
mod transitions;
mod vpc;
mod wire;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;

use time::OffsetDateTime;

pub use self::access::requires;
pub use self::announced::{
    Announced, EventCode, EventState, Interruption, InterruptionAction, ScheduledEvent,
};
pub use self::attributes::InterfaceChange;
pub use self::gateway::InternetGateway;
pub use self::images::{IMAGE_ARM64, IMAGE_X86_64};
pub use self::instance::{Instance, InstanceState, Market, Profile, Reason, Timing};
pub use self::instance_type::InstanceType;
pub use self::interface::{Attachment, NetworkInterface, NewInterface};
pub use self::ipv6::Ipv6Wish;
pub use self::launch::Order;
pub use self::launch_spec::{InterfaceSpec, LaunchSpec, MetadataChange, ProfileSpec};
pub use self::launch_template::{Author, LaunchTemplate, TemplateName, TemplateVersion};
pub(super) use self::page::{Cut, Page};
pub use self::route_table::{
    Associated, Association, Origin, Route, RouteState, RouteTable, Target,
};
pub use self::routing::Towards;
pub use self::spot::INTERRUPTION_NOTICE;
pub use self::subnet::Subnet;
pub use self::tags::Tags;
pub use self::throttle::{Buckets, Limits, Rate};
pub use self::vpc::{Block, SecurityGroup, Vpc};
pub use self::wire::handle;
pub(super) use self::wire::template_name;
use super::state::{Event, State};

/// What EC2 knows. Resources are kept by ID.
#[derive(Clone, Debug)]
pub struct Ec2 {
    region: String,
    account: String,
    /// How long changes take.
    pub timing: Timing,
    /// What is throttled.
    pub limits: Limits,
    /// The quota of routes in one table, for IPv4 and for IPv6.
    pub routes_per_table: usize,
    vpcs: BTreeMap<String, Vpc>,
    security_groups: BTreeMap<String, SecurityGroup>,
    subnets: BTreeMap<String, Subnet>,
    route_tables: BTreeMap<String, RouteTable>,
    gateways: BTreeMap<String, InternetGateway>,
    interfaces: BTreeMap<String, NetworkInterface>,
    templates: BTreeMap<String, LaunchTemplate>,
    instances: BTreeMap<String, Instance>,
    /// Which instances change by themselves, and when.
    agenda: BTreeSet<(OffsetDateTime, String)>,
    /// To which instances something is done that was announced, and when.
    appointments: BTreeSet<(OffsetDateTime, String)>,
    /// Architectures by image ID.
    images: BTreeMap<String, &'static str>,
    tags: BTreeMap<String, Tags>,
    /// What happened since the region last asked.
    events: Vec<Event>,
    /// Grows with whatever a packet may feel.
    network_version: u64,
}

impl Ec2 {
    /// A region without anything in it but two images.
    pub fn new(region: &str, account: &str) -> Self {
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            timing: Timing::default(),
            limits: Limits::default(),
            routes_per_table: routing::ROUTES_PER_TABLE,
            vpcs: BTreeMap::new(),
            security_groups: BTreeMap::new(),
            subnets: BTreeMap::new(),
            route_tables: BTreeMap::new(),
            gateways: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            templates: BTreeMap::new(),
            instances: BTreeMap::new(),
            agenda: BTreeSet::new(),
            appointments: BTreeSet::new(),
            images: images::offered(),
            tags: BTreeMap::new(),
            events: Vec::new(),
            network_version: 0,
        }
    }

    /// Every instance that is still listed, terminated ones too, by ID.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// The instance of that ID, while it is listed.
    pub fn instance(&self, id: &str) -> Option<&Instance> {
        self.instances.get(id)
    }

    pub fn vpcs(&self) -> impl Iterator<Item = &Vpc> {
        self.vpcs.values()
    }

    pub fn subnets(&self) -> impl Iterator<Item = &Subnet> {
        self.subnets.values()
    }

    pub fn route_tables(&self) -> impl Iterator<Item = &RouteTable> {
        self.route_tables.values()
    }

    pub fn network_interfaces(&self) -> impl Iterator<Item = &NetworkInterface> {
        self.interfaces.values()
    }

    /// Another number after each change of routes, interfaces or states of instances.
    pub fn network_version(&self) -> u64 {
        self.network_version
    }

    /// When the next state moves by itself.
    pub fn next_deadline(&self) -> Option<OffsetDateTime> {
        self.next_change()
    }

    /// To be called by whatever changes routes, interfaces or states of instances.
    fn touch_network(&mut self) {
        self.network_version += 1;
    }

    /// `arn:aws:ec2:eu-west-1:123456789012:KIND/ID`
    fn arn(&self, kind: &str, id: &str) -> String {
        format!("arn:aws:ec2:{}:{}:{kind}/{id}", self.region, self.account)
    }
}

/// Moves every state whose time has come, and tells what happened.
pub fn advance(state: &mut State, now: OffsetDateTime) {
    if state.ec2.next_change().is_some_and(|at| at <= now) {
        state.ec2.advance_instances(now);
    }
    if state.ec2.events.is_empty() {
        return;
    }
    let happened = take(&mut state.ec2.events);
    state.autoscaling.notice(&happened);
    state.events.extend(happened);
}
