//! `windlass watch` and the interfaces: another MTU, another name, gone and back, one more.

use netlink_tests::booted::{as_of_an_instance, kept, second_eni, until_quiet};
use netlink_tests::node::{configure, ours, planned};
use netlink_tests::{in_new_namespace, ip, ip_batch};

#[test]
fn another_mtu_is_that_of_the_routes_and_of_pods_to_come() {
    in_new_namespace(async || {
        let (booted, mut keeper) = kept().await;
        let conflist = booted.path("etc/cni/net.d/10-windlass.conflist");
        let mtu = || {
            let text = std::fs::read_to_string(&conflist).expect("a conflist");
            let text = text.split("\"mtu\": ").nth(1).expect("an MTU");
            text.chars().take_while(char::is_ascii_digit).collect::<String>()
        };
        assert_eq!(mtu(), "9001");
        ip("link set ens5 mtu 1500");
        let looks = until_quiet(&mut keeper).await;
        let anew = looks[0].planned_anew.as_deref();
        assert_eq!(anew, Some("ens5 with an MTU of 1500, router fe80::8f1:ff:fe00:1"));
        assert!(looks.iter().all(|look| look.is_well() && look.quarrels.is_empty()), "{looks:#?}");
        assert_eq!(
            (mtu().as_str(), ip("route get 10.65.0.1").contains("mtu 1500")),
            ("1500", true)
        );
        assert!(ip("route get fd00:64:0:99::1").contains("mtu 1500"));
        assert_eq!(ours(&booted.wanted_of_one_eni()).await.0.len(), 4, "and none is left over");
    });
}

#[test]
fn an_interface_that_comes_back_has_its_routes_again() {
    in_new_namespace(async || {
        let (booted, mut keeper) = kept().await;
        ip("link del ens5");
        let gone = until_quiet(&mut keeper).await;
        let failed = &gone.last().expect("a look").failed;
        assert!(failed.iter().all(|it| it.contains("ens5")) && !failed.is_empty(), "{failed:#?}");
        let left = ours(&booted.wanted_of_one_eni()).await.0.len();
        assert_eq!(left, 2, "packets for pods that are gone still end here");

        ip_batch(
            "link del vpc\n\
             link add ens5 mtu 9001 type veth peer name router mtu 9001\nlink set router up\n",
        );
        configure();
        as_of_an_instance();
        let wanted = booted.wanted_of_one_eni();
        let back = until_quiet(&mut keeper).await;
        assert!(back.last().expect("a look").failed.is_empty(), "{back:#?}");
        assert_eq!(ours(&wanted).await, planned(&wanted));
        let accepts = std::fs::read_to_string("/proc/sys/net/ipv6/conf/ens5/accept_ra");
        assert_eq!(accepts.expect("a setting").trim(), "2", "a new interface begins with 1");
    });
}

#[test]
fn an_interface_that_is_called_otherwise_now_is_found_by_its_address() {
    in_new_namespace(async || {
        let (booted, mut keeper) = kept().await;
        ip_batch(
            "link set ens5 down\nlink set ens5 name ens9\nlink set ens9 up\n\
             addr add 2001:db8:0:1::5/64 dev ens9 nodad\n",
        );
        until_quiet(&mut keeper).await;
        let wanted = booted.wanted(|host| {
            host.other_interfaces.clear();
            host.interface = "ens9".to_owned();
        });
        assert_eq!(ours(&wanted).await.0.len(), 4);
        assert!(ip("route get 10.65.0.1").contains("via 10.0.1.1 dev ens9"));
    });
}

#[test]
fn a_second_eni_brings_its_rules_and_takes_them_along() {
    in_new_namespace(async || {
        let (booted, mut keeper) = kept().await;
        second_eni();
        until_quiet(&mut keeper).await;
        let wanted = booted.wanted(|_| ());
        assert_eq!(ours(&wanted).await, planned(&wanted));
        ip("link del ens6");
        until_quiet(&mut keeper).await;
        assert_eq!(ours(&wanted).await, planned(&booted.wanted_of_one_eni()));
    });
}
