//! Metrics of one node, as Prometheus reads them.
//!
//! Source: "Exposition formats" (Prometheus), the text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use super::drain::Numbers;
use super::said::Tally;
use crate::client::calls::Calls;

/// All numbers, as they are now. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<Now>>);

#[derive(Debug, Default)]
struct Now {
    network: Tally,
    /// Whether the last look found all as planned.
    as_planned: bool,
    drain: Numbers,
    /// How often the node went on to a state, by the reason of its Event.
    turned: BTreeMap<&'static str, u64>,
}

const STATES: [&str; 6] = ["serving", "cordoned", "draining", "completing", "left", "returning"];

impl Metrics {
    pub(super) fn network(&self, tally: Tally, as_planned: bool) {
        self.change(|now| (now.network, now.as_planned) = (tally, as_planned));
    }

    pub(super) fn drain(&self, numbers: Numbers) {
        self.change(|now| now.drain = numbers);
    }

    pub(super) fn turned(&self, reason: &'static str) {
        self.change(|now| *now.turned.entry(reason).or_default() += 1);
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.0.lock().expect("nobody panics while holding numbers"));
    }

    /// The whole text. `calls` are the requests that left.
    pub fn text(&self, calls: &Calls) -> String {
        let now = self.0.lock().expect("nobody panics while holding numbers");
        let mut text = Text::default();
        let version = env!("CARGO_PKG_VERSION");
        text.gauge("build_info", "The version that runs.", [(labels("version", version), 1)]);
        now.network_to(&mut text);
        now.drain_to(&mut text);
        let requests = calls.by_action().into_iter().map(|(call, count)| {
            let (service, action) = call.split_once(':').unwrap_or((&call, ""));
            (format!("{{service=\"{service}\",action=\"{action}\"}}"), count)
        });
        text.counter("requests_total", "Requests to AWS, retries included.", requests);
        text.0
    }
}

impl Now {
    fn network_to(&self, text: &mut Text) {
        let Tally { looks, put_back, lost } = self.network;
        let one = |number| [(String::new(), number)];
        text.counter("network_looks_total", "Looks at the pod network.", one(looks));
        let help = "Things of the pod network that somebody else changed and that were put back.";
        text.counter("network_put_back_total", help, one(put_back));
        let help = "Times that more changed at once than the kernel could tell of.";
        text.counter("network_lost_total", help, one(lost));
        let help = "Whether the last look found the pod network as planned.";
        text.gauge("network_as_planned", help, one(u64::from(self.as_planned)));
    }

    fn drain_to(&self, text: &mut Text) {
        let Numbers { state, announced, end, pods, refusals, forced } = &self.drain;
        let is = STATES.map(|it| (labels("state", it), u64::from(it == *state)));
        text.gauge("state", "What the node does: 1 for one of the states.", is);
        let help = "Whether this node would be drained when its end is announced.";
        text.gauge("would_drain", help, [(String::new(), u64::from(!state.is_empty()))]);
        let kinds = announced.iter().map(|(kind, count)| (labels("kind", kind), *count));
        text.gauge("announced", "What announces that the node leaves.", kinds);
        let end = end.and_then(|end| u64::try_from(end).ok());
        let end = end.map(|end| (String::new(), end));
        text.gauge("drain_end_timestamp_seconds", "Until when pods have time.", end);
        let pods = pods.iter().map(|(progress, count)| (labels("progress", progress), *count));
        text.gauge("drain_pods", "Pods that have to leave, by how far they are.", pods);
        let one = |number: &u64| [(String::new(), *number)];
        let help = "Evictions that were refused in this drain.";
        text.gauge("drain_refusals", help, one(refusals));
        let help = "Pods that were deleted in this drain, past their budget or with less grace.";
        text.gauge("drain_forced", help, one(forced));
        let turned = self.turned.iter().map(|(reason, count)| (labels("reason", reason), *count));
        let help = "Times that the node went on to a state, by the reason of its Event.";
        text.counter("turned_total", help, turned);
    }
}

/// Families one after the other; each with its help, its type and its samples.
#[derive(Default)]
struct Text(String);

impl Text {
    fn gauge(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (String, u64)>) {
        self.family("gauge", name, help, samples);
    }

    fn counter(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, u64)>,
    ) {
        self.family("counter", name, help, samples);
    }

    fn family(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, u64)>,
    ) {
        let _ = writeln!(self.0, "# HELP windlass_{name} {help}\n# TYPE windlass_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(self.0, "windlass_{name}{labels} {value}");
        }
    }
}

/// Of words of our own, which need no escapes.
fn labels(name: &str, value: &str) -> String {
    format!("{{{name}=\"{value}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_can_be_followed_by_its_numbers() {
        let metrics = Metrics::default();
        metrics.network(Tally { looks: 3, put_back: 1, lost: 0 }, true);
        metrics.turned("Draining");
        metrics.drain(Numbers {
            state: "draining",
            announced: BTreeMap::from([("termination", 1)]),
            end: Some(1_800_000_000),
            pods: BTreeMap::from([("ending", 2), ("gone", 5)]),
            refusals: 4,
            forced: 0,
        });
        let text = metrics.text(&Calls::default());
        let wanted = [
            "# TYPE windlass_network_put_back_total counter\nwindlass_network_put_back_total 1\n",
            "windlass_network_as_planned 1\n",
            "windlass_state{state=\"serving\"} 0\n",
            "windlass_state{state=\"draining\"} 1\n",
            "windlass_announced{kind=\"termination\"} 1\n",
            "windlass_drain_end_timestamp_seconds 1800000000\n",
            "windlass_drain_pods{progress=\"ending\"} 2\nwindlass_drain_pods{progress=\"gone\"} 5\n",
            "windlass_drain_refusals 4\n",
            "windlass_turned_total{reason=\"Draining\"} 1\n",
        ];
        for part in wanted {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
        for line in text.lines() {
            let sample =
                line.split_once(' ').is_some_and(|(_, value)| value.parse::<u64>().is_ok());
            assert!(line.starts_with("# ") || sample, "{line}");
        }
    }
}
