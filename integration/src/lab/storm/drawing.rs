//! The storm as a picture: a line a node, from its launch to its grant, and the throttle's floor.

use std::fmt::Write;
use std::time::Duration;

use windlass::drawing::pen::{WIDTH, line, page, text};
use windlass::drawing::{tick, ticks};

use super::{Life, Outcome};

/// Where the launch is; left of it nodes are numbered.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 970.0;
/// The tick labels' base line.
const AXIS: f64 = 146.0;
const TOP: f64 = 156.0;
/// All nodes' lines together; few nodes need less.
const NODES: f64 = 560.0;
const THICKEST: f64 = 14.0;
/// A part of a line that is shorter cannot be seen.
const SHORTEST: f64 = 1.0;

/// What a node goes through and how that is told of. The last is drawn over the others.
const PHASES: [(&str, &str); 5] = [
    ("pending", "EC2 calls it pending"),
    ("turn", "waits for its turn at EC2's throttle"),
    ("routes", "its routes are made"),
    ("grant", "signed, and read by the node"),
    ("leased", "holds a pod CIDR"),
];

const STYLE: &str = ".floor{stroke:#1f2933;stroke-dasharray:5 3;stroke-width:1.5}.killed{stroke:#b3261e;stroke-dasharray:2 3;stroke-width:1.5}\
path{fill:none}.pending{stroke:#b8c2cc}.leased{stroke:#1f2933}.turn{stroke:#f7e2b0}.routes{stroke:#2f7ea3}.grant{stroke:#1c7c4a}";

impl Outcome {
    /// The whole picture: SVG that needs no script and no font file.
    pub fn svg(&self) -> String {
        let chart = Chart::of(self);
        let mut body = String::new();
        self.header(&mut body);
        legend(&mut body);
        chart.axis(&mut body);
        PHASES.iter().for_each(|(class, _)| chart.phase(&mut body, class, &self.lives));
        chart.count(&mut body, self.lives.len());
        if let Some(killed) = &self.killed {
            let label = format!("{:.0} s: the admitter that leads is killed", killed.at_seconds);
            chart.upright(&mut body, "killed", killed.at_seconds, ("bad", &label));
        }
        let label = format!("the throttle's floor: {:.1} s", self.floor_seconds);
        chart.upright(&mut body, "floor", self.floor_seconds, ("", &label));
        text(&mut body, 24.0, chart.bottom + 44.0, "sub", &self.explained());
        let title = format!("{}: {}", self.title(), self.headline());
        page(&title, STYLE, "", chart.bottom + 64.0, &body)
    }

    fn title(&self) -> String {
        format!("{} instances launched at once", self.storm.nodes)
    }

    fn headline(&self) -> String {
        let ratio = self.seconds / self.floor_seconds;
        let beside = if ratio.is_finite() {
            format!(", {ratio:.2} × what EC2's throttle wants at least")
        } else {
            String::new()
        };
        format!("All are routed and granted after {:.1} s{beside}", self.seconds)
    }

    fn header(&self, body: &mut String) {
        let tone = if self.targets().iter().all(|it| it.is_met()) { "good" } else { "bad" };
        text(body, 24.0, 36.0, "title", &self.title());
        text(body, 24.0, 57.0, "sub", &self.setting().join(" · "));
        text(body, 24.0, 81.0, &format!("headline {tone}"), &self.headline());
    }

    fn explained(&self) -> String {
        let storm = &self.storm;
        format!(
            "Each line is a node, the one with the first grant on top. EC2 takes 50 CreateRoute requests \
             at once and then 5 a second: {} × {} of them take {:.1} s.",
            storm.nodes, storm.tables, self.floor_seconds
        )
    }
}

fn legend(body: &mut String) {
    let mut x = LEFT;
    for (class, said) in PHASES {
        let _ = writeln!(body, r#"<path class="{class}" stroke-width="11" d="M{x:.1} 106h14"/>"#);
        text(body, x + 20.0, 110.0, "", said);
        x += 44.0 + said.chars().count() as f64 * 5.9;
    }
}

struct Chart {
    end_seconds: f64,
    row: f64,
    bottom: f64,
}

impl Chart {
    fn of(outcome: &Outcome) -> Self {
        let nodes = outcome.lives.len().max(1) as f64;
        let row = (NODES / nodes).min(THICKEST);
        let end_seconds = outcome.seconds.max(outcome.floor_seconds).max(1.0);
        Self { end_seconds, row, bottom: TOP + row * nodes }
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (seconds / self.end_seconds).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn axis(&self, body: &mut String) {
        let end_ms = self.end_seconds * 1000.0;
        for ms in ticks(end_ms, 8) {
            let x = self.x(ms / 1000.0);
            line(body, "grid", (x, AXIS + 6.0), (x, self.bottom + 4.0));
            text(body, x, AXIS, "tick middle", &tick(ms, end_ms));
        }
    }

    /// That part of every node's line, as one path: thousands of elements would make a large file.
    fn phase(&self, body: &mut String, class: &str, lives: &[Life]) {
        let mut path = String::new();
        for (row, life) in lives.iter().enumerate() {
            let (from, to) = life.phase(class);
            let from = self.x(from.as_secs_f64()).min(RIGHT - SHORTEST);
            let to = self.x(to.as_secs_f64()).max(from + SHORTEST);
            let y = TOP + self.row * (row as f64 + 0.5);
            let _ = write!(path, "M{from:.1} {y:.1}h{:.1}", to - from);
        }
        // A little more than a line's height, or seams would show.
        let thickness = if self.row > 4.0 { self.row * 0.7 } else { self.row + 0.1 };
        let _ =
            writeln!(body, r#"<path class="{class}" stroke-width="{thickness:.2}" d="{path}"/>"#);
    }

    /// How many nodes have their grants by which line.
    fn count(&self, body: &mut String, nodes: usize) {
        for count in ticks(nodes as f64, 5) {
            let y = TOP + self.row * count + 4.0;
            text(body, LEFT - 8.0, y, "tick end", &count.to_string());
        }
    }

    fn upright(&self, body: &mut String, class: &str, seconds: f64, (tone, label): (&str, &str)) {
        let (x, base) = (self.x(seconds), self.bottom + 8.0);
        line(body, class, (x, AXIS + 6.0), (x, base));
        let anchor = if x > WIDTH / 2.0 { "end" } else { "" };
        text(body, x, base + 14.0, &format!("{anchor} {tone}"), label);
    }
}

impl Life {
    /// From when until when the node is in a phase. To hold a pod CIDR is a moment.
    fn phase(&self, class: &str) -> (Duration, Duration) {
        match class {
            "pending" => (Duration::ZERO, self.running),
            "leased" => (self.leased, self.leased),
            "turn" => (self.running, self.first_route),
            "routes" => (self.first_route, self.routed),
            _ => (self.routed, self.granted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, Storm};
    use super::*;
    use crate::lab::storm::outcome::Tally;

    fn outcome(nodes: u32) -> Outcome {
        let at = |seconds: f64| Duration::from_secs_f64(seconds);
        let life = |node: u32| {
            let turn = 3.0 + f64::from(node) * 0.6;
            Life {
                instance: format!("i-{node:017x}").parse().expect("an id"),
                running: at(2.0),
                leased: at(1.2),
                asked: at(5.0),
                first_route: at(turn),
                routed: at(turn + 0.6),
                granted: at((turn + 1.4).max(6.0)),
            }
        };
        let storm = Storm { nodes, tables: 3, admitters: 1, seed: 1 };
        Outcome::new(storm, (0..nodes).map(life).collect(), Tally::default(), None)
    }

    #[test]
    fn every_line_is_inside_the_chart() {
        let drawn = outcome(500).svg();
        let parts: Vec<_> = drawn.lines().filter(|line| line.contains(r#"d="M"#)).collect();
        assert_eq!(parts.len(), 2 * PHASES.len(), "the legend's and the nodes'");
        for part in &parts[PHASES.len()..] {
            let (_, path) = part.split_once(r#"d="M"#).expect("a path");
            let lines: Vec<_> = path.trim_end_matches(r#""/>"#).split('M').collect();
            assert_eq!(lines.len(), 500, "{part}");
            for line in lines {
                let numbers = line.split([' ', 'h']).map(|it| it.parse().expect("a number"));
                let [x, y, length]: [f64; 3] =
                    numbers.collect::<Vec<_>>().try_into().expect("three");
                assert!(x >= LEFT && length >= SHORTEST && x + length <= RIGHT + 0.11, "{line}");
                assert!((TOP..=TOP + NODES).contains(&y), "{line}");
            }
        }
    }

    #[test]
    fn five_hundred_nodes_make_a_small_file_that_names_the_floor() {
        let drawn = outcome(500).svg();
        assert!(drawn.len() < 100_000, "{} bytes", drawn.len());
        assert!(drawn.contains("the throttle's floor: 290.0 s"), "{drawn}");
    }
}
