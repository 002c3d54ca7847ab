//! Waiting for a route, as a boot does that is earlier than its network.

use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use netlink_tests::{in_new_namespace, ip, ip_batch};
use tokio::time::timeout;
use windlass::host::Machine;

const IMDS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

#[test]
fn a_route_is_noticed_when_it_comes_and_when_it_is_there() {
    in_new_namespace(async || {
        let machine = Machine::this();
        let mut waiting = pin!(machine.until_reachable(IMDS));
        let moment = Duration::from_millis(200);
        assert!(timeout(moment, waiting.as_mut()).await.is_err(), "there is no interface");
        ip_batch(
            "link set lo up\nlink add ens5 type veth peer name router\nlink set router up\n\
             link set ens5 up\naddr add 10.0.1.5/24 dev ens5\n",
        );
        assert!(timeout(moment, waiting.as_mut()).await.is_err(), "it is not in the subnet");
        ip("route add default via 10.0.1.1 dev ens5");
        let patience = Duration::from_secs(10);
        timeout(patience, waiting).await.expect("noticed").expect("asked");
        let again = timeout(patience, machine.until_reachable(IMDS)).await;
        again.expect("seen at once").expect("asked");
    });
}
