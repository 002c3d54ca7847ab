//! Every instance of a cluster in one row: what everybody says of it side by side, and in one
//! sentence why it is no Ready node. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::kubernetes::KubeNode;
use super::nodes::Known;
use crate::client::ec2::{Instance, State};
use crate::exchange::{Denied, Grant, InstanceId};
use crate::report::{Report, Stage};

/// An admitter answers within seconds; after this something is wrong with it.
const ANSWER: Duration = Duration::seconds(30);
/// A machine that has not asked by then does not run Windlass, or cannot reach S3.
const ASK: Duration = Duration::minutes(3);

/// One instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub instance: InstanceId,
    /// The Node's name, once there is one.
    pub node: Option<String>,
    pub group: Option<String>,
    /// As EC2 calls it; `unknown` where EC2 does not list it (any more).
    pub state: String,
    pub zone: Option<String>,
    pub instance_type: Option<String>,
    /// The revision that it booted with.
    pub revision: Option<String>,
    /// Whether its group has another revision by now.
    pub behind: Option<bool>,
    /// Its lease.
    pub pod_cidrs: Vec<IpNet>,
    pub grant: GrantState,
    /// Unknown without an API server.
    pub ready: Option<bool>,
    pub cordoned: bool,
    pub age_seconds: Option<i64>,
    /// Why it is not a Ready node.
    pub why_not: Option<String>,
}

/// How far the admission of an instance got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    None,
    Asked,
    Granted,
    Denied,
}

/// One row an instance that EC2 lists, that holds a lease or that waits for an answer; by group,
/// the oldest first.
pub fn rows(known: &Known, now: OffsetDateTime) -> Vec<Row> {
    let instances: BTreeMap<&InstanceId, &Instance> =
        known.instances.iter().map(|instance| (&instance.id, instance)).collect();
    let holders = known.leases.leases.values().map(|lease| &lease.instance);
    let ids: BTreeSet<&InstanceId> =
        instances.keys().copied().chain(holders).chain(known.requests.keys()).collect();
    let row = |id: &InstanceId| Seen { id, known, instance: instances.get(id).copied(), now }.row();
    let mut rows: Vec<Row> = ids.into_iter().map(row).collect();
    rows.sort_by_key(|row| (row.group.clone(), std::cmp::Reverse(row.age_seconds)));
    rows
}

/// One instance, by everybody's word.
struct Seen<'a> {
    id: &'a InstanceId,
    known: &'a Known,
    instance: Option<&'a Instance>,
    now: OffsetDateTime,
}

impl Seen<'_> {
    fn row(&self) -> Row {
        let (grant, report, node) = (self.grant(), self.report(), self.node());
        let name =
            node.map(|node| node.name.clone()).or_else(|| grant.map(|grant| grant.node.clone()));
        let revision = report.and_then(|report| report.revision.clone());
        let group = self.group();
        let pointer = group.as_ref().and_then(|group| self.known.pointers.get(group));
        let behind = revision.as_ref().zip(pointer).map(|(own, now)| *own != now.revision);
        Row {
            instance: self.id.clone(),
            node: name,
            group,
            state: self.instance.map_or("unknown", |instance| instance.state.as_str()).to_owned(),
            zone: self.instance.map(|instance| instance.zone.clone()),
            instance_type: self.instance.map(|instance| instance.instance_type.clone()),
            revision,
            behind,
            pod_cidrs: self.known.leases.held_by(self.id),
            grant: self.grant_state(),
            ready: self.known.nodes.is_some().then(|| node.is_some_and(|node| node.ready)),
            cordoned: node.is_some_and(|node| node.cordoned),
            age_seconds: self.age().map(Duration::whole_seconds),
            why_not: self.why_not(),
        }
    }

    fn grant(&self) -> Option<&Grant> {
        self.known.grants.get(self.id)
    }

    fn denied(&self) -> Option<&Denied> {
        self.known.denials.get(self.id)
    }

    fn report(&self) -> Option<&Report> {
        self.known.reports.get(self.id)
    }

    fn node(&self) -> Option<&KubeNode> {
        self.known.nodes.as_ref()?.get(self.id)
    }

    fn age(&self) -> Option<Duration> {
        self.instance.map(|instance| self.now - instance.launched)
    }

    /// By the one who decided it, then by whoever claims it.
    fn group(&self) -> Option<String> {
        let granted = self.grant().map(|grant| grant.group.clone());
        let labelled = || self.node().and_then(|node| node.group.clone());
        let reported = || self.report().map(|report| report.group.clone());
        granted.or_else(labelled).or_else(reported)
    }

    fn grant_state(&self) -> GrantState {
        match (self.grant(), self.denied(), self.known.requests.get(self.id)) {
            (Some(_), _, _) => GrantState::Granted,
            (None, _, Some(_)) => GrantState::Asked,
            (None, Some(_), None) => GrantState::Denied,
            (None, None, None) => GrantState::None,
        }
    }

    /// The first thing that stands between this instance and a Ready node.
    fn why_not(&self) -> Option<String> {
        let Some(instance) = self.instance else {
            return Some("EC2 does not list it; its lease ends when that is certain".to_owned());
        };
        if !matches!(instance.state, State::Pending | State::Running) {
            return None;
        }
        match self.grant_state() {
            GrantState::Denied => self.denied().map(|denied| format!("denied: {}", denied.message)),
            GrantState::Asked => Some(self.unanswered()),
            GrantState::None => Some(self.silent()),
            GrantState::Granted => self.not_ready(),
        }
    }

    fn unanswered(&self) -> String {
        let waits = self.known.requests.get(self.id).map_or(Duration::ZERO, |at| self.now - *at);
        let seconds = waits.whole_seconds();
        match waits > ANSWER {
            true => format!("asked {seconds} s ago, no answer: is `windlass admit` running?"),
            false => format!("asked {seconds} s ago"),
        }
    }

    fn silent(&self) -> String {
        if let Some(failure) = self.report().and_then(|report| report.failure.as_ref()) {
            return failure.clone();
        }
        if self.report().is_some_and(|report| report.stage == Stage::WarmPool) {
            return "prepared, and rests in its group's warm pool".to_owned();
        }
        match self.age().is_some_and(|age| age > ASK) {
            true => format!(
                "has not asked: aws ec2 get-console-output --latest --output text --instance-id {}",
                self.id
            ),
            false => "has not asked yet".to_owned(),
        }
    }

    fn not_ready(&self) -> Option<String> {
        let failure = self.report().and_then(|report| report.failure.clone());
        match (&self.known.nodes, self.node()) {
            (Some(_), Some(node)) if node.ready => None,
            (Some(_), Some(node)) => Some(failure.unwrap_or_else(|| node.message.clone())),
            (Some(_), None) => Some(failure.unwrap_or("granted, but there is no Node".to_owned())),
            (None, _) => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use time::macros::datetime;

    use super::*;
    use crate::admit::lease::Holder;
    use crate::admit::terrain::Terrain;
    use crate::config::Network;

    const NOW: OffsetDateTime = datetime!(2026-11-23 07:00 UTC);

    fn id(number: u32) -> InstanceId {
        format!("i-{number:017x}").parse().expect("an instance id")
    }

    fn running(number: u32, age: Duration) -> Instance {
        Instance {
            id: id(number),
            state: State::Running,
            launched: NOW - age,
            vpc: None,
            instance_profile: None,
            tags: BTreeMap::new(),
            zone: "eu-west-1a".into(),
            instance_type: "m7g.large".into(),
            network_interface: None,
            source_dest_check: false,
            private_ip: None,
            private_dns: None,
            addresses: BTreeSet::new(),
            dns_names: BTreeSet::new(),
        }
    }

    fn grant(number: u32) -> Grant {
        Grant {
            version: 1,
            instance: id(number),
            node: id(number).to_string(),
            group: "workers".into(),
            certificate: String::new(),
            not_after: NOW,
            pod_cidrs: Vec::new(),
            at: NOW,
            public_key_sha256: String::new(),
        }
    }

    fn node(ready: bool, message: &str) -> KubeNode {
        KubeNode {
            name: "n".into(),
            group: None,
            ready,
            message: message.into(),
            cordoned: false,
            kubelet_version: "v1.37.2".into(),
        }
    }

    fn denied(number: u32) -> Denied {
        let message = "role AROAX is not listed for group `workers`".into();
        Denied {
            version: 1,
            instance: id(number),
            reason: "role-not-listed".into(),
            message,
            at: NOW,
        }
    }

    fn only(known: &Known) -> Row {
        let rows = rows(known, NOW);
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.into_iter().next().expect("one")
    }

    /// What one running instance of a minute is said to lack.
    fn why_not(know: impl FnOnce(&mut Known)) -> Option<String> {
        let mut known =
            Known { instances: vec![running(1, Duration::minutes(1))], ..Known::default() };
        know(&mut known);
        only(&known).why_not
    }

    #[test]
    fn the_first_thing_in_the_way_is_said() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(why_not(|_| ()), some("has not asked yet"));
        let requested = |seconds| {
            why_not(|known| {
                known.requests.insert(id(1), NOW - Duration::seconds(seconds));
            })
        };
        assert_eq!(requested(4), some("asked 4 s ago"));
        assert_eq!(requested(90), some("asked 90 s ago, no answer: is `windlass admit` running?"));
        let denied = why_not(|known| drop(known.denials.insert(id(1), denied(1))));
        assert_eq!(denied, some("denied: role AROAX is not listed for group `workers`"));
        let nodes = |node: Option<KubeNode>| {
            why_not(|known| {
                known.grants.insert(id(1), grant(1));
                known.nodes = Some(node.map(|node| (id(1), node)).into_iter().collect());
            })
        };
        assert_eq!(nodes(None), some("granted, but there is no Node"));
        assert_eq!(nodes(Some(node(false, "network not ready"))), some("network not ready"));
        assert_eq!(nodes(Some(node(true, "kubelet is posting ready status"))), None);
    }

    #[test]
    fn a_machine_that_never_asks_is_looked_at_by_its_console() {
        let known = Known { instances: vec![running(1, Duration::minutes(9))], ..Known::default() };
        assert_eq!(
            only(&known).why_not.as_deref(),
            Some(
                "has not asked: aws ec2 get-console-output --latest --output text --instance-id i-00000000000000001"
            )
        );
    }

    #[test]
    fn a_request_after_a_denial_is_asked_and_a_grant_ends_both() {
        let mut known =
            Known { instances: vec![running(1, Duration::minutes(1))], ..Known::default() };
        known.denials.insert(id(1), denied(1));
        assert_eq!(only(&known).grant, GrantState::Denied);
        known.requests.insert(id(1), NOW);
        assert_eq!(only(&known).grant, GrantState::Asked);
        known.grants.insert(id(1), grant(1));
        assert_eq!(only(&known).grant, GrantState::Granted);
    }

    #[test]
    fn a_lease_whose_instance_ec2_does_not_list_is_not_forgotten() {
        let mut known = Known::default();
        let network = Network {
            pods: vec!["10.64.0.0/16".parse().expect("a CIDR")],
            node_mask_ipv4: 24,
            node_mask_ipv6: 64,
            services: Vec::new(),
            dns: Vec::new(),
            domain: "cluster.local".into(),
            routes_per_table: 500,
        };
        let holder = Holder { instance: id(7), network_interface: None };
        known.leases.lease(&holder, &network, &Terrain::default(), NOW).expect("a lease");
        let row = only(&known);
        assert_eq!((row.state.as_str(), row.pod_cidrs.len()), ("unknown", 1));
        assert!(row.why_not.is_some());
    }

    #[test]
    fn nobody_is_called_unready_without_an_api_server() {
        let mut known =
            Known { instances: vec![running(1, Duration::minutes(1))], ..Known::default() };
        known.grants.insert(id(1), grant(1));
        let row = only(&known);
        assert_eq!((row.ready, row.why_not), (None, None));
    }
}
