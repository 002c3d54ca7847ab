//! `windlass watch`: what somebody else did to the pod network is put back within a second, nothing
//! is done twice, and nobody who minds his own business wakes it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use netlink_tests::booted::{Booted, changes, first_eni, kept, next, second_eni, until_quiet};
use netlink_tests::node::{foreign, ours, planned};
use netlink_tests::{in_new_namespace, ip, ip_batch, nft, nft_file};
use windlass::host::Stirred;
use windlass::plan::network::PodNetwork;
use windlass::watch::network::Keeper;
use windlass::watch::{Look, Quarrel};

const FILTER: &str = "nftables' table inet windlass";
const BLACKHOLE: &str = "route blackhole 10.64.3.64/26 metric 4096";

/// One look puts all back, within a second, and the one after it finds nothing to do.
async fn repaired(keeper: &mut Keeper, wanted: &PodNetwork) -> Look {
    let began = Instant::now();
    let look = next(keeper).await;
    println!("repaired after {:?}: {:?}", began.elapsed(), look.changes);
    assert_eq!(ours(wanted).await, planned(wanted));
    assert!(look.is_well(), "{look:?}");
    assert_eq!(changes(&until_quiet(keeper).await), [] as [&str; 0]);
    look
}

fn as_planned(what: Stirred) -> Look {
    Look { what, ..Look::default() }
}

const WAYS: Stirred = Stirred { ways: true, ..Stirred::NOTHING };

#[test]
fn its_own_changes_wake_it_once_more_and_then_there_is_quiet() {
    in_new_namespace(async || {
        first_eni();
        let booted = Booted::once();
        let mut keeper = booted.keeper();
        let looks = until_quiet(&mut keeper).await;
        let made = booted.wanted_of_one_eni().routes.len();
        let first = &looks[0];
        assert_eq!(first.what, Stirred::EVERYTHING);
        assert_eq!(first.changes.iter().filter(|it| it.starts_with("route ")).count(), made);
        assert!(first.changes.iter().any(|it| it == FILTER), "{first:?}");
        assert!(first.changes.iter().any(|it| it.ends_with("/10-windlass.conflist")), "{first:?}");
        assert!(looks.len() <= 3, "{looks:#?}");
        assert_eq!(changes(&looks[1..]), [] as [&str; 0]);
    });
}

#[test]
fn who_comes_after_a_crash_takes_over_what_is_there_and_puts_back_the_rest() {
    in_new_namespace(async || {
        let (booted, keeper) = kept().await;
        drop(keeper);
        let mut keeper = booted.keeper();
        let first = next(&mut keeper).await;
        let anew = Some("ens5 with an MTU of 9001, router fe80::8f1:ff:fe00:1".to_owned());
        assert_eq!(first, Look { planned_anew: anew, ..as_planned(Stirred::EVERYTHING) });
        drop(keeper);

        ip("route del blackhole 10.64.3.64/26");
        nft("delete table inet windlass");
        let mut keeper = booted.keeper();
        assert_eq!(changes(&until_quiet(&mut keeper).await), [FILTER, BLACKHOLE]);
        assert_eq!(ours(&booted.wanted_of_one_eni()).await, planned(&booted.wanted_of_one_eni()));
    });
}

#[test]
fn flushed_routes_are_put_back_within_a_second() {
    in_new_namespace(async || {
        let (booted, mut keeper) = kept().await;
        let wanted = booted.wanted_of_one_eni();
        ip("-4 route flush table main");
        ip("-6 route flush table main");
        let look = repaired(&mut keeper, &wanted).await;
        let all: BTreeSet<_> = wanted.routes.iter().map(|it| format!("route {it}")).collect();
        assert_eq!((look.changes.into_iter().collect::<BTreeSet<_>>(), look.what), (all, WAYS));
    });
}

/// It removes routes and rules that it did not make, by their protocol, one after the other, when it
/// starts (networkd.conf(5), `ManageForeignRoutes=`).
#[test]
fn what_networkd_removes_when_it_starts_is_put_back() {
    in_new_namespace(async || {
        first_eni();
        second_eni();
        let booted = Booted::once();
        let wanted = booted.wanted(|_| ());
        let mut keeper = booted.keeper();
        until_quiet(&mut keeper).await;
        assert_eq!(ours(&wanted).await, planned(&wanted));
        let before = foreign();
        for family in ["-4", "-6"] {
            ip(&format!("{family} route flush table all proto 87"));
            for rule in ip(&format!("{family} rule")).lines().filter(|it| it.ends_with("proto 87"))
            {
                let (priority, _) = rule.split_once(':').expect("a priority");
                ip(&format!("{family} rule del priority {priority}"));
            }
        }
        assert_eq!(ours(&wanted).await, (vec![], vec![]));
        let look = repaired(&mut keeper, &wanted).await;
        assert_eq!(look.changes.len(), wanted.routes.len() + wanted.rules.len());
        assert_eq!(foreign(), before);
    });
}

#[test]
fn a_flushed_packet_filter_is_put_back_and_other_tables_are_nobodys_business() {
    in_new_namespace(async || {
        let (booted, mut keeper) = kept().await;
        nft_file("table ip kube-proxy {\n chain services { counter\n }\n}\n");
        nft("add rule ip kube-proxy services accept");
        assert_eq!(until_quiet(&mut keeper).await, []);
        for blow in ["flush ruleset", "delete chain inet windlass postrouting"] {
            nft(blow);
            let look = repaired(&mut keeper, &booted.wanted_of_one_eni()).await;
            let filter = Stirred { filter: true, ..Stirred::NOTHING };
            assert_eq!(look, Look { changes: vec![FILTER.to_owned()], ..as_planned(filter) });
        }
    });
}

#[test]
fn somebody_elses_routes_do_not_wake_it_and_one_in_the_place_of_ours_does() {
    in_new_namespace(async || {
        let (booted, mut keeper) = kept().await;
        let theirs = |verb: &str| {
            let line = |n| format!("route {verb} 172.16.{}.{}/32 dev ens5\n", n / 250, n % 250);
            ip_batch(&(0..50).map(line).collect::<String>());
        };
        theirs("add");
        theirs("del");
        assert_eq!(until_quiet(&mut keeper).await, []);

        ip("route replace 10.64.0.0/14 via 10.0.1.9 metric 512 proto static");
        let look = next(&mut keeper).await;
        let router = "route 10.64.0.0/14 via 10.0.1.1 dev ens5 src 10.0.1.5 mtu 9001 metric 513";
        assert_eq!(look.changes, [router]);
        let met: Vec<_> = look.foreign.iter().map(|it| it.protocol).collect();
        assert_eq!((met, until_quiet(&mut keeper).await.len()), (vec![4], 1));
        ip("route del 10.64.0.0/14 metric 512");
        assert_eq!(until_quiet(&mut keeper).await, [], "ours is where it was");
        assert_eq!(ours(&booted.wanted_of_one_eni()).await.0.len(), 4);
    });
}

#[test]
fn where_the_kernel_could_not_tell_all_everything_is_looked_at_and_nothing_is_lost() {
    in_new_namespace(async || {
        first_eni();
        let booted = Booted::once();
        let mut keeper = booted.keeper_with_buffer(Some(4096));
        until_quiet(&mut keeper).await;
        let theirs = |n: u32| format!("route add 172.16.{}.{}/32 dev ens5\n", n / 250, n % 250);
        ip_batch(&(0..5000).map(theirs).collect::<String>());
        // Of this it hears nothing: what it did not read is more than it can hold.
        ip("-4 route flush table main proto 87");
        ip("-6 route flush table main proto 87");
        nft("delete table inet windlass");
        let look = repaired(&mut keeper, &booted.wanted_of_one_eni()).await;
        assert_eq!((look.what, look.lost), (Stirred::EVERYTHING, 1), "{look:?}");
        assert_eq!(look.changes.len(), 5, "four routes and the table: {look:?}");
    });
}

#[test]
fn a_setting_that_was_changed_is_set_again() {
    in_new_namespace(async || {
        let (_booted, mut keeper) = kept().await;
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("written");
        let look = next(&mut keeper).await;
        let forward = vec!["net.ipv4.ip_forward = 1".to_owned()];
        assert_eq!(look, Look { changes: forward, ..as_planned(WAYS) });
        assert_eq!(changes(&until_quiet(&mut keeper).await), [] as [&str; 0]);
    });
}

#[test]
fn who_removes_a_thing_every_time_is_named_once_and_holds_up_nothing_else() {
    in_new_namespace(async || {
        let (_booted, mut keeper) = kept().await;
        let (mut quarrels, mut put_back) = (Vec::new(), Vec::new());
        let mut waited = Duration::ZERO;
        let began = Instant::now();
        ip("route del blackhole 10.64.3.64/26");
        while put_back.len() < 5 {
            let waits = Instant::now();
            let stirred = keeper.stirred().await.expect("a kernel that tells");
            waited += if put_back.len() < 4 { waits.elapsed() } else { Duration::ZERO };
            let look = keeper.look(stirred).await.expect("a kernel that answers");
            if look.changes == [BLACKHOLE] {
                put_back.push(began.elapsed());
                ip("route del blackhole 10.64.3.64/26");
            } else {
                assert!(look.changes.is_empty(), "{look:?}");
                assert!(look.put_off.iter().all(|it| it == BLACKHOLE), "{look:?}");
                assert!(
                    look.put_off.is_empty() || put_back.len() == 4,
                    "put off too soon: {look:?}"
                );
            }
            quarrels.extend(look.quarrels);
        }
        let [Quarrel::Began { what, times: 4, .. }] = &quarrels[..] else { panic!("{quarrels:?}") };
        assert_eq!(what, BLACKHOLE);
        assert!(waited < Duration::from_secs(1), "of which it waited {waited:?}: {put_back:?}");
        assert!(put_back[4] - put_back[3] >= Duration::from_secs(1), "{put_back:?}");

        ip("-6 route flush fd00:64:0:3::/64");
        let mut looks = vec![next(&mut keeper).await];
        looks.extend(until_quiet(&mut keeper).await);
        assert!(changes(&looks).contains(&"route blackhole fd00:64:0:3::/64 metric 4096".into()));
        println!("put back after {put_back:?}");
    });
}

#[test]
fn what_a_later_boot_leaves_is_planned_from_at_the_next_look() {
    in_new_namespace(async || {
        let (mut booted, mut keeper) = kept().await;
        booted.facts.instance.vpc_cidrs.push("10.9.0.0/16".parse().expect("a CIDR"));
        booted.boot();
        nft("flush table inet windlass");
        ip("route del blackhole 10.64.3.64/26");
        let looks = until_quiet(&mut keeper).await;
        assert!(looks.iter().any(|look| look.planned_anew.is_some()), "{looks:#?}");
        assert_eq!(nft("-s list table inet windlass"), booted.filter().to_string());

        std::fs::write(booted.path("var/lib/windlass/basis.json"), "{").expect("written");
        ip("route del blackhole 10.64.3.64/26");
        let look = next(&mut keeper).await;
        assert_eq!(look.changes, [BLACKHOLE], "what is known holds");
        let said = look.failed.first().expect("a failure");
        assert!(
            said.starts_with("/var/lib/windlass/basis.json is not as a boot writes it"),
            "{said}"
        );
    });
}
