//! Where talk goes: to journald with fields of its own where systemd runs us, to standard error
//! one line a step where a person does. Data goes to standard output and is no business of this.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::Failure;

/// Overrides what is logged, in the syntax of `tracing_subscriber::EnvFilter`.
const FILTER: &str = "WINDLASS_LOG";

/// The SDK says there, as an error, that after a failure it could not have a connection closed, since
/// our own connector does not hand its connections out. It closes them itself.
const POISONING: &str = "aws_smithy_runtime::client::http::connection_poisoning";

/// Starts logging for the whole program.
pub fn start(verbose: bool) {
    let usual = if verbose { "windlass=debug,info" } else { "windlass=info,warn" };
    let usual = format!("{usual},{POISONING}=off");
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(usual));
    let journal = under_journald().then(|| tracing_journald::layer().ok()).flatten();
    let sink = match journal {
        Some(layer) => layer
            .with_field_prefix(Some("WINDLASS".to_owned()))
            .with_syslog_identifier("windlass".to_owned())
            .with_priority_mappings(PriorityMappings {
                info: Priority::Informational,
                debug: Priority::Debug,
                ..PriorityMappings::new()
            })
            .boxed(),
        None => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .event_format(Lines { bold: colours() })
            .boxed(),
    };
    tracing_subscriber::registry().with(sink.with_filter(filter)).init();
}

/// Says why the program ends badly: once, as a chain.
pub fn failure(failure: &Failure) {
    tracing::error!("{:#}", failure.error());
}

/// systemd sets `JOURNAL_STREAM` to device and inode of the stream that it connected, so that a
/// child whose output goes elsewhere can tell (systemd.exec, "Environment variables set").
fn under_journald() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/dev/stderr") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}

/// See <https://no-color.org>.
fn colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && std::io::stderr().is_terminal()
}

/// `configuration  revision 6f1c… of group workers  (31 ms)`
struct Lines {
    bold: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let label = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        let (on, off) =
            if self.bold && !label.is_empty() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        if let Some(step) = &line.step {
            write!(writer, "{step:<14} ")?;
        }
        write!(writer, "{on}{label}{off}{}", line.message)?;
        if let Some(ms) = &line.ms {
            write!(writer, "  ({ms} ms)")?;
        }
        writeln!(writer, "{}", line.rest)
    }
}

#[derive(Default)]
struct Line {
    step: Option<String>,
    message: String,
    ms: Option<String>,
    rest: String,
}

impl Line {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            "step" => self.step = Some(value),
            "ms" => self.ms = Some(value),
            // A span says these on every line of the journal; a person has seen them once.
            "instance" | "group" | "node" => {}
            name => {
                let _ = write!(self.rest, "  {name}={value}");
            }
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
