//! What names and addresses in a configuration must look like.

use super::entry::Entry;

/// A cluster's or group's name: it becomes part of S3 keys and of a Kubernetes label.
pub(super) fn name(entry: &Entry<'_>) -> Option<String> {
    let wanted = "a name of at most 63 lowercase letters, digits and hyphens that begins with a \
                  letter and does not end with a hyphen";
    let text = entry.string(wanted)?;
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.len() <= 63
        && text.bytes().all(known);
    if good {
        Some(text.to_owned())
    } else {
        entry.problem(format!("is `{text}`, wanted {wanted}"))
    }
}

/// An S3 bucket's name. Source: "General purpose bucket naming rules" (Amazon S3 User Guide).
pub(super) fn bucket(entry: &Entry<'_>) -> Option<String> {
    let wanted = "the name of an S3 bucket: 3 to 63 lowercase letters, digits, hyphens and dots";
    let text = entry.string(wanted)?;
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = (3..=63).contains(&text.len())
        && text.bytes().all(known)
        && text.starts_with(edge)
        && text.ends_with(edge)
        && !text.contains("..");
    if good {
        Some(text.to_owned())
    } else {
        entry.problem(format!("is `{text}`, wanted {wanted}"))
    }
}
