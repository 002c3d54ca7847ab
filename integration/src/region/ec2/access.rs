//! What a caller must be allowed: Service Authorization Reference, "Actions, resources, and
//! condition keys for Amazon EC2".

use super::wire::{template_name, wish};
use super::{Ec2, ProfileSpec, tags};
use crate::region::call::Call;
use crate::region::iam::Access;
use crate::region::params::Params;
use crate::region::state::State;

/// Every access must be allowed. Describe actions have no resource-level permissions.
pub fn requires(state: &State, call: &Call<'_>) -> Vec<Access> {
    let (ec2, params) = (&state.ec2, call.params);
    let action = format!("ec2:{}", call.action);
    if call.action.starts_with("Describe") {
        return vec![ec2.access(&action, "*")];
    }
    let named: Vec<&str> = match call.action {
        "RunInstances" => return running(state, params),
        "CreateTags" | "DeleteTags" => return tagging(ec2, &action, params),
        "CreateVpc" => return creating(ec2, &action, "vpc", &[], params),
        "CreateSubnet" => return creating(ec2, &action, "subnet", &["VpcId"], params),
        "CreateRouteTable" => return creating(ec2, &action, "route-table", &["VpcId"], params),
        "CreateSecurityGroup" => {
            return creating(ec2, &action, "security-group", &["VpcId"], params);
        }
        "CreateInternetGateway" => {
            return creating(ec2, &action, "internet-gateway", &[], params);
        }
        "CreateLaunchTemplate" => return creating(ec2, &action, "launch-template", &[], params),
        "CreateLaunchTemplateVersion" | "ModifyLaunchTemplate" | "DeleteLaunchTemplate" => {
            return vec![ec2.on_template(&action, params)];
        }
        "DisassociateRouteTable" => return ec2.on_association(&action, params),
        // A route's target is no resource of the call: only the table is.
        "CreateRoute" | "ReplaceRoute" | "DeleteRoute" => {
            return params.get("RouteTableId").map(|id| ec2.on(&action, id)).into_iter().collect();
        }
        "AssignIpv6Addresses" | "UnassignIpv6Addresses" => {
            params.get("NetworkInterfaceId").into_iter().collect()
        }
        "ModifyNetworkInterfaceAttribute" => {
            let groups = params.list("SecurityGroupId");
            params.get("NetworkInterfaceId").into_iter().chain(groups).collect()
        }
        "ModifyInstanceAttribute" => params.list("GroupId"),
        _ => ["VpcId", "SubnetId", "RouteTableId", "InternetGatewayId"]
            .iter()
            .filter_map(|name| params.get(name))
            .collect(),
    };
    let single = params.get("InstanceId").into_iter();
    let all = named.into_iter().chain(params.list("InstanceId")).chain(single);
    all.map(|id| ec2.on(&action, id)).collect()
}

/// RunInstances touches what it makes and what it uses, and passes a role on.
fn running(state: &State, params: &Params) -> Vec<Access> {
    let ec2 = &state.ec2;
    let action = "ec2:RunInstances";
    let spec = wish(ec2, params).unwrap_or_default().0;
    let of_type = |access: Access| match &spec.instance_type {
        Some(name) => access.with("ec2:InstanceType", name),
        None => access,
    };
    let request = tags::all_specified(params);
    let mut needed = Vec::new();
    for kind in ["instance", "network-interface", "volume"] {
        let access = of_type(ec2.access(action, &ec2.arn(kind, "*")));
        needed.push(with_request(access, request.get(kind).into_iter().flatten()));
    }
    if let Some(image) = &spec.image {
        needed.push(ec2.access(action, &format!("arn:aws:ec2:{}::image/{image}", ec2.region)));
    }
    let subnets =
        spec.subnet.iter().chain(spec.interfaces.iter().filter_map(|held| held.subnet.as_ref()));
    let groups = spec.groups.iter().chain(spec.interfaces.iter().flat_map(|held| &held.groups));
    needed.extend(subnets.chain(groups).map(|id| ec2.on(action, id)));
    if !params.structure("LaunchTemplate").is_empty() {
        needed.push(ec2.on_template(action, &params.structure("LaunchTemplate")));
    }
    for (kind, tags) in request.iter().filter(|(_, tags)| !tags.is_empty()) {
        let access = ec2
            .access("ec2:CreateTags", &ec2.arn(kind, "*"))
            .with("ec2:CreateAction", "RunInstances");
        needed.push(with_request(access, tags));
    }
    if let Some(ProfileSpec::Name(profile) | ProfileSpec::Arn(profile)) = &spec.profile {
        let role = profile.rsplit('/').next().unwrap_or(profile);
        let arn = format!("arn:aws:iam::{}:role/{role}", ec2.account);
        needed.push(
            Access::new("iam:PassRole", arn).with("iam:PassedToService", "ec2.amazonaws.com"),
        );
    }
    needed
}

fn tagging(ec2: &Ec2, action: &str, params: &Params) -> Vec<Access> {
    let tags = tags::listed(params);
    params
        .list("ResourceId")
        .into_iter()
        .map(|id| with_request(ec2.on(action, id), &tags))
        .collect()
}

/// The new resource, those it is made in, and its tags.
fn creating(ec2: &Ec2, action: &str, kind: &str, within: &[&str], params: &Params) -> Vec<Access> {
    let new = ec2.arn(kind, "*");
    let tags = tags::specified(params, kind);
    let mut needed = vec![with_request(ec2.access(action, &new), &tags)];
    needed.extend(within.iter().filter_map(|name| params.get(name)).map(|id| ec2.on(action, id)));
    if !tags.is_empty() {
        let create = action.trim_start_matches("ec2:");
        let access = ec2.access("ec2:CreateTags", &new).with("ec2:CreateAction", create);
        needed.push(with_request(access, &tags));
    }
    needed
}

/// `aws:RequestTag/…` and `aws:TagKeys`.
fn with_request<'a>(
    access: Access,
    tags: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Access {
    tags.into_iter().fold(access, |access, (key, value)| {
        access.with(format!("aws:RequestTag/{key}"), value).with("aws:TagKeys", key)
    })
}

impl Ec2 {
    fn access(&self, action: &str, resource: &str) -> Access {
        Access::new(action, resource).with("ec2:Region", &self.region)
    }

    /// Access to a resource that exists, with its tags and where it is.
    fn on(&self, action: &str, id: &str) -> Access {
        let arn = self.arn(tags::kind_of(id).unwrap_or("*"), id);
        let tagged =
            self.tags_of(id).iter().fold(self.access(action, &arn), |access, (key, value)| {
                access
                    .with(format!("aws:ResourceTag/{key}"), value)
                    .with(format!("ec2:ResourceTag/{key}"), value)
            });
        let vpc = self.vpc_of(id).map(|vpc| self.arn("vpc", vpc));
        let placed = vpc.into_iter().fold(tagged, |access, vpc| access.with("ec2:Vpc", vpc));
        match self.instances.get(id) {
            None => placed,
            Some(instance) => {
                let access = placed.with("ec2:InstanceType", &instance.instance_type);
                let profile = instance.profile.iter();
                profile.fold(access, |access, profile| {
                    access.with("ec2:InstanceProfile", &profile.arn)
                })
            }
        }
    }

    fn on_template(&self, action: &str, params: &Params) -> Access {
        let id = template_name(params).and_then(|name| Ok(self.template(&name)?.id.clone()));
        id.map_or_else(
            |_| self.access(action, &self.arn("launch-template", "*")),
            |id| self.on(action, &id),
        )
    }

    fn on_association(&self, action: &str, params: &Params) -> Vec<Access> {
        let id = params.get("AssociationId").unwrap_or_default();
        let mut tables = self.route_tables.values();
        let table = tables.find(|table| table.associations.iter().any(|held| held.id == id));
        vec![table.map_or_else(
            || self.access(action, &self.arn("route-table", "*")),
            |table| self.on(action, &table.id),
        )]
    }

    fn vpc_of(&self, id: &str) -> Option<&String> {
        let subnet = self.subnets.get(id).map(|held| &held.vpc);
        let table = self.route_tables.get(id).map(|held| &held.vpc);
        let interface = self.interfaces.get(id).map(|held| &held.vpc);
        let group = self.security_groups.get(id).map(|held| &held.vpc);
        subnet.or(table).or(interface).or(group)
    }
}
