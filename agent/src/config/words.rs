//! Words in messages and durations as text.

use std::time::Duration;

/// "`a`, `b` or `c`".
pub(super) fn list<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<_> = words.into_iter().map(|word| format!("`{}`", word.as_ref())).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// The word that somebody probably meant who wrote `found`.
pub(super) fn nearest<'a>(found: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    let likeness = |word: &str| {
        let word = word.to_lowercase();
        let one_slip = word.len() > 2 && strsim::damerau_levenshtein(&found, &word) <= 1;
        if one_slip { 1.0 } else { strsim::jaro_winkler(&found, &word) }
    };
    let scored = words.map(|word| (likeness(word), word));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= 0.8).then_some(best.1)
}

/// A duration in the largest unit that holds it whole: `15m`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// `900s`, `15m`, `24h` or several of them, largest first: `1h30m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut largest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = match rest[digits..].chars().next()? {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        if unit >= largest {
            return None;
        }
        largest = unit;
        total = total.checked_add(Duration::from_secs(number.checked_mul(unit)?))?;
        rest = &rest[digits + 1..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        for (text, seconds) in [("900s", 900), ("15m", 900), ("24h", 86_400), ("1h30m", 5400)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "15",
            "m",
            "15 m",
            "1m1h",
            "1m1m",
            "-1s",
            "99999999999999999999h",
            "9999999999999999h",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        for seconds in [0, 1, 90, 900, 3600, 5400, 86_400] {
            let wanted = Duration::from_secs(seconds);
            assert_eq!(parse_duration(&duration(wanted)), Some(wanted));
        }
    }

    #[test]
    fn a_misspelt_word_finds_the_one_that_was_meant() {
        assert_eq!(nearest("buckt", ["bucket", "cluster"].into_iter()), Some("bucket"));
        assert_eq!(nearest("zzz", ["bucket", "cluster"].into_iter()), None);
    }
}
