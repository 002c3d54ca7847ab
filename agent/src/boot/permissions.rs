//! Whether the instance will be able to complete its termination hook, and to hold it up for as long as
//! its pods need: tried while there is time to give its role what it lacks. No hook is called as the one that is tried: Auto Scaling answers who
//! may not ask with `AccessDenied`, and everybody else that there is no such action.

use std::time::Duration;

use futures_util::future::OptionFuture;
use tokio::join;
use tokio::time::timeout;

use super::{Aws, Candidate, Known};
use crate::client::autoscaling::{Error, Hook, Verdict};

const NOBODYS: &str = "windlass-permission-check";

/// The node is Ready: its report, and what systemd starts after it, wait no longer for this.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the role lacks of it, in words for the report.
pub(super) async fn lacking(known: &Known, aws: Aws<'_>, candidate: &Candidate) -> Vec<String> {
    let Candidate { facts, config, .. } = candidate;
    let instance = &facts.instance;
    let (Some(_), Some(group)) = (&config.hooks.termination, &instance.auto_scaling_group) else {
        return Vec::new();
    };
    let hook = Hook::new(aws.sdk, group, NOBODYS, &instance.id);
    // A launch hook of the same group is completed by right of the same permission.
    let complete = known.hook.is_none().then(|| hook.complete(Verdict::Continue));
    let tried = async { join!(hook.heartbeat(), OptionFuture::from(complete)) };
    let Ok((heartbeat, complete)) = timeout(PATIENCE, tried).await else { return Vec::new() };
    let tried = [
        ("hold its termination hook up while pods leave", heartbeat.err()),
        ("complete its termination hook", complete.and_then(Result::err)),
    ];
    let denied = tried.into_iter().filter_map(|(what, error)| Some((what, error?)));
    denied.filter(|(_, error)| error.is_denied()).map(|(what, error)| said(what, &error)).collect()
}

fn said(what: &str, error: &Error) -> String {
    format!(
        "this instance will not be able to {what}: {error}\n\
         hint: `windlass cluster policy worker` prints what the role needs"
    )
}
