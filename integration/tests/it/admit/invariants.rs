//! What must hold after every run of the simulation.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use windlass::admit::audit::{Decision, Entry};
use windlass::admit::lease::Leases;
use windlass::exchange::{Grant, InstanceId};
use windlass::pki::Certificate;

use super::characters::Character::{self, OtherKey, ShortLived, Terminated};
use super::characters::{Fate, RIGHT, WRONG};
use super::simulation::{Run, is_long};

impl Run {
    pub fn everybody_has_the_right_answer(&self, seed: u64) {
        for fate in &self.fates {
            let wrong = WRONG.iter().find(|(wrong, _)| *wrong == fate.character);
            let word = wrong.map(|(_, word)| *word);
            let word = word.or((fate.character == OtherKey).then_some("other-key"));
            let denied = fate.denied.as_ref().map(|denied| denied.reason.as_str());
            assert_eq!(denied, word, "seed {seed}: {fate:?}");
            assert_eq!(fate.grant.is_some(), wrong.is_none(), "seed {seed}: {fate:?}");
        }
    }

    /// In every version of the leases that ever was: no overlap, and no CIDR passes from one
    /// instance to another unless the first was terminated.
    pub fn no_pod_cidr_had_two_holders(&self, seed: u64) {
        let ended: BTreeSet<_> = self.of(&[ShortLived, Terminated]).collect();
        let mut holders: BTreeMap<IpNet, InstanceId> = BTreeMap::new();
        let mut versions = 0;
        for bytes in self.scene.history(&self.scene.keys.leases()).into_iter().flatten() {
            let leases: Leases = serde_json::from_slice(&bytes).expect("leases");
            versions += 1;
            let cidrs: Vec<_> = leases.leases.keys().collect();
            for (index, a) in cidrs.iter().enumerate() {
                for b in &cidrs[index + 1..] {
                    assert!(!a.contains(*b) && !b.contains(*a), "seed {seed}: {a} and {b}");
                }
            }
            for (cidr, lease) in leases.leases {
                let before = holders.insert(cidr, lease.instance.clone());
                if let Some(before) = before.filter(|before| *before != lease.instance) {
                    assert!(ended.contains(&before), "seed {seed}: {cidr} was {before}'s");
                }
            }
        }
        assert!(versions > 0, "seed {seed}: nothing was leased");
    }

    /// Whoever ever had a grant had one only, for its own key, with a certificate that the cluster
    /// trusts and the pod CIDRs that it held.
    pub fn every_grant_was_for_the_right_key_and_lease(&self, seed: u64) {
        let authority = Certificate::from_pem(self.scene.authority().certificate_pem());
        let authority = authority.expect("a certificate");
        let right: BTreeMap<_, _> = self
            .fates
            .iter()
            .filter(|fate| RIGHT.contains(&fate.character))
            .map(|fate| (self.scene.keys.grant(&fate.user), fate))
            .collect();
        let mut granted = BTreeSet::new();
        for key in self.scene.all_keys().into_iter().filter(|key| key.ends_with("/grant.json")) {
            let written: Vec<_> = self.scene.history(&key).into_iter().flatten().collect();
            let fate = right.get(&key).unwrap_or_else(|| panic!("seed {seed}: {key} has a grant"));
            assert_eq!(written.len(), 1, "seed {seed}: {key} was written again");
            let grant: Grant = serde_json::from_slice(&written[0]).expect("a grant");
            let certificate = Certificate::from_pem(&grant.certificate).expect("a certificate");
            assert!(certificate.is_signed_by(&authority), "seed {seed}: {key}");
            assert!(certificate.client_auth && !certificate.server_auth, "seed {seed}: {key}");
            assert_eq!(certificate.organizations, ["system:nodes"], "seed {seed}: {key}");
            let name = format!("system:node:{}", fate.user.instance);
            assert_eq!(certificate.common_name, name, "seed {seed}: {key}");
            assert_eq!(certificate.public_key_sha256, fate.public_key_sha256, "seed {seed}: {key}");
            assert!(self.ever_held(&fate.user.instance, &grant.pod_cidrs), "seed {seed}: {key}");
            granted.insert(key);
        }
        assert_eq!(granted, right.into_keys().collect(), "seed {seed}: each honest one has one");
    }

    fn ever_held(&self, instance: &InstanceId, cidrs: &[IpNet]) -> bool {
        let leases = self.scene.history(&self.scene.keys.leases()).into_iter().flatten();
        let mut leases = leases.map(|it| serde_json::from_slice::<Leases>(&it).expect("leases"));
        !cidrs.is_empty() && leases.any(|leases| leases.held_by(instance) == cidrs)
    }

    /// The terminated hold nothing any more, everybody else what they were granted, and the audit
    /// trail says why.
    pub fn what_was_left_is_collected(&self, seed: u64) {
        let leases = self.scene.history(&self.scene.keys.leases()).pop().flatten();
        let leases: Leases = serde_json::from_slice(&leases.expect("leases")).expect("leases");
        for fate in &self.fates {
            let held = leases.held_by(&fate.user.instance);
            let key = self.scene.keys.grant(&fate.user);
            let grant = self.scene.history(&key).pop().flatten();
            match &fate.grant {
                Some(granted) if fate.character != ShortLived => {
                    assert_eq!(held, granted.pod_cidrs, "seed {seed}: {fate:?}");
                    assert!(grant.is_some(), "seed {seed}: {fate:?}");
                }
                Some(_) if is_long(seed) => {
                    assert_eq!(held, [], "seed {seed}: {fate:?}");
                    assert_eq!(grant, None, "seed {seed}: {fate:?}");
                    // Two admitters may collect at once: each writes that down.
                    assert!(self.audited(fate, Decision::Collected) > 0, "seed {seed}: {fate:?}");
                }
                Some(_) | None => {}
            }
            if fate.denied.is_some() {
                assert!(self.audited(fate, Decision::Denied) > 0, "seed {seed}: {fate:?}");
            }
            let inbox = self.scene.history(&self.scene.keys.request(&fate.user)).pop().flatten();
            assert_eq!(inbox, None, "seed {seed}: {fate:?} still asks");
        }
    }

    fn audited(&self, fate: &Fate, decision: Decision) -> usize {
        let keys = self.scene.all_keys().into_iter().filter(|key| key.contains("/audit/"));
        let entries = keys.filter_map(|key| self.scene.history(&key).pop().flatten());
        let entries = entries.map(|it| serde_json::from_slice::<Entry>(&it).expect("an entry"));
        entries.filter(|it| it.user == fate.user && it.decision == decision).count()
    }

    fn of(&self, characters: &[Character]) -> impl Iterator<Item = InstanceId> {
        let fates = self.fates.iter().filter(|fate| characters.contains(&fate.character));
        fates.map(|fate| fate.user.instance.clone())
    }
}
