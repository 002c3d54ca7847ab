//! What a unit said last, in as many lines as a person reads: what it said again and again stands
//! once, and what ended it stands first, however much it said afterwards (a stack trace, say).

use tokio::process::Command;

use super::{Effects, Machine};

/// How far back is looked. A kubelet that cannot reach anything says some ten lines a second.
const LOOKED_AT: u32 = 400;

impl Machine {
    /// The unit's last words since the machine started, in at most `lines` lines; what kept them
    /// from being read where they cannot be.
    pub async fn last_words(&self, unit: &str, lines: usize) -> String {
        if let Effects::Kept(_) = self.effects {
            return String::new();
        }
        let (unit, looked_at) = (format!("--unit={unit}"), format!("--lines={LOOKED_AT}"));
        let arguments = ["--boot", "--no-pager", "--output=cat", &unit, &looked_at];
        match Command::new("journalctl").args(arguments).output().await {
            Ok(output) => quoted(&String::from_utf8_lossy(&output.stdout), lines),
            Err(error) => format!("journalctl cannot be run: {error}"),
        }
    }
}

/// Something that was said, as it was said last.
struct Said<'a> {
    line: &'a str,
    times: usize,
}

fn quoted(journal: &str, lines: usize) -> String {
    let mut all: Vec<Said<'_>> = Vec::new();
    for line in journal.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        let before = all.iter().position(|said| message(said.line) == message(line));
        let times = before.map_or(0, |at| all.remove(at).times) + 1;
        all.push(Said { line, times });
    }
    let mut quoted = all.split_off(all.len().saturating_sub(lines));
    let ended_it = |said: &Said<'_>| is_fatal(said.line);
    if !quoted.iter().any(ended_it)
        && let Some(at) = all.iter().rposition(ended_it)
    {
        quoted[0] = all.swap_remove(at);
    }
    let lines = quoted.iter().map(|Said { line, times }| match times {
        1 => (*line).to_owned(),
        _ => format!("{line} ({times} times)"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A line without the head that klog writes: `E1123 11:22:33.444444    1234 kubelet.go:56] `.
fn message(line: &str) -> &str {
    let is_klog = |head: &str| {
        let mut bytes = head.bytes();
        matches!(bytes.next(), Some(b'I' | b'W' | b'E' | b'F'))
            && bytes.by_ref().take(4).all(|byte| byte.is_ascii_digit())
    };
    match line.split_once("] ") {
        Some((head, message)) if is_klog(head) => message,
        _ => line,
    }
}

/// How Go programs, and kubelet above all, say why they end.
fn is_fatal(line: &str) -> bool {
    let message = message(line);
    ["panic: ", "fatal error: ", "Error: ", "\"command failed\""]
        .iter()
        .any(|beginning| message.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_again_and_again_stands_once_as_it_was_said_last() {
        let journal = "starting\n\
             E1123 11:22:33.444444    1234 event.go:56] \"Unable to write event\"\n\
             E1123 11:22:34.000000    1234 kubelet.go:78] \"Node not found\"\n\
             E1123 11:22:35.000000    1234 event.go:56] \"Unable to write event\"\n";
        assert_eq!(
            quoted(journal, 2),
            "E1123 11:22:34.000000    1234 kubelet.go:78] \"Node not found\"\n\
             E1123 11:22:35.000000    1234 event.go:56] \"Unable to write event\" (2 times)"
        );
    }

    #[test]
    fn what_ended_it_stands_first_however_long_the_stack_trace_is() {
        let trace: String = (0..20).map(|n| format!("k8s.io/frame{n}\n")).collect();
        let journal = format!("panic: unrecognized feature gate: Nope\n\n{trace}");
        assert_eq!(
            quoted(&journal, 3),
            "panic: unrecognized feature gate: Nope\nk8s.io/frame18\nk8s.io/frame19"
        );
    }

    #[test]
    fn a_silent_unit_has_no_last_words() {
        assert_eq!(quoted("\n", 3), "");
    }
}
