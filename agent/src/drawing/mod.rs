//! Reports for people: a time line for a terminal, a Gantt chart as SVG.
//!
//! A report makes a [`Picture`], and both draw that. All is pure: a report in, text out. Whatever a
//! picture shows is written at the place where it shows, so that nobody needs a legend.

mod boot;
mod drain;
pub mod pen;
mod picture;
mod svg;
mod terminal;

pub use picture::Picture;
pub use svg::svg;
pub use terminal::{Style, terminal};

use crate::exchange::InstanceId;

/// Round numbers from 0, about `wanted` of them, none beyond `end_ms`.
pub fn ticks(end_ms: f64, wanted: u32) -> Vec<f64> {
    let rough = end_ms / f64::from(wanted.max(1));
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough);
    let step = step.unwrap_or(power * 10.0);
    let count = (end_ms / step).floor() as u32;
    (0..=count).map(|n| f64::from(n) * step).collect()
}

/// The node's name; with the instance's id where that is another.
fn title(instance: &InstanceId, node: Option<&str>) -> String {
    match node {
        Some(node) if node != instance.as_str() => format!("{node} ({instance})"),
        _ => instance.to_string(),
    }
}

/// Three digits that matter: `0.4 ms`, `312 ms`, `1.25 s`, `2 m 5 s`.
fn duration(ms: f64) -> String {
    match ms {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 59_995.0 => format!("{:.2} s", ms / 1000.0),
        ms => {
            let seconds = (ms / 1000.0).round() as u64;
            format!("{} m {} s", seconds / 60, seconds % 60)
        }
    }
}

/// The unit of a whole axis: `200 ms`, `1.5 s`.
pub fn tick(ms: f64, end_ms: f64) -> String {
    match ms {
        0.0 => "0".to_owned(),
        ms if end_ms < 2000.0 => format!("{ms} ms"),
        ms => format!("{} s", ms / 1000.0),
    }
}

fn bytes(count: u64) -> String {
    match count {
        count if count < 1024 => format!("{count} B"),
        count if count < 1024 * 1024 => format!("{:.1} KiB", count as f64 / 1024.0),
        count => format!("{:.1} MiB", count as f64 / 1024.0 / 1024.0),
    }
}

/// As much of a hash as a person compares.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_that_matter() {
        let said: Vec<String> =
            [0.04, 9.96, 312.4, 999.6, 1250.0, 59_990.0, 59_999.0, 125_000.0].map(duration).into();
        let wanted =
            ["0.0 ms", "10 ms", "312 ms", "1.00 s", "1.25 s", "59.99 s", "1 m 0 s", "2 m 5 s"];
        assert_eq!(said, wanted);
    }

    #[test]
    fn ticks_are_round_and_end_on_the_axis() {
        assert_eq!(ticks(1921.0, 8), [0.0, 500.0, 1000.0, 1500.0]);
        assert_eq!(ticks(1000.0, 5), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        assert_eq!(
            ticks(30_815.0, 8),
            [0.0, 5000.0, 10_000.0, 15_000.0, 20_000.0, 25_000.0, 30_000.0]
        );
        assert_eq!(ticks(1.0, 4), [0.0, 0.5, 1.0]);
    }
}
