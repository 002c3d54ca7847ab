//! What the daemon does with a request.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::leaving;
use super::request::{FaultRule, Request};
use crate::lab::fleet::Vms;
use crate::lab::running::Lab;
use crate::lab::{account, groups};
use crate::region::State;

/// An instance and its machine, for people and programs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    pub instance: String,
    /// The group of nodes.
    pub group: String,
    pub zone: String,
    pub address: String,
    pub private_dns_name: String,
    /// EC2's: `running`.
    pub state: String,
    /// Auto Scaling's: `Pending:Wait`.
    pub lifecycle: Option<String>,
    /// The machine's PID 1 or, of a virtual machine, qemu, while it runs.
    pub pid: Option<u32>,
    /// The guest agent's socket of a virtual machine.
    pub agent: Option<PathBuf>,
    /// When a virtual machine was switched on.
    pub powered_on: Option<SystemTime>,
    /// Why the machine could not be switched on.
    pub trouble: Option<String>,
    pub console: String,
}

pub async fn answer(lab: &Lab, request: Request) -> Result<Value> {
    let region = &lab.region;
    match request {
        Request::Status => Ok(serde_json::to_value(statuses(lab))?),
        Request::Environment => {
            let variables: BTreeMap<_, _> = lab.environment.0.iter().cloned().collect();
            Ok(serde_json::to_value(variables)?)
        }
        Request::Launch { group, count } => {
            check(&group)?;
            let wanted = groups::desired(region, &lab.account, &group).await? + count;
            groups::scale(region, &lab.account, &group, wanted).await?;
            Ok(json!({"group": group, "desired": wanted}))
        }
        Request::Scale { group, to } => {
            check(&group)?;
            groups::scale(region, &lab.account, &group, to).await?;
            Ok(json!({"group": group, "desired": to}))
        }
        Request::Refresh { group, how } => {
            check(&group)?;
            let id = groups::refresh(region, &lab.account, &group, how).await?;
            Ok(json!({"group": group, "refresh": id}))
        }
        Request::Refreshes { group } => {
            check(&group)?;
            groups::refreshes(region, &lab.account, &group).await
        }
        Request::WarmPool { group, pool } => {
            check(&group)?;
            groups::warm_pool(region, &lab.account, &group, &pool).await?;
            Ok(json!({"group": group, "prepared": pool.prepared, "state": pool.state}))
        }
        Request::LaunchAlone { group } => {
            check(&group)?;
            let instance = groups::launch_alone(region, &lab.account, &group).await?;
            Ok(serde_json::to_value(find(lab, &instance)?)?)
        }
        Request::Terminate { node } => {
            let found = find(lab, &node)?;
            if found.lifecycle.is_some() {
                groups::terminate(region, &lab.account, &found.instance).await?;
            } else {
                let ended = ec2(lab).terminate_instances().instance_ids(&found.instance).send();
                ended.await.with_context(|| format!("cannot terminate `{}`", found.instance))?;
            }
            Ok(serde_json::to_value(found)?)
        }
        Request::Reboot { node } => {
            let found = find(lab, &node)?;
            let rebooted = ec2(lab).reboot_instances().instance_ids(&found.instance).send().await;
            rebooted.with_context(|| format!("cannot reboot `{}`", found.instance))?;
            Ok(serde_json::to_value(found)?)
        }
        Request::Stop { node } => {
            let found = find(lab, &node)?;
            let stopped = ec2(lab).stop_instances().instance_ids(&found.instance).send().await;
            stopped.with_context(|| format!("cannot stop `{}`", found.instance))?;
            Ok(serde_json::to_value(found)?)
        }
        Request::Start { node } => {
            let found = find(lab, &node)?;
            let started = ec2(lab).start_instances().instance_ids(&found.instance).send().await;
            started.with_context(|| format!("cannot start `{}`", found.instance))?;
            Ok(serde_json::to_value(found)?)
        }
        Request::Cut { node } => {
            let found = find_vm(lab, &node)?;
            lab.fleet.cut(&found.instance);
            Ok(serde_json::to_value(found)?)
        }
        Request::PowerOn { node } => {
            let found = find_vm(lab, &node)?;
            lab.fleet.power_on(&found.instance);
            Ok(serde_json::to_value(found)?)
        }
        Request::Shape(shape) => {
            *vms(lab)?.shape.lock().expect("the machines' shape") = shape;
            Ok(Value::Null)
        }
        Request::Spot { node, action, seconds } => {
            let instance = find(lab, &node)?.instance;
            leaving::spot(region, &instance, &action, Duration::from_secs(seconds))
        }
        Request::Rebalance { node } => leaving::rebalance(region, &find(lab, &node)?.instance),
        Request::Maintenance { node, code, seconds } => {
            let instance = find(lab, &node)?.instance;
            leaving::maintenance(region, &instance, &code, Duration::from_secs(seconds))
        }
        Request::CancelMaintenance { node } => {
            leaving::cancel_maintenance(region, &find(lab, &node)?.instance)
        }
        Request::Find { node } => Ok(serde_json::to_value(find(lab, &node)?)?),
        Request::AddFault(rule) => {
            region.faults().add(rule.to_rule()?);
            Ok(Value::Null)
        }
        Request::ListFaults => {
            let rules = region.faults().list();
            let shown = rules
                .iter()
                .map(|(rule, hits)| json!({"rule": FaultRule::of(rule), "calls": hits}));
            Ok(shown.collect())
        }
        Request::ClearFaults => {
            region.faults().clear();
            Ok(Value::Null)
        }
        Request::Balancer => Ok(serde_json::to_value(lab.balancer.status())?),
        Request::Drops => Ok(serde_json::to_value(lab.fleet.room().router.drops()?)?),
        Request::Advance { seconds } => {
            region.clock().advance(Duration::from_secs(seconds));
            Ok(json!({"now": region.clock().now().to_string()}))
        }
        Request::Skew { seconds } => {
            region.clock().skew(time::Duration::seconds(seconds));
            Ok(Value::Null)
        }
        Request::Calls { since } => Ok(serde_json::to_value(region.calls().since(since))?),
        Request::End => bail!("the lab ends by its own loop"),
    }
}

/// EC2 as whoever owns the account has it.
fn ec2(lab: &Lab) -> aws_sdk_ec2::Client {
    aws_sdk_ec2::Client::new(&account::sdk(&lab.region, &lab.account.administrator))
}

fn vms(lab: &Lab) -> Result<&Vms> {
    let vms = lab.fleet.room().vms.as_ref();
    vms.context("this lab has no virtual machines\nhint: `cargo lab vm up` makes one that has")
}

/// A worker of a lab whose workers are virtual machines.
fn find_vm(lab: &Lab, node: &str) -> Result<Status> {
    vms(lab)?;
    let found = find(lab, node)?;
    if found.group == "control-plane" {
        bail!("{} is of the control plane and no virtual machine", found.instance);
    }
    Ok(found)
}

fn check(group: &str) -> Result<()> {
    let known = account::GROUPS.map(|(name, _)| name);
    if !known.contains(&group) {
        bail!("there is no group `{group}`\nhint: one of {}", known.join(", "));
    }
    Ok(())
}

fn statuses(lab: &Lab) -> Vec<Status> {
    let machines = lab.fleet.states();
    lab.region.with(|state, _| {
        let status = |instance: &crate::region::ec2::Instance| {
            let machine = machines.get(&instance.id).cloned().unwrap_or_default();
            Status {
                group: group_of(lab, state, &instance.id),
                zone: instance.zone.clone(),
                address: instance.address.to_string(),
                private_dns_name: instance.private_dns_name.clone(),
                state: instance.state.name().to_owned(),
                lifecycle: state
                    .autoscaling
                    .member(&instance.id)
                    .map(|(_, member)| member.lifecycle_state().to_owned()),
                pid: machine.pid,
                agent: machine.agent,
                powered_on: machine.powered_on,
                trouble: machine.trouble,
                console: lab.fleet.console(&instance.id).display().to_string(),
                instance: instance.id.clone(),
            }
        };
        state.ec2.instances().map(status).collect()
    })
}

/// The group of nodes for which it was launched, as both an Auto Scaling group and its launch
/// template are called; the tags outlive its membership.
fn group_of(lab: &Lab, state: &State, instance: &str) -> String {
    let tags = state.ec2.tags_of(instance);
    let group = tags.get("aws:autoscaling:groupName").or_else(|| tags.get("Name"));
    let group = group.map(String::as_str).unwrap_or_default();
    group.strip_prefix(&format!("{}-", lab.account.cluster)).unwrap_or(group).to_owned()
}

/// By instance id, private DNS name or its first label, or by any unambiguous part of them.
fn find(lab: &Lab, node: &str) -> Result<Status> {
    let all = statuses(lab);
    let exact = |status: &&Status| {
        status.instance == node
            || status.private_dns_name == node
            || status.private_dns_name.split('.').next() == Some(node)
    };
    if let Some(found) = all.iter().find(exact) {
        return Ok(found.clone());
    }
    let part = |status: &&Status| {
        status.state != "terminated"
            && (status.instance.contains(node) || status.private_dns_name.contains(node))
    };
    let found: Vec<_> = all.iter().filter(part).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => None.with_context(|| {
            format!("no instance is called `{node}`\nhint: `cargo lab status` lists them")
        }),
        several => {
            let names: Vec<_> = several.iter().map(|status| status.instance.as_str()).collect();
            bail!("`{node}` may be any of {}", names.join(", "))
        }
    }
}
