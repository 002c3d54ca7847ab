//! Rules 1 to 3 of admission, pure: a request and when it came, what the group says, what EC2 says in;
//! the right to a certificate or a [`Refusal`] out. (Rule 4, one key an instance, is decided by the
//! conditional write of the grant.)

use std::time::Duration;

use time::OffsetDateTime;

use super::refusal::Refusal;
use crate::client::ec2::{Instance, State};
use crate::config::{NodeConfig, NodeNames};
use crate::exchange::{Request, UserId};
use crate::pki::{SigningRequest, Subject};
use crate::plan::node;
use crate::policies::CLUSTER_TAG;

/// What is known when a request is judged.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// From the request's key, where IAM vouches for it.
    pub user: &'a UserId,
    /// What the instance wrote, which nobody vouches for.
    pub request: &'a Request,
    /// The current revision of the group that the request names.
    pub group: &'a NodeConfig,
    /// What EC2 says of the instance.
    pub instance: &'a Instance,
    /// When the request came. How long it has waited for an answer since is not the instance's fault.
    pub asked: OffsetDateTime,
    /// By whom that may be in time.
    pub in_time_by: InTimeBy,
}

/// Whose word it takes that an instance asks in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InTimeBy {
    /// EC2's: it was launched, or started, within the window.
    Launch,
    /// Auto Scaling's: its group puts it into service now. An instance that waited in a warm pool may
    /// have been launched days ago, and is as new as any other: nobody but the group brings it into
    /// that state, and it does not come there twice without leaving service in between.
    Group,
}

/// A request that may have a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admissible {
    /// The Node's name.
    pub node: String,
    pub csr: SigningRequest,
    pub lifetime: Duration,
}

/// Judges by the first rule that is broken.
pub fn verify(case: &Case<'_>) -> Result<Admissible, Refusal> {
    role_is_listed(case)?;
    instance_belongs(case)?;
    asked_within_the_window(case)?;
    let csr = SigningRequest::verify(&case.request.csr)?;
    let node = node_name(case.group.cluster.node_names, case.instance)?;
    let wanted = Subject::node(&node);
    if csr.subject != wanted {
        return Err(Refusal::OtherName { found: csr.subject, wanted });
    }
    Ok(Admissible { node, csr, lifetime: case.group.admission.certificate_lifetime })
}

/// What a Node is called, by EC2's word alone.
pub fn node_name(names: NodeNames, instance: &Instance) -> Result<String, Refusal> {
    match names {
        NodeNames::PrivateDns if instance.private_dns.is_none() => {
            Err(Refusal::Nameless { instance: instance.id.clone() })
        }
        names => Ok(node::name(launched(instance), names)),
    }
}

/// What EC2's word says for a Node's plan.
pub fn launched(instance: &Instance) -> node::Launched<'_> {
    node::Launched {
        id: &instance.id,
        zone: &instance.zone,
        instance_type: &instance.instance_type,
        private_dns: instance.private_dns.as_deref().unwrap_or_default(),
    }
}

fn role_is_listed(case: &Case<'_>) -> Result<(), Refusal> {
    let listed = &case.group.admission.role_ids;
    if listed.contains(&case.user.role_id) {
        return Ok(());
    }
    Err(Refusal::RoleNotListed {
        role_id: case.user.role_id.clone(),
        group: case.group.group.clone(),
        listed: listed.clone(),
    })
}

fn instance_belongs(case: &Case<'_>) -> Result<(), Refusal> {
    let Case { instance, group, .. } = case;
    let id = || instance.id.clone();
    if !matches!(instance.state, State::Pending | State::Running) {
        return Err(Refusal::NotRunning { instance: id(), found: instance.state.clone() });
    }
    let (found, wanted) = (instance.vpc.clone(), group.cluster.vpc.clone());
    if found.as_ref() != Some(&wanted) {
        return Err(Refusal::OtherVpc { instance: id(), found, wanted });
    }
    let found = instance.instance_profile.clone();
    let wanted = group.admission.instance_profile.clone();
    if found.as_ref() != Some(&wanted) {
        let group = group.group.clone();
        return Err(Refusal::OtherProfile { instance: id(), found, group, wanted });
    }
    let found = instance.tags.get(CLUSTER_TAG).cloned();
    let wanted = group.cluster.name.clone();
    if found.as_ref() != Some(&wanted) {
        return Err(Refusal::NotTagged { instance: id(), key: CLUSTER_TAG, found, wanted });
    }
    Ok(())
}

fn asked_within_the_window(case: &Case<'_>) -> Result<(), Refusal> {
    let Case { instance, group, asked, in_time_by, .. } = case;
    if *in_time_by == InTimeBy::Group {
        return Ok(());
    }
    // Nothing, for what was asked before the latest start: its answer came too late for that one.
    let after = (*asked - instance.launched).try_into().unwrap_or_default();
    let window = group.admission.window;
    if after <= window {
        return Ok(());
    }
    let (instance, group) = (instance.id.clone(), group.group.clone());
    Err(Refusal::AskedTooLate { instance, after, group, window })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::admit::testing::{config, instance, request};
    use crate::pki::PrivateKey;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    /// Everything right, to be spoiled by one thing.
    struct Scene {
        user: UserId,
        request: Request,
        group: NodeConfig,
        instance: Instance,
        asked: OffsetDateTime,
        in_time_by: InTimeBy,
    }

    impl Scene {
        fn right() -> Self {
            let instance = instance(1);
            let user = format!("AROAWORKER:{}", instance.id).parse().expect("a user id");
            let key = PrivateKey::generate().expect("a key");
            let request = request(&key, &Subject::node(instance.id.as_str()));
            let in_time_by = InTimeBy::Launch;
            Self { user, request, group: config(), instance, asked: NOW, in_time_by }
        }

        fn spoiled(spoil: impl FnOnce(&mut Self)) -> (&'static str, String) {
            let mut scene = Self::right();
            spoil(&mut scene);
            let refusal = scene.verify().expect_err("refused");
            (refusal.word(), refusal.to_string())
        }

        fn verify(&self) -> Result<Admissible, Refusal> {
            verify(&Case {
                user: &self.user,
                request: &self.request,
                group: &self.group,
                instance: &self.instance,
                asked: self.asked,
                in_time_by: self.in_time_by,
            })
        }
    }

    fn refused(word: &'static str, sentence: &str) -> (&'static str, String) {
        (word, sentence.to_owned())
    }

    #[test]
    fn what_is_right_is_admitted_by_the_name_that_ec2_says() {
        let scene = Scene::right();
        let admissible = scene.verify().expect("admitted");
        assert_eq!(admissible.node, "i-00000000000000001");
        assert_eq!(admissible.lifetime, scene.group.admission.certificate_lifetime);
    }

    #[test]
    fn a_node_may_be_named_by_its_private_dns_name() {
        let mut scene = Scene::right();
        scene.group.cluster.node_names = NodeNames::PrivateDns;
        let name = "ip-10-0-0-1.eu-west-1.compute.internal";
        scene.request = request(&PrivateKey::generate().expect("a key"), &Subject::node(name));
        assert_eq!(scene.verify().expect("admitted").node, name);
        scene.instance.private_dns = None;
        let refusal = scene.verify().expect_err("refused");
        assert_eq!(
            (refusal.word(), refusal.to_string()),
            refused(
                "nameless",
                "EC2 has no private DNS name for instance `i-00000000000000001`, by which nodes \
                 are named here"
            )
        );
    }

    #[test]
    fn a_role_that_is_not_listed() {
        let other = |scene: &mut Scene| scene.user.role_id = "AROAOTHER".to_owned();
        assert_eq!(
            Scene::spoiled(other),
            refused(
                "role-not-listed",
                "role id `AROAOTHER` is not listed for group `workers`, wanted `AROAWORKER`"
            )
        );
    }

    #[test]
    fn an_instance_of_another_vpc() {
        assert_eq!(
            Scene::spoiled(|scene| scene.instance.vpc = Some("vpc-b".to_owned())),
            refused(
                "other-vpc",
                "instance `i-00000000000000001` is in VPC `vpc-b`, wanted `vpc-a`"
            )
        );
    }

    #[test]
    fn an_instance_that_is_terminated() {
        assert_eq!(
            Scene::spoiled(|scene| scene.instance.state = State::Terminated),
            refused(
                "instance-not-running",
                "instance `i-00000000000000001` is terminated, wanted pending or running"
            )
        );
    }

    #[test]
    fn an_instance_with_another_profile() {
        assert_eq!(
            Scene::spoiled(|scene| scene.instance.instance_profile = None),
            refused(
                "other-instance-profile",
                "instance `i-00000000000000001` has the instance profile `none`, group `workers` \
                 wants `arn:aws:iam::123456789012:instance-profile/workers`"
            )
        );
    }

    #[test]
    fn an_instance_of_another_cluster() {
        let staging = |scene: &mut Scene| {
            scene.instance.tags.insert(CLUSTER_TAG.to_owned(), "staging".to_owned());
        };
        assert_eq!(
            Scene::spoiled(staging),
            refused(
                "not-tagged",
                "instance `i-00000000000000001` has the tag `windlass:cluster` = `staging`, wanted \
                 `prod`"
            )
        );
    }

    #[test]
    fn who_asks_too_long_after_the_launch() {
        let late = |scene: &mut Scene| scene.asked = datetime!(2026-11-22 12:15:03 UTC);
        assert_eq!(
            Scene::spoiled(late),
            refused(
                "launched-too-long-ago",
                "instance `i-00000000000000001` asked 16m 3s after its launch, group `workers` \
                 admits within 15m"
            )
        );
        let mut scene = Scene::right();
        scene.asked = datetime!(2026-11-22 12:14 UTC);
        scene.verify().expect("admitted to the last second");
        scene.asked = datetime!(2026-11-22 11:58 UTC);
        scene.verify().expect("admitted although it asked before its latest start");
    }

    #[test]
    fn whom_the_group_calls_is_in_time_and_no_other_rule_is_waived() {
        let mut scene = Scene::right();
        scene.asked = datetime!(2026-11-25 12:00 UTC);
        scene.in_time_by = InTimeBy::Group;
        scene.verify().expect("admitted, days after its launch");
        scene.instance.tags.clear();
        assert_eq!(scene.verify().expect_err("refused").word(), "not-tagged");
    }

    #[test]
    fn a_request_for_another_name() {
        let masters = Subject {
            common_name: "system:node:i-00000000000000001".to_owned(),
            organization: Some("system:masters".to_owned()),
        };
        let key = PrivateKey::generate().expect("a key");
        assert_eq!(
            Scene::spoiled(|scene| scene.request = request(&key, &Subject::node("i-2"))),
            refused(
                "other-name",
                "the request's subject is `CN=system:node:i-2, O=system:nodes`, EC2 and the \
                 configuration say `CN=system:node:i-00000000000000001, O=system:nodes`"
            )
        );
        assert_eq!(
            Scene::spoiled(|scene| scene.request = request(&key, &masters)),
            refused(
                "other-name",
                "the request's subject is `CN=system:node:i-00000000000000001, O=system:masters`, \
                 EC2 and the configuration say `CN=system:node:i-00000000000000001, \
                 O=system:nodes`"
            )
        );
    }

    #[test]
    fn a_request_that_is_unacceptable_whoever_sent_it() {
        assert_eq!(
            Scene::spoiled(|scene| scene.request.csr = "hello".to_owned()),
            refused(
                "csr-malformed",
                "the certificate signing request is not PKCS#10 in PEM: no PEM block"
            )
        );
    }
}
