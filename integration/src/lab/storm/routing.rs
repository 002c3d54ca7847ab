//! A scene's routes, as somebody sees and changes them who is not an admitter.

use ipnet::IpNet;
use windlass::exchange::InstanceId;
use windlass::policies::CLUSTER_TAG;

use super::scene::{Launch, Scene};
use crate::region::call::Service;
use crate::region::ec2::{Route, Target, Towards};
use crate::region::{Fault, Rule};

impl Scene {
    /// The cluster's only route table.
    pub fn table(&self) -> String {
        self.region.with(|state, _| {
            let mut tables = state.ec2.route_tables();
            let tagged = tables.find(|it| state.ec2.tags_of(&it.id).contains_key(CLUSTER_TAG));
            tagged.expect("a tagged table").id.clone()
        })
    }

    pub fn interface_of(&self, instance: &InstanceId) -> String {
        self.region.with(|state, _| {
            state.ec2.instance(instance.as_str()).expect("an instance").interfaces[0].clone()
        })
    }

    pub fn route_to(&self, destination: &IpNet) -> Option<Target> {
        let table = self.table();
        self.region.with(|state, _| {
            let table = state.ec2.route_table(&table).expect("the table");
            table.route_to(*destination).map(|route: &Route| route.target.clone())
        })
    }

    /// A running instance of somebody else's in the cluster's VPC.
    pub async fn stranger(&self) -> String {
        let instance = self.launch(Launch { tagged: false, ..Launch::WORKER });
        self.until_running(&instance).await;
        self.interface_of(&instance)
    }

    pub fn create_route(&self, destination: IpNet, interface: &str) {
        let (table, towards) = (self.table(), Towards::Interface(interface.to_owned()));
        self.region.with(|state, now| {
            state.ec2.create_route(&table, destination, &towards, now).expect("a route");
        });
    }

    pub fn fail(&self, action: &str, fault: Fault, times: u64) {
        let rule = Rule::always(fault).on(Service::Ec2, action);
        self.region.faults().add(rule.times(times));
    }

    pub fn count(&self, action: &str) -> u64 {
        self.region.calls().count("", &format!("ec2:{action}"))
    }
}
