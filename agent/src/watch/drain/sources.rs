//! What is announced: IMDS is asked about once a second, one request after the other on one
//! connection; systemd tells of its shutdown by itself.
//!
//! Sources: "Retrieve the target lifecycle state through instance metadata" (Amazon EC2 Auto Scaling
//! User Guide); "Spot Instance interruption notices", "EC2 instance rebalance recommendations",
//! "Scheduled events for your instances" and, for `instance-life-cycle`, "Instance metadata
//! categories" (Amazon EC2 User Guide).

use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until, timeout};

use super::event::{Announced, At, EventId, Kind, Moment};
use super::shutdown::Shutdown;
use super::step::Observation;
use crate::client::imds::Imds;

/// After IMDS said nothing in time, or something that is no answer.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// How long one of them may keep the others waiting.
const PATIENCE: Duration = Duration::from_secs(3);

/// How the instance is paid for, which never changes: `on-demand`, `spot`, `capacity-block`.
const LIFE_CYCLE: &str = "meta-data/instance-life-cycle";

/// One of the places where something may be announced.
#[derive(Clone, Copy, Debug)]
struct Source {
    path: &'static str,
    /// All together are at most 130 requests a minute.
    every: Duration,
    /// Instances that are paid for by demand are never told anything there.
    spot: bool,
    /// What it may announce.
    kinds: &'static [Kind],
    read: fn(&str, &At) -> anyhow::Result<Vec<Announced>>,
}

impl Source {
    /// Whether anything may be announced there; where nobody said yet how the instance is paid for, it
    /// may.
    fn concerns(&self, on_demand: Option<bool>) -> bool {
        !self.spot || on_demand != Some(true)
    }
}

const SOURCES: [Source; 4] = [
    Source {
        path: "meta-data/autoscaling/target-lifecycle-state",
        every: Duration::from_secs(1),
        spot: false,
        kinds: &[Kind::Termination, Kind::WarmPool],
        read: target_lifecycle_state,
    },
    Source {
        path: "meta-data/spot/instance-action",
        every: Duration::from_secs(1),
        spot: true,
        kinds: &[Kind::Spot],
        read: instance_action,
    },
    Source {
        path: "meta-data/events/recommendations/rebalance",
        every: Duration::from_secs(15),
        spot: true,
        kinds: &[Kind::Rebalance],
        read: rebalance,
    },
    Source {
        path: "meta-data/events/maintenance/scheduled",
        every: Duration::from_secs(30),
        spot: false,
        kinds: &[Kind::Maintenance],
        read: maintenance,
    },
];

/// What is announced.
#[derive(Debug)]
pub(super) struct Sources {
    imds: Imds,
    standing: Standing,
    next: [Instant; SOURCES.len()],
    /// `None` until IMDS said so.
    on_demand: Option<bool>,
    shutdown: Shutdown,
    /// The ids that were told last.
    told: Option<Vec<EventId>>,
    /// IMDS did not answer the last time.
    silent: bool,
}

/// What the places of IMDS announce.
#[derive(Debug)]
struct Standing {
    /// What was announced to an earlier run of the program.
    before: Vec<Announced>,
    /// What each place announced last, since it answered.
    places: [Option<Vec<Announced>>; SOURCES.len()],
}

impl Standing {
    fn is_known(&self) -> bool {
        self.places.iter().any(Option::is_some)
    }

    /// All of it, with what logind says. A place that has not answered yet is taken at its earlier
    /// word: that another one answers says nothing of it.
    fn all(&self, shutdown: Option<Option<Announced>>) -> Vec<Announced> {
        let of_imds = SOURCES
            .iter()
            .zip(&self.places)
            .map(|(source, place)| place.clone().unwrap_or_else(|| self.before(source.kinds)));
        let of_logind = shutdown.map(|it| it.into_iter().collect());
        let of_logind = of_logind.unwrap_or_else(|| self.before(&[Kind::Shutdown]));
        of_imds.flatten().chain(of_logind).collect()
    }

    fn before(&self, kinds: &[Kind]) -> Vec<Announced> {
        self.before.iter().filter(|it| kinds.contains(&it.id.kind)).cloned().collect()
    }
}

impl Sources {
    /// `before` was announced to an earlier run of the program.
    pub(super) fn new(imds: Imds, shutdown: Shutdown, before: Vec<Announced>) -> Self {
        Self {
            imds,
            shutdown,
            standing: Standing { before, places: Default::default() },
            next: [Instant::now(); SOURCES.len()],
            on_demand: None,
            told: None,
            silent: false,
        }
    }

    /// Tells all that is announced whenever that is something else than before, and at first; for as
    /// long as somebody listens.
    pub(super) async fn tell(mut self, now: impl Fn() -> At, to: Sender<Observation>) {
        while !to.is_closed() {
            tokio::select! {
                () = sleep_until(self.due()) => {
                    let failed = self.ask(&now).await;
                    self.note(failed.as_ref());
                }
                () = self.shutdown.changed() => {}
            }
            let Some(all) = self.known() else { continue };
            let ids: Vec<EventId> = all.iter().map(|announced| announced.id.clone()).collect();
            if self.told.as_ref() != Some(&ids) {
                self.told = Some(ids);
                let _ = to.send(Observation::Standing(all)).await;
            }
        }
    }

    /// All that is announced; nothing is known where nobody answered. What one of the places does not
    /// say keeps nobody from hearing the others.
    fn known(&self) -> Option<Vec<Announced>> {
        let shutdown = self.shutdown.announced();
        let known = self.standing.is_known() || matches!(shutdown, Some(Some(_)));
        known.then(|| self.standing.all(shutdown))
    }

    fn due(&self) -> Instant {
        let asked = SOURCES.iter().zip(self.next);
        let asked = asked.filter(|(source, _)| source.concerns(self.on_demand));
        asked.map(|(_, next)| next).min().unwrap_or_else(Instant::now)
    }

    /// Asks all that are due, whatever becomes of one of them; the last failure.
    async fn ask(&mut self, now: &impl Fn() -> At) -> Option<anyhow::Error> {
        let mut failed = None;
        for (index, source) in SOURCES.iter().enumerate() {
            // Before the request, so that its time is no part of the interval.
            let began = Instant::now();
            if self.next[index] > began || !source.concerns(self.on_demand) {
                continue;
            }
            self.next[index] = match self.ask_one(source, now).await {
                Ok(standing) => {
                    self.standing.places[index] = Some(standing);
                    began + source.every
                }
                Err(error) => {
                    failed = Some(error);
                    Instant::now() + source.every.max(AFTER_FAILURE)
                }
            };
        }
        // After what may be urgent, and only where that was answered.
        if self.on_demand.is_none() && failed.is_none() {
            let said = self.get(LIFE_CYCLE).await.ok();
            self.on_demand = said.map(|said| said.as_deref() == Some("on-demand"));
        }
        failed
    }

    async fn ask_one(
        &self,
        source: &Source,
        now: &impl Fn() -> At,
    ) -> anyhow::Result<Vec<Announced>> {
        let Some(text) = self.get(source.path).await? else { return Ok(Vec::new()) };
        let said = || format!("IMDS says `{text}` under {}", source.path);
        (source.read)(text.trim(), &now()).with_context(said)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Option<String>> {
        let asked = timeout(PATIENCE, self.imds.get(path)).await;
        let asked = asked.with_context(|| format!("no answer of IMDS to {path}"))?;
        Ok(asked?.map(String::from_utf8).transpose()?)
    }

    /// Says once that IMDS is silent, and once that it is not any more.
    fn note(&mut self, failed: Option<&anyhow::Error>) {
        match failed {
            Some(error) if !self.silent => {
                tracing::warn!("what AWS announces is not known now: {error:#}");
            }
            None if self.silent => tracing::info!("IMDS answers again"),
            _ => {}
        }
        self.silent = failed.is_some();
    }
}

fn announced(kind: Kind, name: &str, at: Option<Moment>) -> Vec<Announced> {
    vec![Announced { id: EventId { kind, name: name.to_owned() }, at }]
}

fn target_lifecycle_state(text: &str, _: &At) -> anyhow::Result<Vec<Announced>> {
    Ok(match text {
        "Terminated" => announced(Kind::Termination, text, None),
        warmed if warmed.starts_with("Warmed:") => announced(Kind::WarmPool, text, None),
        _ => Vec::new(),
    })
}

fn instance_action(text: &str, now: &At) -> anyhow::Result<Vec<Announced>> {
    #[derive(Deserialize)]
    struct InstanceAction {
        time: String,
    }
    let action: InstanceAction = serde_json::from_str(text)?;
    let at = OffsetDateTime::parse(&action.time, &Rfc3339)?;
    Ok(announced(Kind::Spot, &action.time, Some(now.moment_of(at))))
}

fn rebalance(text: &str, _: &At) -> anyhow::Result<Vec<Announced>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Recommendation {
        notice_time: String,
    }
    let recommendation: Recommendation = serde_json::from_str(text)?;
    Ok(announced(Kind::Rebalance, &recommendation.notice_time, None))
}

fn maintenance(text: &str, now: &At) -> anyhow::Result<Vec<Announced>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Scheduled {
        not_before: String,
        event_id: String,
        state: String,
    }
    let scheduled: Vec<Scheduled> = serde_json::from_str(text)?;
    let active = scheduled.iter().filter(|event| event.state == "active");
    let announced = active.map(|event| {
        let at = now.moment_of(not_before(&event.not_before)?);
        // One that is put off, or brought forward, is another one.
        let name = format!("{}, {}", event.event_id, event.not_before);
        Ok(announced(Kind::Maintenance, &name, Some(at)))
    });
    let announced: Vec<Vec<Announced>> = announced.collect::<anyhow::Result<_>>()?;
    Ok(announced.concat())
}

/// As in `21 Jan 2019 09:00:43 GMT`.
fn not_before(text: &str) -> anyhow::Result<OffsetDateTime> {
    let format = format_description!(
        "[day padding:none] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    Ok(time::PrimitiveDateTime::parse(text, &format)?.assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn now() -> At {
        let moment = Moment::after_boot(Duration::from_secs(1000));
        At { moment, time: datetime!(2019-01-21 09:00:00 UTC) }
    }

    fn at(seconds: u64) -> Option<Moment> {
        Some(Moment::after_boot(Duration::from_secs(seconds)))
    }

    #[test]
    fn what_is_announced_is_read_as_aws_documents_it() {
        let state = |text| target_lifecycle_state(text, &now()).expect("a state");
        assert_eq!(state("InService"), []);
        assert_eq!(state("Terminated"), announced(Kind::Termination, "Terminated", None));
        assert_eq!(state("Warmed:Stopped"), announced(Kind::WarmPool, "Warmed:Stopped", None));

        let spot = r#"{"action": "terminate", "time": "2019-01-21T09:02:00Z"}"#;
        let found = instance_action(spot, &now()).expect("a notice");
        assert_eq!(found, announced(Kind::Spot, "2019-01-21T09:02:00Z", at(1120)));

        let found = rebalance(r#"{"noticeTime": "2019-01-21T08:58:00Z"}"#, &now()).expect("one");
        assert_eq!(found, announced(Kind::Rebalance, "2019-01-21T08:58:00Z", None));

        let scheduled = r#"[{
            "NotBefore": "21 Jan 2019 09:00:43 GMT", "Code": "system-reboot",
            "Description": "scheduled reboot", "EventId": "instance-event-0d59937288b749b32",
            "NotAfter": "21 Jan 2019 09:17:23 GMT", "State": "active"
        }, {
            "NotBefore": "1 Jan 2019 09:00:43 GMT", "EventId": "instance-event-1", "State": "completed"
        }]"#;
        let found = maintenance(scheduled, &now()).expect("a list");
        let wanted = announced(
            Kind::Maintenance,
            "instance-event-0d59937288b749b32, 21 Jan 2019 09:00:43 GMT",
            at(1043),
        );
        assert_eq!(found, wanted);
        assert_eq!(maintenance("[]", &now()).expect("a list"), []);
    }

    #[test]
    fn a_place_that_says_nothing_after_a_restart_is_taken_at_its_earlier_word() {
        let termination = announced(Kind::Termination, "Terminated", None);
        let spot = announced(Kind::Spot, "2019-01-21T09:02:00Z", at(1120));
        let shutdown = announced(Kind::Shutdown, "PrepareForShutdown", at(1030));
        let before = [termination.clone(), spot, shutdown.clone()].concat();
        let mut standing = Standing { before, places: Default::default() };
        assert!(!standing.is_known(), "nobody has answered");
        standing.places[1] = Some(Vec::new());
        assert!(standing.is_known());
        let both = [termination.clone(), shutdown].concat();
        assert_eq!(standing.all(None), both, "the notice is withdrawn, and nothing else");
        assert_eq!(standing.all(Some(None)), termination, "logind knows of no shutdown");
        standing.places[0] = Some(Vec::new());
        assert_eq!(standing.all(Some(None)), []);
    }

    #[test]
    fn an_idle_node_asks_at_most_130_times_a_minute_and_one_on_demand_half_as_often() {
        let a_minute = |on_demand| {
            let asked = SOURCES.iter().filter(|source| source.concerns(on_demand));
            asked.map(|source| 60 / source.every.as_secs()).sum::<u64>()
        };
        assert_eq!(a_minute(None), 126);
        assert_eq!(a_minute(Some(false)), 126);
        assert_eq!(a_minute(Some(true)), 62);
    }

    #[test]
    fn a_time_that_is_over_is_a_moment_that_is_over() {
        let before = now().moment_of(datetime!(2019-01-21 08:59:00 UTC));
        assert_eq!(Some(before), at(940));
    }
}
