//! What goes to standard output: data, as text for people or JSON for programs.

use std::io::{ErrorKind, IsTerminal, Write};

use anyhow::Context;
use serde::Serialize;

use crate::drawing::Style;

/// How to print what was read.
#[derive(clap::Args, Clone, Debug)]
pub struct Output {
    /// Print for people or for programs.
    #[arg(long = "output", short = 'o', value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

impl Output {
    /// Prints `data` as JSON, or the text that `text` makes of it.
    pub fn print<T: Serialize>(
        &self,
        data: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        match self.format {
            Format::Text => print(&text(data)),
            Format::Json => json(data),
        }
    }
}

/// Indented JSON with a line end.
pub fn json<T: Serialize>(data: &T) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(data).context("writing JSON")?;
    print(&(text + "\n"))
}

/// Text as it is. That nobody reads on (`windlass nodes | head`) is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}

/// What standard output can show. See <https://no-color.org>.
pub fn style() -> Style {
    const PAPER: usize = 100;
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let terminal = std::io::stdout().is_terminal();
    let width = terminal_size::terminal_size_of(std::io::stdout());
    let width = width.map_or(PAPER, |(width, _)| usize::from(width.0));
    Style { width, colour: terminal && !refused }
}

/// Columns as wide as their widest cell, two spaces apart; the first row is the head.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let drawn = table(&[
            row(["NODE", "AGE", "WHY"]),
            row(["i-1", "12 m", ""]),
            row(["i-22222", "5 s", "new"]),
        ]);
        assert_eq!(drawn, "NODE     AGE   WHY\ni-1      12 m\ni-22222  5 s   new\n");
    }
}
