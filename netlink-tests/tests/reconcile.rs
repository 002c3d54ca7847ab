//! Routes and policy rules: ours as planned, everybody else's untouched.

use netlink_tests::node::{
    MAIN, bridge, configure, foreign, network, network_of_two, one_eni, ours, planned, through,
    two_enis,
};
use netlink_tests::{in_new_namespace, ip, ip_batch};
use windlass::converge::network::{Change, Foreign, Reason, Reconciled, reconcile};
use windlass::host::{Entry, Machine, WayError};
use windlass::plan::network::{PodNetwork, Way};

async fn reconciled(wanted: &PodNetwork) -> Reconciled {
    reconcile(&Machine::this(), wanted).await.expect("a kernel that answers")
}

/// One that reaches the plan and meets nobody.
async fn changes(wanted: &PodNetwork) -> Vec<Change> {
    let Reconciled { changes, foreign, failed, .. } = reconciled(wanted).await;
    assert!(failed.is_empty() && foreign.is_empty(), "{failed:?} {foreign:?}");
    changes
}

#[test]
fn what_is_planned_is_made_once_and_then_found() {
    in_new_namespace(async || {
        two_enis();
        let wanted = network_of_two();
        let before = foreign();
        let made = wanted.routes.len() + wanted.rules.len();
        assert_eq!(changes(&wanted).await.len(), made);
        assert_eq!(ours(&wanted).await, planned(&wanted));
        assert_eq!(changes(&wanted).await, []);
        assert_eq!(foreign(), before);
        let none = PodNetwork::default();
        assert_eq!(changes(&none).await.len(), made);
        assert_eq!(ours(&none).await, planned(&none));
        assert_eq!(foreign(), before);
    });
}

#[test]
fn half_of_a_state_that_a_killed_run_left_is_taken_over() {
    in_new_namespace(async || {
        two_enis();
        let wanted = network_of_two();
        let all: Vec<_> = wanted.routes.iter().cloned().collect();
        let half = PodNetwork {
            routes: all[..all.len() / 2].iter().cloned().collect(),
            rules: wanted.rules.iter().skip(2).cloned().collect(),
        };
        changes(&half).await;
        let missing = all.len() - half.routes.len() + 2;
        assert_eq!(changes(&wanted).await.len(), missing);
        assert_eq!(ours(&wanted).await, planned(&wanted));
    });
}

#[test]
fn somebody_elses_route_to_the_same_destination_is_named_and_ours_stands_beside_it() {
    in_new_namespace(async || {
        one_eni();
        ip("route add 10.64.0.0/14 via 10.0.1.9 metric 512 proto static");
        ip("route add blackhole 10.64.3.0/24 metric 4096 proto 99");
        ip("-6 route add fd00:64::/56 dev ens5 metric 512 proto bird");
        let (before, wanted) = (foreign(), network());
        let met = reconciled(&wanted).await;
        assert!(met.failed.is_empty(), "{:?}", met.failed);
        let protocols: Vec<u8> = met.foreign.iter().map(|it| it.protocol).collect();
        assert_eq!((protocols.len(), foreign()), (3, before));
        let router = through("10.64.0.0/14", "10.0.1.1", "10.0.1.5", MAIN);
        let named = Foreign { instead_of: Entry::Route(router.clone()), protocol: 4 };
        assert!(met.foreign.contains(&named), "{:?}", met.foreign);
        let (routes, _) = ours(&wanted).await;
        let metrics: Vec<_> = routes.iter().map(|it| it.metric % 512).collect();
        assert_eq!(metrics, [1, 1, 1, 0], "{routes:?}");
        assert_eq!(changes(&wanted).await, [], "and that is as planned");
        let way = ip("route get 10.65.0.1");
        assert!(way.contains("via 10.0.1.9"), "theirs decides: {way}");
        ip("route del 10.64.0.0/14 metric 512");
        let way = ip("route get 10.65.0.1");
        assert!(way.contains("via 10.0.1.1"), "then ours: {way}");
    });
}

#[test]
fn where_every_place_is_somebody_elses_ours_is_given_up_with_a_reason() {
    in_new_namespace(async || {
        one_eni();
        for metric in 512..520 {
            ip(&format!("route add 10.64.0.0/14 dev ens5 metric {metric}"));
        }
        let before = foreign();
        let met = reconciled(&network()).await;
        let failed = &met.failed[..];
        assert!(matches!(failed, [only] if matches!(only.reason, Reason::NoPlace)), "{failed:?}");
        let said = failed[0].to_string();
        assert!(
            said.starts_with("route 10.64.0.0/14 via 10.0.1.1 dev ens5 src 10.0.1.5"),
            "{said}"
        );
        assert_eq!((met.foreign.len(), foreign()), (8, before));
    });
}

#[test]
fn somebody_elses_very_same_rule_stays_when_ours_goes() {
    in_new_namespace(async || {
        two_enis();
        ip("rule add from 10.64.3.0/24 lookup 87 priority 1107");
        let before = foreign();
        // Newer kernels take both, older ones have ours further down.
        let met = reconciled(&network_of_two()).await;
        assert!(met.failed.is_empty(), "{:?}", met.failed);
        assert_eq!((changes(&network_of_two()).await, foreign()), (vec![], before.clone()));
        changes(&PodNetwork::default()).await;
        assert_eq!(foreign(), before);
    });
}

#[test]
fn an_mtu_that_changes_is_a_new_route_before_the_old_one_goes() {
    in_new_namespace(async || {
        one_eni();
        changes(&network()).await;
        let mut wanted = network();
        wanted.routes = wanted
            .routes
            .into_iter()
            .map(|mut route| {
                if let Way::Out { mtu_bytes, .. } = &mut route.way {
                    *mtu_bytes = Some(1500);
                }
                route
            })
            .collect();
        let did = changes(&wanted).await;
        let order: Vec<_> = did.iter().map(|it| matches!(it, Change::Added(_))).collect();
        assert_eq!(order, [true, true, false, false], "{did:?}");
        assert_eq!(changes(&wanted).await, []);
        let way = ip("route get 10.65.0.1");
        assert!(way.contains("mtu 1500"), "{way}");
    });
}

#[test]
fn an_interface_that_went_is_named_and_its_routes_come_back_with_it() {
    in_new_namespace(async || {
        one_eni();
        changes(&network()).await;
        ip("link del ens5");
        let met = reconciled(&network()).await;
        let gone =
            |it: &Reason| matches!(it, Reason::Way(WayError::NoInterface(name)) if name == "ens5");
        assert_eq!(met.failed.iter().filter(|it| gone(&it.reason)).count(), 2, "{met:?}");
        ip_batch(
            "link add ens5 mtu 9001 type veth peer name router9 mtu 9001\nlink set router9 up\n",
        );
        configure();
        changes(&network()).await;
        assert_eq!(ours(&network()).await, planned(&network()));
    });
}

#[test]
fn all_routes_flushed_ours_come_back_without_the_interfaces_own() {
    in_new_namespace(async || {
        one_eni();
        changes(&network()).await;
        ip("-4 route flush table main");
        ip("-6 route flush table main");
        let put_back = changes(&network()).await.len();
        assert_eq!((put_back, ours(&network()).await), (4, planned(&network())));
    });
}

#[test]
fn a_packet_for_a_dead_pod_ends_here_and_one_for_a_live_one_goes_to_the_bridge() {
    in_new_namespace(async || {
        one_eni();
        changes(&network()).await;
        ip_batch("route get 10.65.1.1\n");
        let dead = std::process::Command::new("ip").args(["route", "get", "10.64.3.9"]).output();
        assert!(!dead.expect("ip").status.success());
        bridge();
        assert_eq!(changes(&network()).await, []);
        for pod in ["10.64.3.9", "fd00:64:0:3::9"] {
            let way = ip(&format!("route get {pod}"));
            assert!(way.contains("dev cni0"), "{way}");
        }
    });
}

#[test]
fn with_two_enis_what_is_the_primarys_leaves_by_it() {
    in_new_namespace(async || {
        two_enis();
        bridge();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("written");
        let way = |from: &str, to: &str| ip(&format!("route get {to} from {from} iif cni0"));
        assert!(way("10.64.3.9", "10.0.2.77").contains("dev ens6"), "where there is no rule");
        changes(&network_of_two()).await;
        for to in ["10.0.2.77", "10.65.0.1", "192.0.2.1"] {
            let way = way("10.64.3.9", to);
            assert!(way.contains("via 10.0.1.1 dev ens5"), "{way}");
        }
        let own = ip("route get 10.0.2.77 from 10.0.1.5");
        assert!(own.contains("via 10.0.1.1 dev ens5"), "{own}");
        let neighbour = ip("route get 10.0.1.77 from 10.0.1.5");
        assert!(neighbour.contains("dev ens5") && !neighbour.contains("via"), "{neighbour}");
        let pod = ip("route get 10.64.3.9 from 10.0.1.5");
        assert!(pod.contains("dev cni0"), "{pod}");
        let other = ip("route get 10.0.2.77 from 10.0.2.5");
        assert!(other.contains("dev ens6"), "{other}");
    });
}

#[test]
fn ten_thousand_routes_of_somebody_elses_cost_no_message() {
    in_new_namespace(async || {
        one_eni();
        changes(&network()).await;
        let measure = async || {
            let began = std::time::Instant::now();
            let found = reconciled(&network()).await;
            assert_eq!(found.changes, []);
            (found.messages, began.elapsed())
        };
        let (alone, alone_took) = measure().await;
        let lines = |of: fn(u32) -> String| (0..5000).map(of).collect::<String>();
        ip_batch(&lines(|n| format!("route add 172.16.{}.{}/32 dev ens5\n", n / 250, n % 250)));
        ip_batch(&lines(|n| format!("route add fd99::{n:x}/128 dev ens5\n")));
        let (among, among_took) = measure().await;
        println!(
            "a reconcile reads {alone} messages in {alone_took:?}; among 10,000 foreign routes \
             {among} in {among_took:?}"
        );
        assert_eq!(among, alone);
    });
}
