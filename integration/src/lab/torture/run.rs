//! One run: a scene, and what its plan does to it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::aws;
use super::book::Book;
use super::ground::Ground;
use super::plan::{Opening, Outage, Plan};
use super::pods::Budget;
use super::scene::{Scene, Setting};
use super::verdict::{Seen, Verdict};
use crate::region::Profile;

/// Longer than any hook of a plan can be kept.
const PATIENCE: Duration = Duration::from_secs(90);
/// A drain that is over may still be begun again, or completed twice.
const AFTERWARDS: Duration = Duration::from_secs(3);
/// EC2 takes the instance long after its hook.
const SPOT_NOTICE: Duration = Duration::from_secs(80);

/// The program counts in whole ones.
const MILLISECOND: Duration = Duration::from_millis(1);

/// Between two looks at how late the machine is, and what is worth telling.
const LOOK: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_millis(300);

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub plan: Plan,
    pub verdict: Verdict,
    /// What happened, line by line.
    pub timeline: String,
}

/// The run with this plan.
pub async fn run(ground: &Arc<Ground>, plan: Plan) -> Result<Outcome> {
    let mut recommended = None;
    let scene = Scene::set(ground, &setting(&plan), |aws, _| {
        plan.faults.iter().for_each(|rule| aws.region.faults().add(rule.clone()));
        if let Opening::Rebalance { drains } = plan.opening {
            recommended = Some(aws.now()).filter(|_| drains);
            aws.recommend_rebalance()?;
        }
        Ok(())
    })
    .await?;
    let book = scene.book.clone();
    let mut troubles = JoinSet::new();
    let mut watching = JoinSet::new();
    watching.spawn(tell_when_late(book.clone()));
    for ((milestone, after), kill) in plan.kills.clone() {
        let (book, kills) = (book.clone(), scene.service.kills());
        troubles.spawn(async move {
            book.after(milestone, after).await;
            let _ = kills.send(kill);
        });
    }
    if let Some(Outage { when: (milestone, after), lasts, cut }) = plan.outage {
        let (book, node) = (book.clone(), scene.node.clone());
        troubles.spawn(async move {
            book.after(milestone, after).await;
            book.tell("the API server is silent");
            node.gate.silence();
            sleep(lasts).await;
            if cut {
                node.gate.cut();
            }
            node.gate.open();
            book.tell("the API server answers again");
        });
    }
    let drains_from = announce(&scene, &plan).await?;
    let drains_from = recommended.unwrap_or(drains_from);
    let announced = book.now();
    scene.over(PATIENCE).await;
    // Kills that come after a milestone that was never reached do not come.
    let _ = timeout(AFTERWARDS, async { while troubles.join_next().await.is_some() {} }).await;
    sleep(AFTERWARDS / 2).await;
    drop(troubles);
    let seen = Seen {
        deadline: drains_from + plan.deadline() - MILLISECOND,
        finished: scene.aws.finished(),
        cordons: book.cordons(),
        lives: book.lives(),
    };
    let timeline = book.shown(scene.aws.calls(), announced);
    let Scene { service, .. } = scene;
    service.stop().await;
    Ok(Outcome { verdict: seen.judged(), timeline, plan })
}

/// A machine with too much to do fails runs that would have gone well: whoever reads of one shall see it.
async fn tell_when_late(book: Book) {
    loop {
        let began = Instant::now();
        sleep(LOOK).await;
        let late = began.elapsed() - LOOK;
        if late >= LATE {
            book.tell(format!("this machine is late by {} ms", late.as_millis()));
        }
    }
}

fn setting(plan: &Plan) -> Setting {
    let usual = Setting::usual(&plan.run.to_string(), &plan.drain());
    Setting {
        aws: aws::Wanted {
            // Instances of different runs are Nodes of one cluster.
            seed: plan.seed.wrapping_mul(1_000_003).wrapping_add(plan.run.into()),
            latency: Profile::Aws,
            lag: plan.lag,
            others_hook: plan.others_hook,
        },
        pods: plan.pods.clone(),
        budget: Budget::OneAway,
        ..usual
    }
}

/// What AWS announces; since when the pods have time then.
async fn announce(scene: &Scene, plan: &Plan) -> Result<OffsetDateTime> {
    let Scene { aws, book, .. } = scene;
    sleep(plan.announced_after).await;
    let began = book.now();
    if let Opening::Spot(before) = plan.opening {
        aws.interrupt(SPOT_NOTICE)?;
        book.tell("EC2 will interrupt the instance");
        sleep(before).await;
    }
    scene.terminate()?;
    Ok(began)
}
