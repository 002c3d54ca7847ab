//! What IMDS announces: asked about twice a second, one request after the other on one connection.
//!
//! Sources: "Retrieve the target lifecycle state through instance metadata" (Amazon EC2 Auto Scaling
//! User Guide); "Spot Instance interruption notices", "EC2 instance rebalance recommendations" and
//! "Scheduled events for your instances" (Amazon EC2 User Guide).

use std::time::Duration;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, sleep_until};

use super::event::{Announced, EventId, Kind, Moment};
use super::step::Observation;
use crate::client::imds::Imds;

/// After IMDS said nothing for as long as its client has patience, or something that is no answer.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// One of the places where something may be announced.
#[derive(Clone, Copy, Debug)]
struct Source {
    path: &'static str,
    /// On instances that EC2 may not interrupt, and on spot instances; all together are at most 130
    /// requests a minute.
    every: [Option<Duration>; 2],
    read: fn(&str, &Now) -> anyhow::Result<Vec<Announced>>,
}

const fn every_ms(ms: u64) -> Option<Duration> {
    Some(Duration::from_millis(ms))
}

const SOURCES: [Source; 4] = [
    Source {
        path: "meta-data/autoscaling/target-lifecycle-state",
        every: [every_ms(500), every_ms(1000)],
        read: target_lifecycle_state,
    },
    Source {
        path: "meta-data/spot/instance-action",
        every: [None, every_ms(1000)],
        read: instance_action,
    },
    Source {
        path: "meta-data/events/recommendations/rebalance",
        every: [None, every_ms(15_000)],
        read: rebalance,
    },
    Source {
        path: "meta-data/events/maintenance/scheduled",
        every: [every_ms(30_000), every_ms(30_000)],
        read: maintenance,
    },
];

/// One moment on both clocks: AWS' times are those of the wall.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub moment: Moment,
    pub time: OffsetDateTime,
}

/// What is announced, from IMDS.
#[derive(Debug)]
pub(super) struct Sources {
    imds: Imds,
    spot: Option<bool>,
    standing: [Vec<Announced>; SOURCES.len()],
    next: [Instant; SOURCES.len()],
    /// The ids that were told last.
    told: Option<Vec<EventId>>,
    /// IMDS did not answer the last time.
    silent: bool,
}

impl Sources {
    pub(super) fn new(imds: Imds) -> Self {
        Self {
            imds,
            spot: None,
            standing: Default::default(),
            next: [Instant::now(); SOURCES.len()],
            told: None,
            silent: false,
        }
    }

    /// Tells all that is announced whenever that is something else than before, and at first; for as
    /// long as somebody listens.
    pub(super) async fn tell(mut self, now: impl Fn() -> Now, to: Sender<Observation>) {
        while !to.is_closed() {
            let heard = self.ask(&now).await;
            self.note(heard.as_ref().err());
            if heard.is_err() {
                sleep(AFTER_FAILURE).await;
                continue;
            }
            let all = self.standing.iter().flatten();
            let ids: Vec<EventId> = all.clone().map(|announced| announced.id.clone()).collect();
            if self.told.as_ref() != Some(&ids) {
                self.told = Some(ids);
                let _ = to.send(Observation::Standing(all.cloned().collect())).await;
            }
        }
    }

    /// Asks all that are due; the first time all.
    async fn ask(&mut self, now: &impl Fn() -> Now) -> anyhow::Result<()> {
        let spot = match self.spot {
            Some(spot) => spot,
            None => *self.spot.insert(self.is_spot().await?),
        };
        let due = self.next.iter().min().copied().unwrap_or_else(Instant::now);
        sleep_until(due).await;
        for (index, source) in SOURCES.iter().enumerate() {
            let Some(every) = source.every[usize::from(spot)] else {
                // As if it were asked for ever after.
                self.next[index] = Instant::now() + Duration::from_secs(24 * 3600);
                continue;
            };
            if self.next[index] > Instant::now() {
                continue;
            }
            // Before the request, so that its time is no part of the interval.
            let next = Instant::now() + every;
            let text = self.imds.get(source.path).await?;
            let text = text.map(String::from_utf8).transpose()?;
            self.standing[index] = match text {
                Some(text) => (source.read)(text.trim(), &now()).map_err(|error| {
                    error.context(format!("IMDS says `{text}` under {}", source.path))
                })?,
                None => Vec::new(),
            };
            self.next[index] = next;
        }
        Ok(())
    }

    async fn is_spot(&self) -> anyhow::Result<bool> {
        let life_cycle = self.imds.get("meta-data/instance-life-cycle").await?;
        Ok(life_cycle.is_none_or(|it| it != b"on-demand"))
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

impl Now {
    /// That time, on the clock that nobody sets.
    fn moment_of(&self, time: OffsetDateTime) -> Moment {
        let ahead = time - self.time;
        match Duration::try_from(ahead) {
            Ok(ahead) => self.moment + ahead,
            Err(_) => self.moment - ahead.unsigned_abs(),
        }
    }
}

fn target_lifecycle_state(text: &str, _: &Now) -> anyhow::Result<Vec<Announced>> {
    Ok(match text {
        "Terminated" => announced(Kind::Termination, text, None),
        warmed if warmed.starts_with("Warmed:") => announced(Kind::WarmPool, text, None),
        _ => Vec::new(),
    })
}

fn instance_action(text: &str, now: &Now) -> anyhow::Result<Vec<Announced>> {
    #[derive(Deserialize)]
    struct InstanceAction {
        time: String,
    }
    let action: InstanceAction = serde_json::from_str(text)?;
    let at = OffsetDateTime::parse(&action.time, &Rfc3339)?;
    Ok(announced(Kind::Spot, &action.time, Some(now.moment_of(at))))
}

fn rebalance(text: &str, _: &Now) -> anyhow::Result<Vec<Announced>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Recommendation {
        notice_time: String,
    }
    let recommendation: Recommendation = serde_json::from_str(text)?;
    Ok(announced(Kind::Rebalance, &recommendation.notice_time, None))
}

fn maintenance(text: &str, now: &Now) -> anyhow::Result<Vec<Announced>> {
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
        Ok(announced(Kind::Maintenance, &event.event_id, Some(at)))
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

    fn now() -> Now {
        let moment = Moment::after_boot(Duration::from_secs(1000));
        Now { moment, time: datetime!(2019-01-21 09:00:00 UTC) }
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
        let wanted = announced(Kind::Maintenance, "instance-event-0d59937288b749b32", at(1043));
        assert_eq!(found, wanted);
        assert_eq!(maintenance("[]", &now()).expect("a list"), []);
    }

    #[test]
    fn an_idle_node_asks_at_most_130_times_a_minute() {
        for spot in [false, true] {
            let every = SOURCES.iter().filter_map(|source| source.every[usize::from(spot)]);
            let a_minute: u128 = every.map(|every| 60_000 / every.as_millis()).sum();
            assert!((100..=130).contains(&a_minute), "{a_minute}");
        }
    }

    #[test]
    fn a_time_that_is_over_is_a_moment_that_is_over() {
        let before = now().moment_of(datetime!(2019-01-21 08:59:00 UTC));
        assert_eq!(Some(before), at(940));
    }
}
