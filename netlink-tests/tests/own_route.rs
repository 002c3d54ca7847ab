//! The blackhole route for a node's own pod CIDR.

use std::net::{IpAddr, Ipv4Addr};

use netlink_tests::in_new_namespace;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol, RouteType};
use windlass::converge::{Ensured, ensure_route};
use windlass::host::Machine;
use windlass::plan::{ROUTE_PROTOCOL, Route, RouteKind};

const MAIN: u32 = 254;

fn blackhole(destination: &str) -> Route {
    Route {
        destination: destination.parse().expect("a CIDR"),
        kind: RouteKind::Blackhole,
        table: MAIN,
        protocol: ROUTE_PROTOCOL,
        metric: 4096,
    }
}

#[test]
fn a_route_is_made_once_and_then_found() {
    in_new_namespace(async || {
        for destination in ["10.64.3.0/24", "fd00:10:64:3::/64"] {
            let (machine, route) = (Machine::this(), blackhole(destination));
            let made = ensure_route(&machine, &route).await.expect("a route");
            assert_eq!(made, Ensured::Changed, "{destination}");
            let found = ensure_route(&machine, &route).await.expect("the route");
            assert_eq!(found, Ensured::Unchanged, "{destination}");
        }
    });
}

#[test]
fn somebody_elses_route_to_the_same_destination_is_neither_taken_for_ours_nor_touched() {
    in_new_namespace(async || {
        let (connection, handle, _) = rtnetlink::new_connection().expect("netlink");
        tokio::spawn(connection);
        let theirs = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(Ipv4Addr::new(10, 64, 3, 0).into(), 24)
            .expect("a prefix")
            .table_id(MAIN)
            .priority(100)
            .protocol(RouteProtocol::Static)
            .kind(RouteType::BlackHole)
            .build();
        handle.route().add(theirs).execute().await.expect("their route");
        let before = routes(&handle).await;

        let made = ensure_route(&Machine::this(), &blackhole("10.64.3.0/24")).await;
        assert_eq!(made.expect("a route"), Ensured::Changed);

        let after = routes(&handle).await;
        assert_eq!(after.len(), before.len() + 1);
        assert!(before.iter().all(|route| after.contains(route)), "{before:?}\n{after:?}");
    });
}

/// The IPv4 routes of the table `main`.
async fn routes(handle: &rtnetlink::Handle) -> Vec<RouteMessage> {
    use futures_util::TryStreamExt;
    let request = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let all: Vec<_> = handle.route().get(request).execute().try_collect().await.expect("routes");
    all.into_iter().filter(|route| u32::from(route.header.table) == MAIN).collect()
}
