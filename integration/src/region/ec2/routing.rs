//! Routes that come, change and go: EC2 API Reference, "CreateRoute", "ReplaceRoute",
//! "DeleteRoute"; Amazon VPC User Guide, "Configure route tables", "Amazon VPC quotas".

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use time::OffsetDateTime;

use super::instance::{Instance, InstanceState};
use super::route_table::{Origin, Route, RouteTable, Target};
use super::{Ec2, errors};
use crate::region::call::ServiceError;

/// "Routes per route table": the default since June 2025. It can be raised to 1,000.
pub(super) const ROUTES_PER_TABLE: usize = 500;

/// "You can't add routes to IPv4 addresses that are an exact match or a subset of the following
/// range", link-local addresses for AWS' own services, and the same for IPv6.
const RESERVED: (Ipv4Net, Ipv6Net) = (
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 168, 0), 22),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),
);

/// What a request names as a route's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Towards {
    /// Its primary interface is meant.
    Instance(String),
    Interface(String),
    /// `igw-…`
    Gateway(String),
    /// What a local route had at first.
    Local,
}

impl Ec2 {
    /// A route more. Any route with the same destination, a local one too, is in its way.
    pub fn create_route(
        &mut self,
        table: &str,
        destination: IpNet,
        towards: &Towards,
        now: OffsetDateTime,
    ) -> Result<(), ServiceError> {
        let destination = destination.trunc();
        let held = self.route_table(table)?;
        let target = self.target(held, destination, towards, now)?;
        if held.route_to(destination).is_some() {
            return Err(ServiceError::client(
                "RouteAlreadyExists",
                format!("The route identified by {destination} already exists."),
            ));
        }
        // "This quota is enforced separately for IPv4 routes and IPv6 routes." Whether local routes
        // count the page does not say; that they do is the stricter reading.
        let same_family = held.routes.iter().filter(|route| {
            matches!(route.destination, IpNet::V4(_)) == matches!(destination, IpNet::V4(_))
        });
        if same_family.count() >= self.routes_per_table {
            return Err(ServiceError::client(
                "RouteLimitExceeded",
                "The maximum number of routes has been reached.",
            ));
        }
        let route = Route { destination, target, origin: Origin::CreateRoute };
        self.change_table(table, |held| held.routes.push(route))
    }

    /// Another target for a route. "The value that you provide must match the CIDR of an existing
    /// route in the table": host bits are not forgiven here.
    pub fn replace_route(
        &mut self,
        table: &str,
        destination: IpNet,
        towards: &Towards,
        now: OffsetDateTime,
    ) -> Result<(), ServiceError> {
        let held = self.route_table(table)?;
        let route = held.route_to(destination).ok_or_else(|| no_route_to_replace(destination))?;
        if *towards == Towards::Local && route.origin != Origin::CreateRouteTable {
            return Err(ServiceError::client(
                "InvalidParameterValue",
                "local-target only allowed with network local destination CIDRs",
            ));
        }
        let target = self.target(held, destination, towards, now)?;
        self.change_table(table, |held| {
            let mut routes = held.routes.iter_mut();
            if let Some(route) = routes.find(|route| route.destination == destination) {
                route.target = target;
            }
        })
    }

    /// "The value you specify must match the CIDR for the route exactly."
    pub fn delete_route(&mut self, table: &str, destination: IpNet) -> Result<(), ServiceError> {
        let route = self.route_table(table)?.route_to(destination);
        match route.map(|route| route.origin) {
            None => Err(errors::no_route(table, destination)),
            Some(Origin::CreateRouteTable) => Err(ServiceError::client(
                "InvalidParameterValue",
                format!("cannot remove local route {destination} in route table {table}"),
            )),
            Some(Origin::CreateRoute) => self.change_table(table, |held| {
                held.routes.retain(|route| route.destination != destination);
            }),
        }
    }

    fn change_table(
        &mut self,
        table: &str,
        change: impl FnOnce(&mut RouteTable),
    ) -> Result<(), ServiceError> {
        change(self.route_tables.get_mut(table).ok_or_else(|| errors::no_route_table(table))?);
        self.touch_network();
        Ok(())
    }

    /// The target, if it is there, in the table's VPC, and one that the destination may have.
    fn target(
        &self,
        table: &RouteTable,
        destination: IpNet,
        towards: &Towards,
        now: OffsetDateTime,
    ) -> Result<Target, ServiceError> {
        let target = match towards {
            Towards::Local => Target::Local,
            Towards::Instance(id) => Target::Interface(self.only_interface_of(id, now)?),
            Towards::Interface(id) => {
                self.interface(id)?;
                let holder = self.holder_of(id);
                holder.map_or(Ok(()), |holder| has_arrived(holder, now))?;
                Target::Interface(id.clone())
            }
            Towards::Gateway(id) => {
                self.internet_gateway(id).ok_or_else(|| errors::no_gateway(id))?;
                Target::Gateway(id.clone())
            }
        };
        let (id, vpc) = match &target {
            Target::Local => return Ok(target),
            Target::Interface(id) => (id, self.interface(id)?.vpc.clone()),
            Target::Gateway(id) => (
                id,
                self.internet_gateway(id).and_then(|held| held.vpc.clone()).unwrap_or_default(),
            ),
        };
        if vpc != table.vpc {
            return Err(errors::different_networks(&table.id, id));
        }
        self.ensure_allowed(table, destination, &target)?;
        Ok(target)
    }

    /// "You can add a route that is more specific than the local route. The destination must match
    /// the entire CIDR block of a subnet in your VPC", and the target be an interface.
    fn ensure_allowed(
        &self,
        table: &RouteTable,
        destination: IpNet,
        target: &Target,
    ) -> Result<(), ServiceError> {
        let refuse = |why: &str| {
            let what = format!("The destination CIDR block {destination} {why}");
            Err(ServiceError::client("InvalidParameterValue", what))
        };
        let reserved = match destination {
            IpNet::V4(block) => RESERVED.0.contains(&block),
            IpNet::V6(block) => RESERVED.1.contains(&block),
        };
        if reserved {
            return refuse("is reserved for use by AWS services.");
        }
        let local = |route: &&Route| route.origin == Origin::CreateRouteTable;
        let mut blocks = table.routes.iter().filter(local).map(|route| route.destination);
        if !blocks.clone().any(|block| block.contains(&destination)) {
            return Ok(());
        }
        if matches!(target, Target::Gateway(_)) {
            return refuse(
                "is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance.",
            );
        }
        let mut subnets = self.subnets.values().filter(|subnet| subnet.vpc == table.vpc);
        if blocks.any(|block| block == destination)
            || subnets.any(|subnet| subnet.has_block(destination))
        {
            return Ok(());
        }
        refuse(
            "is more specific than one of this VPC's CIDR blocks and does not match the CIDR block of a subnet.",
        )
    }

    /// The primary interface of an instance that has no other and runs.
    pub(super) fn only_interface_of(
        &self,
        instance: &str,
        now: OffsetDateTime,
    ) -> Result<String, ServiceError> {
        let held = self.known_instance(instance, now)?;
        has_arrived(held, now)?;
        if held.state != InstanceState::Running {
            return Err(wrong_state(held.state.name()));
        }
        self.sole_interface_of(held).map(str::to_owned)
    }

    /// The interface that is meant by naming an instance.
    pub(super) fn sole_interface_of<'a>(
        &self,
        instance: &'a Instance,
    ) -> Result<&'a str, ServiceError> {
        match instance.interfaces.as_slice() {
            [one] => Ok(one),
            _ => Err(ServiceError::client(
                "InvalidInstanceID",
                format!(
                    "There are multiple interfaces attached to instance '{}'. Please specify an interface ID for the operation instead.",
                    instance.id
                ),
            )),
        }
    }

    /// The instance, once Describe actions know it too.
    pub(super) fn known_instance(
        &self,
        id: &str,
        now: OffsetDateTime,
    ) -> Result<&Instance, ServiceError> {
        if !super::instance::well_formed(id) {
            return Err(errors::malformed_instance(id));
        }
        let known = self.instances.get(id).filter(|held| held.visible_at <= now);
        known.ok_or_else(|| errors::no_instances(&[id]))
    }
}

/// EC2 says so of an instance that is pending, and for a moment of one that it calls running.
fn has_arrived(instance: &Instance, now: OffsetDateTime) -> Result<(), ServiceError> {
    match instance.state {
        InstanceState::Pending { .. } => Err(wrong_state("pending-instance-creation")),
        InstanceState::Running if now < instance.settled_at => Err(wrong_state("unknown-running")),
        _ => Ok(()),
    }
}

fn wrong_state(state: &str) -> ServiceError {
    ServiceError::client(
        "IncorrectInstanceState",
        format!("Instance with state '{state}' is not valid for this operation."),
    )
}

/// Not InvalidRoute.NotFound, although the page of error codes has that for a missing route: it is
/// what EC2 answers.
fn no_route_to_replace(destination: IpNet) -> ServiceError {
    ServiceError::client(
        "InvalidParameterValue",
        format!(
            "There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
        ),
    )
}
