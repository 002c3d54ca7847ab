//! The time line in a terminal: a line a step, its bar where and as long as the step was.

use super::picture::{Picture, Row};
use super::{duration, tick, ticks};

/// What the terminal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// In columns.
    pub width: usize,
    pub colour: bool,
}

/// Narrower bars say nothing.
const MIN_BAR: usize = 20;
/// Eighths of a column, as the block elements of Unicode have them.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The whole picture, with line ends. Bars of our own work are solid, of waiting shaded.
pub fn terminal(picture: &Picture, style: Style) -> String {
    let canvas = Canvas::of(picture, style);
    let tone = if picture.well { GREEN } else { RED };
    let headline = paint(&picture.headline, tone, style);
    let mut lines = vec![
        format!("{}  {headline}", paint(&picture.title, BOLD, style)),
        picture.subject.clone(),
    ];
    lines.extend(picture.why.iter().map(|reason| format!("why  {reason}")));
    lines.extend([String::new(), canvas.axis()]);
    lines.extend(picture.rows.iter().map(|row| canvas.line(row)));
    lines.push(String::new());
    lines.extend(picture.notes.iter().map(|note| format!("note      {note}")));
    if let Some((_, own)) = picture.own {
        lines.push(format!("own time  {} until kubelet was requested", duration(own)));
    }
    lines.extend(picture.requests.iter().map(|said| format!("requests  {said}")));
    lines.join("\n") + "\n"
}

/// Columns: name, bar, duration, notes.
struct Canvas {
    style: Style,
    end_ms: f64,
    name: usize,
    bar: usize,
}

/// Wide enough for `999 ms` and `59.99 s`.
const DURATION: usize = 8;

impl Canvas {
    fn of(picture: &Picture, style: Style) -> Self {
        let longest = |length: fn(&Row) -> usize| picture.rows.iter().map(length).max();
        let name = longest(|row| row.name.chars().count()).unwrap_or(0);
        let note = longest(|row| row.notes.join(", ").chars().count()).unwrap_or(0);
        let taken = name + DURATION + note + 6;
        let bar = style.width.saturating_sub(taken).max(MIN_BAR);
        Self { style, end_ms: picture.end_ms(), name, bar }
    }

    /// Tick labels, each beginning above its place.
    fn axis(&self) -> String {
        let mut line = String::new();
        for ms in ticks(self.end_ms, (self.bar / 8) as u32) {
            let at = self.column(ms).floor() as usize;
            let label = format!("│{}", tick(ms, self.end_ms));
            let length = line.chars().count();
            if at >= length && at + label.chars().count() <= self.bar {
                line.extend(std::iter::repeat_n(' ', at - length));
                line.push_str(&label);
            }
        }
        let line = format!("{:name$}  {line}", "", name = self.name);
        paint(&line, DIM, self.style)
    }

    fn line(&self, row: &Row) -> String {
        let start = self.column(row.start_ms).floor();
        let start = start.min(self.bar as f64 - 1.0);
        let cells = self.column(row.end_ms - row.start_ms).max(0.125);
        let bar =
            if row.waited { "░".repeat(cells.round().max(1.0) as usize) } else { solid(cells) };
        let rest = self.bar.saturating_sub(start as usize + bar.chars().count());
        let bar = paint(&bar, bar_colour(row), self.style);
        let line = format!(
            "{:<name$}  {:before$}{bar}{:rest$} {:>DURATION$}  {}",
            row.name,
            "",
            "",
            duration(row.end_ms - row.start_ms),
            row.notes.join(", "),
            name = self.name,
            before = start as usize,
        );
        line.trim_end().to_owned()
    }

    fn column(&self, ms: f64) -> f64 {
        ms / self.end_ms * self.bar as f64
    }
}

fn solid(cells: f64) -> String {
    let eighths = (cells * 8.0).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

fn bar_colour(row: &Row) -> &'static str {
    match (row.failed, row.waited) {
        (true, _) => RED,
        (false, true) => YELLOW,
        (false, false) => CYAN,
    }
}

/// SGR `code` around the text where the terminal has colours.
fn paint(text: &str, code: &str, style: Style) -> String {
    if style.colour && !text.is_empty() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::boot::tests::{boot, failed};
    use super::*;

    const PLAIN: Style = Style { width: 100, colour: false };

    #[test]
    fn a_boot_reads_as_a_time_line() {
        assert_eq!(terminal(&Picture::from(&boot()), PLAIN), include_str!("testdata/boot.txt"));
    }

    #[test]
    fn a_boot_that_was_given_up_says_why_first() {
        assert_eq!(terminal(&Picture::from(&failed()), PLAIN), include_str!("testdata/failed.txt"));
    }

    #[test]
    fn no_line_of_the_time_line_is_wider_than_the_terminal() {
        let drawn = terminal(&Picture::from(&boot()), PLAIN);
        let bars = drawn.lines().skip(3).take(12);
        assert_eq!(
            bars.clone().filter(|line| line.chars().count() > PLAIN.width).count(),
            0,
            "{drawn}"
        );
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let coloured = terminal(&Picture::from(&boot()), Style { colour: true, ..PLAIN });
        let mut plain = String::new();
        let mut escape = false;
        for c in coloured.chars() {
            match c {
                '\x1b' => escape = true,
                'm' if escape => escape = false,
                c if !escape => plain.push(c),
                _ => {}
            }
        }
        assert_eq!(plain, terminal(&Picture::from(&boot()), PLAIN));
    }
}
