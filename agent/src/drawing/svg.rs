//! The Gantt chart: one SVG that needs no script, no font file and no legend. Solid bars are our
//! own work, hatched ones are waiting, and each says beside itself how long and for whom.

use std::fmt::Write;

use super::pen::{WIDTH, escape, line, page, text};
use super::{calls, duration, end_ms, headline, notes, rows, subject, tick, ticks, title};
use crate::report::{Outcome, Report, Step};

/// Where 0 ms is; left of it are the names.
const LEFT: f64 = 190.0;
const RIGHT: f64 = 970.0;
/// The tick labels' base line.
const AXIS: f64 = 118.0;
/// The first row's top. Between it and the axis is the bracket of our own time.
const TOP: f64 = 164.0;
const ROW: f64 = 28.0;
const BAR: f64 = 16.0;
/// A bar that is thinner cannot be seen.
const MIN_BAR: f64 = 2.0;
/// An upper bound for one character of 12 px type; fonts differ.
const CHARACTER: f64 = 6.9;
/// Characters of 12 px type in a line of the footer.
const FOOTER: usize = 130;

const STYLE: &str = ".ready{stroke:#1c7c4a;stroke-dasharray:4 3}.bracket{stroke:#24607d;fill:none;stroke-width:1.5}\
.work{fill:#2f7ea3}.wait{fill:url(#hatch);stroke:#c98a1b}.failed{fill:#d64541}.inside{fill:#fff;stroke:none}";

const HATCH: &str = r##"<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" fill="#fdf3dc"/><rect width="2.2" height="7" fill="#e3b04b"/></pattern></defs>"##;

/// The whole picture.
pub fn svg(report: &Report) -> String {
    let rows = rows(report);
    let chart = Chart { end_ms: end_ms(report), bottom: TOP + ROW * rows.len() as f64 };
    let mut body = String::new();
    header(&mut body, report);
    chart.axis(&mut body);
    chart.own_time(&mut body, report);
    chart.ready(&mut body, report);
    for (row, step) in rows.iter().enumerate() {
        chart.step(&mut body, TOP + ROW * row as f64, step);
    }
    let height = footer(&mut body, report, chart.bottom + 42.0);
    let title = format!("Boot of {}: {}", title(report), headline(report));
    page(&title, STYLE, HATCH, height, &body)
}

fn header(body: &mut String, report: &Report) {
    let tone = if report.failure.is_none() && report.ready_ms.is_some() { "good" } else { "bad" };
    text(body, 24.0, 36.0, "title", &title(report));
    text(body, 24.0, 57.0, "sub", &subject(report));
    text(body, 24.0, 81.0, &format!("headline {tone}"), &headline(report));
}

/// Why it was given up and what was requested, wrapped. Returns the height of the whole picture.
fn footer(body: &mut String, report: &Report, mut top: f64) -> f64 {
    let why = report.failure.iter().map(|reason| ("bad", format!("Why: {reason}")));
    let notes = report.notes.iter().map(|note| ("sub", format!("Note: {note}")));
    let requests =
        (!report.calls.is_empty()).then(|| ("sub", format!("Requests: {}", calls(report))));
    for (class, said) in why.chain(notes).chain(requests) {
        for line in wrap(&said, FOOTER) {
            text(body, 24.0, top, class, &line);
            top += 17.0;
        }
    }
    top
}

struct Chart {
    end_ms: f64,
    bottom: f64,
}

impl Chart {
    fn x(&self, ms: f64) -> f64 {
        LEFT + (ms / self.end_ms).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn axis(&self, body: &mut String) {
        for ms in ticks(self.end_ms, 8) {
            let x = self.x(ms);
            line(body, "grid", (x, AXIS + 6.0), (x, self.bottom));
            text(body, x, AXIS, "tick middle", &tick(ms, self.end_ms));
        }
    }

    /// A bracket over our own time, with its length.
    fn own_time(&self, body: &mut String, report: &Report) {
        let (Some(start), Some(own)) = (report.started_ms, report.own_ms) else { return };
        let (from, to, y) = (self.x(start), self.x(start + own), AXIS + 26.0);
        let _ =
            writeln!(body, r#"<path class="bracket" d="M{from:.1} {:.1}v-8H{to:.1}v8"/>"#, y + 8.0);
        let label = format!("Windlass' own time: {}", duration(own));
        self.beside(body, (from, to), y + 5.0, &label, "own");
    }

    fn ready(&self, body: &mut String, report: &Report) {
        let Some(ready) = report.ready_ms else { return };
        let x = self.x(ready);
        line(body, "ready", (x, AXIS + 6.0), (x, self.bottom));
        let label = format!("Ready: {}", duration(ready));
        text(body, x.min(RIGHT - 30.0), self.bottom + 15.0, "good middle", &label);
    }

    fn step(&self, body: &mut String, top: f64, step: &Step) {
        let from = self.x(step.start_ms).min(RIGHT - MIN_BAR);
        let to = self.x(step.end_ms).max(from + MIN_BAR);
        let class = match (step.outcome, &step.waited_for) {
            (Outcome::Failed, _) => "failed",
            (_, Some(_)) => "wait",
            (_, None) => "work",
        };
        let base = top + ROW / 2.0 + 4.0;
        let length = duration(step.end_ms - step.start_ms);
        let said = [vec![length], notes(step)].concat().join(", ");
        text(body, LEFT - 12.0, base, "name", &step.name);
        let _ = writeln!(
            body,
            r#"<rect class="{class}" x="{from:.1}" y="{:.1}" width="{:.1}" height="{BAR}" rx="2"><title>{}</title></rect>"#,
            top + (ROW - BAR) / 2.0,
            to - from,
            escape(&[&step.name, &said, &step.detail].map(String::as_str).join("\n")),
        );
        self.beside(body, (from, to), base, &said, if class == "wait" { "" } else { "inside" });
    }

    /// `said` right of a bar; left of it or, where neither has room, in it.
    fn beside(&self, body: &mut String, (from, to): (f64, f64), y: f64, said: &str, inside: &str) {
        let width = said.chars().count() as f64 * CHARACTER;
        let outside = if inside == "inside" { "" } else { inside };
        if to + 8.0 + width < WIDTH - 8.0 {
            text(body, to + 8.0, y, outside, said);
        } else if from - 8.0 - width > LEFT {
            text(body, from - 8.0, y, &format!("end {outside}"), said);
        } else {
            plate(body, ((from + to) / 2.0, y), width, inside != "inside");
            text(body, (from + to) / 2.0, y, &format!("middle {inside}"), said);
        }
    }
}

/// White under text that lies on a hatched bar.
fn plate(body: &mut String, (x, y): (f64, f64), width: f64, wanted: bool) {
    if wanted {
        let x = x - width / 2.0;
        let _ = writeln!(
            body,
            r##"<rect x="{x:.1}" y="{:.1}" width="{width:.1}" height="14" rx="2" fill="#fff" fill-opacity=".85"/>"##,
            y - 11.0
        );
    }
}

/// At spaces, into lines of at most `width` characters; a longer word gets its own line.
fn wrap(said: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in said.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::tests::{boot, failed};
    use super::*;

    #[test]
    fn a_boot_is_drawn_the_same_every_time() {
        assert_eq!(svg(&boot()), include_str!("testdata/boot.svg"));
    }

    #[test]
    fn what_a_reason_says_cannot_break_the_picture() {
        let drawn = svg(&failed());
        assert!(drawn.contains("&amp; may &lt;not&gt; join"), "{drawn}");
        assert!(!drawn.contains("<not>"), "{drawn}");
    }

    #[test]
    fn every_bar_is_inside_the_chart_and_visible() {
        for report in [boot(), failed()] {
            for bar in svg(&report).lines().filter(|line| line.starts_with("<rect class=")) {
                let number = |name: &str| -> f64 {
                    let (_, rest) = bar.split_once(&format!(" {name}=\"")).expect(name);
                    rest.split('"').next().expect(name).parse().expect(name)
                };
                let (x, width) = (number("x"), number("width"));
                assert!(x >= LEFT && width >= MIN_BAR && x + width <= RIGHT + 0.1, "{bar}");
            }
        }
    }
}
