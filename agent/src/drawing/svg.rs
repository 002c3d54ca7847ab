//! The Gantt chart: one SVG that needs no script, no font file and no legend. Solid bars are our
//! own work, hatched ones are waiting, and each says beside itself how long and for whom.

use std::fmt::Write;

use super::pen::{WIDTH, escape, line, page, text};
use super::picture::{Picture, Row};
use super::{duration, tick, ticks};

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
/// Characters of 12 px type left of the axis.
const NAME: usize = 26;
/// Characters of 12 px type in a line of the footer.
const FOOTER: usize = 130;

const STYLE: &str = ".ready{stroke:#1c7c4a;stroke-dasharray:4 3}.bracket{stroke:#24607d;fill:none;stroke-width:1.5}\
.work{fill:#2f7ea3}.wait{fill:url(#hatch);stroke:#c98a1b}.failed{fill:#d64541}.inside{fill:#fff;stroke:none}";

const HATCH: &str = r##"<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" fill="#fdf3dc"/><rect width="2.2" height="7" fill="#e3b04b"/></pattern></defs>"##;

/// The whole picture.
pub fn svg(picture: &Picture) -> String {
    let rows = &picture.rows;
    let chart = Chart { end_ms: picture.end_ms(), bottom: TOP + ROW * rows.len() as f64 };
    let mut body = String::new();
    header(&mut body, picture);
    chart.axis(&mut body);
    chart.own_time(&mut body, picture);
    chart.ready(&mut body, picture);
    for (number, row) in rows.iter().enumerate() {
        chart.row(&mut body, TOP + ROW * number as f64, row);
    }
    let height = footer(&mut body, picture, chart.bottom + 42.0);
    let title = format!("{} of {}: {}", picture.of, picture.title, picture.headline);
    page(&title, STYLE, HATCH, height, &body)
}

fn header(body: &mut String, picture: &Picture) {
    let tone = if picture.well { "good" } else { "bad" };
    text(body, 24.0, 36.0, "title", &picture.title);
    text(body, 24.0, 57.0, "sub", &picture.subject);
    text(body, 24.0, 81.0, &format!("headline {tone}"), &picture.headline);
}

/// Why it is no success and what was requested, wrapped. Returns the height of the whole picture.
fn footer(body: &mut String, picture: &Picture, mut top: f64) -> f64 {
    let why = picture.why.iter().map(|reason| ("bad", format!("Why: {reason}")));
    let notes = picture.notes.iter().map(|note| ("sub", format!("Note: {note}")));
    let requests = picture.requests.iter().map(|said| ("sub", format!("Requests: {said}")));
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
    fn own_time(&self, body: &mut String, picture: &Picture) {
        let Some((start, own)) = picture.own else { return };
        let (from, to, y) = (self.x(start), self.x(start + own), AXIS + 26.0);
        let _ =
            writeln!(body, r#"<path class="bracket" d="M{from:.1} {:.1}v-8H{to:.1}v8"/>"#, y + 8.0);
        let label = format!("Windlass' own time: {}", duration(own));
        self.beside(body, (from, to), y + 5.0, &label, "own");
    }

    fn ready(&self, body: &mut String, picture: &Picture) {
        let Some(ready) = picture.ready_ms else { return };
        let x = self.x(ready);
        line(body, "ready", (x, AXIS + 6.0), (x, self.bottom));
        let label = format!("Ready: {}", duration(ready));
        text(body, x.min(RIGHT - 30.0), self.bottom + 15.0, "good middle", &label);
    }

    fn row(&self, body: &mut String, top: f64, row: &Row) {
        let from = self.x(row.start_ms).min(RIGHT - MIN_BAR);
        let to = self.x(row.end_ms).max(from + MIN_BAR);
        let class = match (row.failed, row.waited) {
            (true, _) => "failed",
            (false, true) => "wait",
            (false, false) => "work",
        };
        let base = top + ROW / 2.0 + 4.0;
        let length = vec![duration(row.end_ms - row.start_ms)];
        let said = [length, row.notes.clone()].concat().join(", ");
        text(body, LEFT - 12.0, base, "name", &shortened(&row.name));
        let _ = writeln!(
            body,
            r#"<rect class="{class}" x="{from:.1}" y="{:.1}" width="{:.1}" height="{BAR}" rx="2"><title>{}</title></rect>"#,
            top + (ROW - BAR) / 2.0,
            to - from,
            escape(&[&row.name, &said, &row.detail].map(String::as_str).join("\n")),
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

/// As much of a name as there is room for: its end tells pods apart.
fn shortened(name: &str) -> String {
    match name.chars().count().checked_sub(NAME) {
        None | Some(0) => name.to_owned(),
        Some(over) => format!("…{}", name.chars().skip(over + 1).collect::<String>()),
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
    use super::super::boot::tests::{boot, failed};
    use super::*;

    #[test]
    fn a_boot_is_drawn_the_same_every_time() {
        assert_eq!(svg(&Picture::from(&boot())), include_str!("testdata/boot.svg"));
    }

    #[test]
    fn what_a_reason_says_cannot_break_the_picture() {
        let drawn = svg(&Picture::from(&failed()));
        assert!(drawn.contains("&amp; may &lt;not&gt; join"), "{drawn}");
        assert!(!drawn.contains("<not>"), "{drawn}");
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(shortened("shop/web-1"), "shop/web-1");
        assert_eq!(shortened("production/checkout-7d9f8b6c5-x2v8q"), "…/checkout-7d9f8b6c5-x2v8q");
    }

    #[test]
    fn every_bar_is_inside_the_chart_and_visible() {
        for report in [boot(), failed()] {
            for bar in
                svg(&Picture::from(&report)).lines().filter(|line| line.starts_with("<rect class="))
            {
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
