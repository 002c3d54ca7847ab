//! A control-plane node lets itself in: the same rules, the same objects in S3, in this process.

use std::time::Duration;

use anyhow::anyhow;
use aws_config::SdkConfig;
use tokio::time::{Instant, sleep};

use super::Done;
use super::admission::{Asking, describe, new_request};
use super::identity::{Worth, judge};
use super::stop::{Deadline, Stop};
use crate::admit::{Admitter, NotAdmitted, Resources, load_authority};
use crate::client::Wire;
use crate::client::autoscaling::Groups;
use crate::client::ec2::Ec2;
use crate::exchange::{Grant, Request};
use crate::report::Outcome;

/// Before admission is tried again: EC2 may not list an instance for a moment after its launch.
const PAUSE: Duration = Duration::from_secs(1);

/// The grant, signed here.
pub async fn grant(
    asking: Asking<'_>,
    sdk: &SdkConfig,
    wire: &Wire,
    deadline: Deadline,
) -> Result<Done<Grant>, Stop> {
    let request = new_request(asking)?;
    loop {
        let error = match Box::pin(admit(asking, sdk, wire, &request)).await {
            Ok(grant) => return accepted(asking, grant),
            Err(NotAdmitted::Refused(refusal)) => {
                return Err(Stop::because(anyhow!("admission refused this instance: {refusal}")));
            }
            Err(NotAdmitted::Failed(error)) => error,
        };
        if Instant::now() + PAUSE >= deadline.at {
            return Err(Stop::late(error.context(format!("not admitted within {deadline}"))));
        }
        tracing::warn!("letting itself in, trying again: {error:#}");
        sleep(PAUSE).await;
    }
}

async fn admit(
    asking: Asking<'_>,
    sdk: &SdkConfig,
    wire: &Wire,
    request: &Request,
) -> Result<Grant, NotAdmitted> {
    let config = &asking.revision.config;
    let admitter = Admitter::new(Resources {
        store: asking.store.clone(),
        ec2: Ec2::new(sdk),
        groups: Groups::new(sdk),
        clock: wire.time.clone(),
        authority: load_authority(asking.store, config).await?,
        instance: asking.wanted.instance.clone(),
        // It may come up only when kubelet runs; `windlass admit` completes the Node later.
        apiserver: None,
        follows_group: false,
        config: config.clone(),
    });
    Box::pin(admitter.admit_self(asking.user, request)).await
}

fn accepted(asking: Asking<'_>, grant: Grant) -> Result<Done<Grant>, Stop> {
    match judge(&grant, asking.key, asking.wanted) {
        Worth::Counts => {
            let detail = format!("signed here, with pods in {}", describe(&grant));
            Ok(Done { value: grant, outcome: Outcome::Changed, detail })
        }
        Worth::Waits(why) | Worth::Unusable(why) => {
            Err(Stop::because(anyhow!("the grant that was signed here cannot be used: {why}")))
        }
    }
}
