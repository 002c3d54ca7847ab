//! An instance whose image does not take the IPv6 address that EC2 has assigned. One that does is a
//! node of a lab: the machine here is a folder, and its kernel hears no router.

use ipnet::Ipv6Net;

use crate::boot_scene::{Scene, Setting, put_revision};

const SETTINGS: [&str; 2] = ["net/ipv6/conf/all/forwarding", "net/ipv6/conf/ens5/accept_ra"];

#[tokio::test(start_paused = true)]
async fn an_ipv6_address_that_never_comes_is_named_and_the_instance_given_back() {
    let scene = Scene::with(Setting { deadline: "1m", ..Setting::default() });
    for name in SETTINGS {
        let path = scene.machine.path(format!("/proc/sys/{name}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "0\n").unwrap();
    }
    let text = String::from_utf8(scene.object(&scene.keys().config(&scene.revision)).unwrap());
    let text = text
        .unwrap()
        .replace("10.128.0.0/16", "fd00:64::/48")
        .replace("10.96.0.0/16", "fd00:96::/112")
        .replace("10.96.0.10", "fd00:96::a");
    let assigned = scene.region.with(|state, now| {
        put_revision(state, "workers", &text, now);
        let (ec2, ids) = (&mut state.ec2, &mut state.ids);
        let held = ec2.interfaces_of(&scene.instance)[0].clone();
        let block = ec2.add_ipv6_block(ids, &held.vpc).unwrap().cidr;
        let part = Ipv6Net::new(block.network(), 64).unwrap().to_string();
        ec2.add_subnet_ipv6_block(ids, &held.subnet, &part).unwrap();
        let wish = integration::region::ec2::Ipv6Wish { count: Some(1), addresses: Vec::new() };
        ec2.assign_ipv6_addresses(ids, &held.id, &wish).unwrap()[0]
    });
    let admitter = scene.admitter().await;
    let (said, code) = scene.failure().await;
    admitter.abort();
    assert_eq!(
        (said.as_str(), code),
        (
            format!(
                "the primary interface has no IPv6 address and router within 1 min, although EC2 \
                 assigned {assigned}\n\
                 hint: the image must accept router advertisements and ask by DHCPv6, such as with \
                 `DHCP=yes` of systemd-networkd"
            )
            .as_str(),
            1
        )
    );
    assert_eq!(scene.lifecycle(), None, "the group replaces it");
    let steps = scene.report().steps;
    let last = steps.last().unwrap();
    assert_eq!((last.name.as_str(), last.waited_for.as_deref()), ("ipv6", Some("network")));
}
