//! What launches, stops and ends leave behind.

use std::net::Ipv4Addr;

use super::*;

/// Amazon VPC User Guide, "Subnet CIDR blocks".
#[test]
fn a_subnet_gives_its_addresses_but_the_first_four_and_the_last() {
    let mut lab = Fixture::new();
    let launched = lab.launch(&lab.order(11)).expect("eleven instances");
    let addresses: Vec<Ipv4Addr> =
        launched.iter().map(|id| lab.state.ec2.instance(id).expect("listed").address).collect();
    let expected: Vec<Ipv4Addr> = (4..15).map(|last| Ipv4Addr::new(10, 0, 1, last)).collect();
    assert_eq!(addresses, expected);

    let before = lab.state.ec2.instances().count();
    let refused = lab.launch(&lab.order(1)).expect_err("the subnet is full");
    assert_eq!(refused.code, "InsufficientFreeAddressesInSubnet");
    assert_eq!(lab.state.ec2.instances().count(), before);
}

#[test]
fn an_order_that_cannot_be_filled_leaves_nothing_behind() {
    let mut lab = Fixture::new();
    lab.launch(&lab.order(12)).expect_err("one too many");
    assert_eq!(lab.state.ec2.instances().count(), 0);
    assert_eq!(lab.state.ec2.network_interfaces().count(), 0);
    assert_eq!(lab.state.ec2.free_addresses(lab.state.ec2.subnet(&lab.subnet).unwrap()), 11);
}

#[test]
fn an_address_is_not_used_again_while_others_are_free() {
    let mut lab = Fixture::new();
    let first = lab.one();
    lab.state.ec2.terminate(&first, NOON).expect("known");
    lab.after(1);
    let second = lab.one();
    assert_eq!(lab.state.ec2.instance(&second).unwrap().address, Ipv4Addr::new(10, 0, 1, 5));
}

/// EC2 User Guide, "Amazon EC2 instance state changes"; "Terminate Amazon EC2 instances".
#[test]
fn an_instance_lives_through_its_states_and_is_listed_for_an_hour_afterwards() {
    let mut lab = Fixture::new();
    lab.state.ec2.timing = Timing::lifelike();
    let id = lab.one();
    assert_eq!(lab.state_of(&id), Some("pending"));
    lab.after(2);
    assert_eq!(lab.state_of(&id), Some("running"));

    lab.state.ec2.terminate(&id, NOON + Duration::from_secs(10)).expect("known");
    assert_eq!(lab.state_of(&id), Some("shutting-down"));
    assert!(lab.state.ec2.machine_at(Ipv4Addr::new(10, 0, 1, 4).into()).is_some());
    lab.after(12);
    assert_eq!(lab.state_of(&id), Some("terminated"));
    assert!(lab.state.ec2.machine_at(Ipv4Addr::new(10, 0, 1, 4).into()).is_none());
    assert_eq!(lab.state.ec2.network_interfaces().count(), 0);

    lab.after(12 + 3599);
    assert_eq!(lab.state_of(&id), Some("terminated"));
    lab.after(12 + 3600);
    assert_eq!(lab.state_of(&id), None);
    assert_eq!(
        lab.state.events,
        [
            Event::InstancePending { id: id.clone() },
            Event::InstanceRunning { id: id.clone() },
            Event::InstanceShuttingDown { id: id.clone() },
            Event::InstanceTerminated { id },
        ]
    );
}

/// EC2 User Guide, "Stop and start Amazon EC2 instances".
#[test]
fn a_start_gives_a_new_launch_time_and_the_old_address() {
    let mut lab = Fixture::new();
    let id = lab.one();
    lab.after(1);
    let stopped_at = NOON + Duration::from_secs(60);
    lab.state.ec2.stop(&id, stopped_at).expect("running");
    lab.state.advance(stopped_at);
    assert_eq!(lab.state_of(&id), Some("stopped"));
    assert!(lab.state.ec2.machine_at(Ipv4Addr::new(10, 0, 1, 4).into()).is_none());

    let started_at = NOON + Duration::from_secs(120);
    lab.state.ec2.start(&id, started_at).expect("stopped");
    lab.state.advance(started_at);
    let held = lab.state.ec2.instance(&id).expect("listed");
    assert_eq!((held.state, held.launched_at), (InstanceState::Running, started_at));
    assert_eq!(held.address, Ipv4Addr::new(10, 0, 1, 4));
}

/// EC2 API Reference, "Ensuring idempotency".
#[test]
fn two_orders_with_one_client_token_are_one() {
    let mut lab = Fixture::new();
    let order = Order { client_token: Some("once".to_owned()), ..lab.order(2) };
    let first = lab.launch(&order).expect("two instances");
    assert_eq!(lab.launch(&order), Ok(first));
    assert_eq!(lab.state.ec2.instances().count(), 2);
}

/// Amazon VPC User Guide, "Configure route tables".
#[test]
fn a_subnet_follows_its_own_table_and_without_one_the_main_one() {
    let mut lab = Fixture::new();
    let (ec2, ids) = (&mut lab.state.ec2, &mut lab.state.ids);
    let main = ec2.table_of_subnet(&lab.subnet).expect("the main table").id.clone();
    let own = ec2.create_route_table(ids, &lab.vpc).expect("a table");
    let association = ec2.associate(ids, &own, &lab.subnet).expect("associated");
    assert_eq!(ec2.table_of_subnet(&lab.subnet).expect("a table").id, own);
    let again = ec2.associate(ids, &main, &lab.subnet).expect_err("it has one");
    assert_eq!(again.code, "Resource.AlreadyAssociated");
    ec2.disassociate(&association).expect("known");
    assert_eq!(ec2.table_of_subnet(&lab.subnet).expect("a table").id, main);

    ec2.add_block(ids, &lab.vpc, "10.1.0.0/16").expect("a second block");
    let local = |cidr: &str| Route {
        destination: cidr.parse().expect("a CIDR"),
        target: Target::Local,
        origin: Origin::CreateRouteTable,
    };
    let routes = [local("10.0.0.0/16"), local("10.1.0.0/16")];
    assert_eq!(ec2.route_table(&own).expect("kept").routes, routes);
}

#[test]
fn an_interface_makes_a_route_active_only_while_its_instance_is_up() {
    let mut lab = Fixture::new();
    let id = lab.one();
    lab.after(1);
    let interface = lab.state.ec2.instance(&id).expect("listed").interfaces[0].clone();
    let route = Route {
        destination: "100.64.0.0/24".parse().expect("a CIDR"),
        target: Target::Interface(interface),
        origin: Origin::CreateRoute,
    };
    assert_eq!(lab.state.ec2.state_of_route(&route), RouteState::Active);
    lab.state.ec2.terminate(&id, NOON).expect("known");
    lab.after(2);
    assert_eq!(lab.state.ec2.state_of_route(&route), RouteState::Blackhole);
}

#[test]
fn the_same_seed_gives_the_same_region() {
    let region = || {
        let mut lab = Fixture::new();
        lab.launch(&lab.order(3)).expect("three instances");
        lab.after(5);
        format!("{:?}", lab.state.ec2)
    };
    assert_eq!(region(), region());
}
