//! How long the real `windlass watch` takes from what AWS announces to a Node that takes no pods any
//! more: one node after the other, nothing killed, nothing faulty, no latencies of AWS' own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{sleep, timeout};

use super::book::Milestone;
use super::ground::Ground;
use super::scene::{Scene, Setting};

/// Until it has asked IMDS once, and between two looks at it: so that an announcement may come at any
/// moment between two questions.
const SETTLES: Duration = Duration::from_secs(3);
const ROUND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// From the moment at which IMDS tells of a termination to the one at which a watch of the API server
/// tells of the cordon, in milliseconds.
pub async fn cordon_ms(ground: &Arc<Ground>, nth: usize) -> Result<f64> {
    let drain = "deadline = \"10s\"\nderegistration_delay = \"0s\"";
    let setting = Setting::usual(&format!("cordon-{nth}"), drain);
    let scene = Scene::set(ground, &setting, |_, _| Ok(())).await?;
    sleep(SETTLES + ROUND.mul_f64(fastrand::f64())).await;
    let announced = scene.book.now();
    scene.terminate()?;
    let cordoned = timeout(PATIENCE, scene.book.after(Milestone::Cordoned, Duration::ZERO)).await;
    cordoned.with_context(|| format!("not cordoned within {} s", PATIENCE.as_secs()))?;
    let cordons = scene.book.cordons();
    let (at, _) = cordons.iter().find(|(_, cordoned)| *cordoned).context("no cordon was seen")?;
    scene.over(PATIENCE).await.context("the hook was not completed")?;
    Ok((*at - announced).as_seconds_f64() * 1000.0)
}
