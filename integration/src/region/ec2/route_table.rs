//! Route tables: Amazon VPC User Guide, "Configure route tables".

use ipnet::IpNet;

use super::instance::InstanceState;
use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::ids::Ids;

/// Routes, and the subnets that follow them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    pub id: String,
    pub vpc: String,
    pub associations: Vec<Association>,
    pub routes: Vec<Route>,
}

/// What follows a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// `rtbassoc-…`
    pub id: String,
    pub with: Associated,
}

/// A subnet, or every subnet of the VPC that has no table of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Associated {
    Main,
    Subnet(String),
}

/// Where packets for a destination go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub destination: IpNet,
    pub target: Target,
    pub origin: Origin,
}

/// A route has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Local,
    /// `igw-…`
    Gateway(String),
    /// A route to an instance is one to its interface: DescribeRouteTables tells both.
    Interface(String),
}

/// Whether a route came with the table or was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    CreateRouteTable,
    CreateRoute,
}

/// Whether the target is there. "blackhole: the route's target isn't available".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteState {
    Active,
    Blackhole,
}

impl RouteTable {
    pub(super) fn new(ids: &mut Ids, vpc: &str, blocks: impl IntoIterator<Item = IpNet>) -> Self {
        let mut table = Self {
            id: ids.resource("rtb"),
            vpc: vpc.to_owned(),
            associations: Vec::new(),
            routes: Vec::new(),
        };
        blocks.into_iter().for_each(|block| table.add_local(block));
        table
    }

    /// The route with exactly this destination.
    pub fn route_to(&self, destination: IpNet) -> Option<&Route> {
        self.routes.iter().find(|route| route.destination == destination)
    }

    pub(super) fn add_local(&mut self, destination: IpNet) {
        self.routes.push(Route {
            destination,
            target: Target::Local,
            origin: Origin::CreateRouteTable,
        });
    }
}

impl Ec2 {
    /// A table that nothing follows yet, with the local routes.
    pub fn create_route_table(&mut self, ids: &mut Ids, vpc: &str) -> Result<String, ServiceError> {
        let table = RouteTable::new(ids, vpc, self.vpc(vpc)?.cidrs());
        let id = table.id.clone();
        self.route_tables.insert(id.clone(), table);
        Ok(id)
    }

    /// Makes a subnet follow a table instead of the main one; the answer is the association's ID.
    pub fn associate(
        &mut self,
        ids: &mut Ids,
        table: &str,
        subnet: &str,
    ) -> Result<String, ServiceError> {
        let vpc = self.route_table(table)?.vpc.clone();
        if self.subnet(subnet)?.vpc != vpc {
            return Err(errors::bad_value(
                subnet,
                "subnetId",
                "Route table and subnet belong to different networks.",
            ));
        }
        let with = Associated::Subnet(subnet.to_owned());
        let taken = |held: &&RouteTable| {
            held.associations.iter().any(|association| association.with == with)
        };
        if let Some(holder) = self.route_tables.values().find(taken) {
            return Err(ServiceError::client(
                "Resource.AlreadyAssociated",
                format!(
                    "The specified association for route table {} conflicts with an existing association",
                    holder.id
                ),
            ));
        }
        let id = ids.resource("rtbassoc");
        if let Some(table) = self.route_tables.get_mut(table) {
            table.associations.push(Association { id: id.clone(), with });
        }
        self.touch_network();
        Ok(id)
    }

    /// Lets a subnet follow the main table again.
    pub fn disassociate(&mut self, association: &str) -> Result<(), ServiceError> {
        for table in self.route_tables.values_mut() {
            if let Some(at) = table.associations.iter().position(|held| held.id == association) {
                if table.associations[at].with == Associated::Main {
                    let why = "Cannot disassociate the main route table association.";
                    return Err(errors::bad_value(association, "associationId", why));
                }
                table.associations.remove(at);
                self.touch_network();
                return Ok(());
            }
        }
        Err(errors::no_association(association))
    }

    pub fn route_table(&self, id: &str) -> Result<&RouteTable, ServiceError> {
        self.route_tables.get(id).ok_or_else(|| errors::no_route_table(id))
    }

    /// The table that a subnet follows: its own, or the VPC's main one.
    pub fn table_of_subnet(&self, subnet: &str) -> Option<&RouteTable> {
        let vpc = &self.subnets.get(subnet)?.vpc;
        let following = |with: &Associated| {
            let mut tables = self.route_tables.values().filter(|table| table.vpc == *vpc);
            tables.find(|table| {
                table.associations.iter().any(|association| association.with == *with)
            })
        };
        following(&Associated::Subnet(subnet.to_owned())).or_else(|| following(&Associated::Main))
    }

    /// Whether the route's target is there: an interface is, while it is attached to an instance
    /// that is neither stopped nor terminated; a gateway is, while it is attached to the VPC.
    pub fn state_of_route(&self, route: &Route) -> RouteState {
        let there = match &route.target {
            Target::Local => true,
            Target::Gateway(id) => {
                self.internet_gateway(id).is_some_and(|gateway| gateway.vpc.is_some())
            }
            Target::Interface(id) => self.holder_of(id).is_some_and(|instance| {
                !matches!(instance.state, InstanceState::Stopped | InstanceState::Terminated { .. })
            }),
        };
        if there { RouteState::Active } else { RouteState::Blackhole }
    }
}

impl Origin {
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateRouteTable => "CreateRouteTable",
            Self::CreateRoute => "CreateRoute",
        }
    }
}

impl RouteState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Blackhole => "blackhole",
        }
    }
}
