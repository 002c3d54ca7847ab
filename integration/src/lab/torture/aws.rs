//! The region of one scene: an Auto Scaling group with one instance, whose role has the shipped policy,
//! and with a hook that the instance has to complete.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use ipnet::Ipv4Net;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinHandle;
use windlass::policies::{CLUSTER_TAG, Identity, Scope, render};

use crate::region::autoscaling::{
    By, Finished, GroupTag, NewGroup, NewHook, Transition, create_group, delete_hook,
    terminate_member,
};
use crate::region::call::ServiceError;
use crate::region::ec2::{
    Author, IMAGE_X86_64, InterruptionAction, LaunchSpec, Market, MetadataChange, ProfileSpec,
    Tags, TemplateName,
};
use crate::region::imds::Machine;
use crate::region::{Profile, Region, Settings, State};

pub const CLUSTER: &str = "torture";
pub const BUCKET: &str = "torture-kubernetes";
pub const GROUP: &str = "torture-workers";
/// The hook that is the node's to complete.
pub const HOOK: &str = "windlass-termination";
/// One that is somebody else's, where there is any.
pub const OTHERS_HOOK: &str = "backup";
/// The least that Auto Scaling takes.
const TIMEOUT: Duration = Duration::from_secs(30);
/// When an action is abandoned, the group's other ones end with it.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(3600);
/// IMDS answers for so long after the last hook.
const SHUTTING_DOWN: Duration = Duration::from_secs(5);
const ROLE: &str = "workers";

/// What AWS is to be like.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Of ids, secrets and latencies.
    pub seed: u64,
    pub latency: Profile,
    /// How long IMDS does not tell yet what was announced.
    pub lag: Duration,
    /// The group has a second termination hook, which nobody completes.
    pub others_hook: bool,
}

/// It; its time ends when it is dropped.
pub struct Aws {
    pub region: Region,
    pub instance: String,
    running: JoinHandle<()>,
}

impl Aws {
    /// Within a runtime.
    pub fn new(wanted: &Wanted) -> Result<Self> {
        let settings = Settings {
            latency: wanted.latency,
            ..Settings::new(wanted.seed, OffsetDateTime::now_utc())
        };
        let region = Region::new(settings);
        region.with(|state, now| lay_out(state, wanted, now)).map_err(refused)?;
        let instance = region.with(|state, _| {
            let group = state.autoscaling.group(GROUP)?;
            Some(group.members.keys().next()?.clone())
        });
        let instance = instance.context("the group launched nothing")?;
        let running = tokio::spawn(region.clone().run());
        Ok(Self { region, instance, running })
    }

    /// What the instance's metadata are made from.
    pub fn machine(&self) -> Result<Machine> {
        let found = self.region.with(|state, _| {
            let address = state.ec2.instance(&self.instance)?.address;
            state.ec2.machine_at(address.into())
        });
        found.with_context(|| format!("there is no {}", self.instance))
    }

    /// The role's id and the instance profile's ARN.
    pub fn role(&self) -> Result<(String, String)> {
        let found = self.region.with(|state, _| {
            Some((state.iam.role(ROLE)?.role_id.clone(), state.iam.profile_arn(ROLE)))
        });
        found.context("there is no role")
    }

    pub fn now(&self) -> OffsetDateTime {
        self.region.clock().now()
    }

    /// The group takes the instance out of service.
    pub fn terminate(&self) -> Result<()> {
        let ended =
            self.region.with(|state, now| terminate_member(state, &self.instance, true, now));
        ended.map(drop).map_err(refused)
    }

    /// EC2 will interrupt it after this time.
    pub fn interrupt(&self, notice: Duration) -> Result<OffsetDateTime> {
        let told = self.region.with(|state, now| {
            state.ec2.interrupt(&self.instance, InterruptionAction::Terminate, notice, now)
        });
        told.map_err(refused)
    }

    /// EC2 says that it may.
    pub fn recommend_rebalance(&self) -> Result<()> {
        let told =
            self.region.with(|state, now| state.ec2.recommend_rebalance(&self.instance, now));
        told.map_err(refused)
    }

    /// Somebody deletes the hook.
    pub fn delete_hook(&self) -> Result<()> {
        self.region.with(|state, now| delete_hook(state, GROUP, HOOK, now)).map_err(refused)
    }

    /// The instance's lifecycle actions that are over.
    pub fn finished(&self) -> Vec<Finished> {
        self.region.with(|state, _| {
            let all = state.autoscaling.finished().iter();
            all.filter(|it| it.instance == self.instance).cloned().collect()
        })
    }

    /// How the action of the node's own hook ended, when it did.
    pub async fn own_hook_over(&self) -> Finished {
        loop {
            if let Some(found) = self.finished().into_iter().find(|it| it.hook == HOOK) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What the instance asked of Auto Scaling, and what a fault struck of the rest: when, and what
    /// became of it.
    pub fn calls(&self) -> Vec<(OffsetDateTime, String)> {
        let records = self.region.calls().records().into_iter();
        let telling = records.filter(|it| it.service == "autoscaling" || it.fault.is_some());
        let said = telling.filter_map(|it| {
            let code = it.code.map(|code| format!(" {code}")).unwrap_or_default();
            let fault = it.fault.map(|fault| format!(", {fault}")).unwrap_or_default();
            let at = OffsetDateTime::parse(&it.at, &Rfc3339).ok()?;
            Some((at, format!("{}: {}{code} after {:.0} ms{fault}", it.action, it.status, it.ms)))
        });
        said.collect()
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Whether a call of somebody ended it with a CONTINUE.
pub fn is_continue(finished: &Finished) -> bool {
    finished.by == By::Call && finished.result.name() == "CONTINUE"
}

fn lay_out(state: &mut State, wanted: &Wanted, now: OffsetDateTime) -> Result<(), ServiceError> {
    state.imds.credentials_delay = Duration::ZERO;
    state.imds.lag = wanted.lag;
    state.ec2.timing.shutting_down = SHUTTING_DOWN;
    let scope = Scope {
        cluster: CLUSTER.to_owned(),
        bucket: BUCKET.to_owned(),
        region: Some(state.settings.name.clone()),
        account: None,
        kms_key: None,
    };
    state.s3.create_bucket(BUCKET, now);
    let shipped = render(Identity::Worker, &scope).expect("names that fit a policy");
    state.iam.add_role(&mut state.ids, ROLE, &[(ROLE, &shipped)]).expect("a policy");
    let vpc = state.ec2.create_vpc(&mut state.ids, "10.0.0.0/16")?;
    let subnet = state.ec2.create_subnet(&mut state.ids, &vpc, None, "10.0.1.0/24")?;
    let by = Author { arn: "arn:aws:iam::123456789012:user/operator", now };
    let template = state.ec2.create_template(&mut state.ids, GROUP, None, spec(), by)?;
    let tag = GroupTag {
        key: CLUSTER_TAG.to_owned(),
        value: CLUSTER.to_owned(),
        propagate_at_launch: false,
    };
    let others = wanted.others_hook.then(|| hook(OTHERS_HOOK, OTHERS_TIMEOUT));
    let group = NewGroup {
        tags: vec![tag],
        hooks: [hook(HOOK, TIMEOUT)].into_iter().chain(others).collect(),
        ..NewGroup::of(GROUP, TemplateName::Id(template), &[&subnet], 1)
    };
    create_group(state, group, now)
}

fn hook(name: &str, timeout: Duration) -> NewHook {
    NewHook {
        name: name.to_owned(),
        transition: Some(Transition::Terminating),
        heartbeat_timeout: Some(timeout),
        ..NewHook::default()
    }
}

fn spec() -> LaunchSpec {
    let tags = Tags::from_iter([(CLUSTER_TAG.to_owned(), CLUSTER.to_owned())]);
    LaunchSpec {
        image: Some(IMAGE_X86_64.to_owned()),
        instance_type: Some("m5.large".to_owned()),
        profile: Some(ProfileSpec::Name(ROLE.to_owned())),
        market: Some(Market::Spot),
        metadata: MetadataChange {
            tokens_required: Some(true),
            tags_enabled: Some(true),
            ..MetadataChange::default()
        },
        tags: ["instance", "network-interface"].map(|kind| (kind.to_owned(), tags.clone())).into(),
        ..LaunchSpec::default()
    }
}

/// The instance's address and its subnet.
pub fn network(machine: &Machine) -> Result<(Ipv4Addr, Ipv4Net, String)> {
    let interface = machine.interfaces.first().context("the instance has no interface")?;
    let address = interface.private_ipv4s.first().context("its interface has no address")?;
    Ok((*address, interface.subnet_ipv4_cidr, interface.mac.clone()))
}

fn refused(error: ServiceError) -> anyhow::Error {
    anyhow!("{}: {}", error.code, error.message)
}
