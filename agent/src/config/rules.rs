//! What names and identifiers in a configuration must look like.

use super::entry::Entry;
use crate::exchange::InstanceId;

/// A cluster's or group's name: it becomes part of S3 keys and of a Kubernetes label.
pub(super) fn name(entry: &Entry<'_>) -> Option<String> {
    text(entry, NAME, is_name)
}

pub(super) const NAME: &str = "a name of at most 63 lowercase letters, digits and hyphens that \
                               begins with a letter and does not end with a hyphen";

pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.len() <= 63
        && text.bytes().all(|b| lowercase_or_digit(b) || b == b'-')
}

/// An S3 bucket's name. Source: "General purpose bucket naming rules" (Amazon S3 User Guide).
pub(super) fn bucket(entry: &Entry<'_>) -> Option<String> {
    let wanted = "the name of an S3 bucket: 3 to 63 lowercase letters, digits, hyphens and dots";
    text(entry, wanted, |text| {
        let edge = |c: char| c.is_ascii() && lowercase_or_digit(c as u8);
        (3..=63).contains(&text.len())
            && text.bytes().all(|b| lowercase_or_digit(b) || matches!(b, b'-' | b'.'))
            && text.starts_with(edge)
            && text.ends_with(edge)
            && !text.contains("..")
    })
}

/// An AWS region's code.
pub(super) fn region(entry: &Entry<'_>) -> Option<String> {
    text(entry, "an AWS region, such as `eu-west-1`", |text| {
        let parts: Vec<_> = text.split('-').collect();
        let Some((number, words)) = parts.split_last() else { return false };
        let word = |word: &&str| word.len() >= 2 && word.bytes().all(|b| b.is_ascii_lowercase());
        words.len() >= 2
            && words.iter().all(word)
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// A VPC's id.
pub(super) fn vpc(entry: &Entry<'_>) -> Option<String> {
    text(entry, "a VPC's id, `vpc-` and 8 or 17 hexadecimal digits", |text| {
        let digits = text.strip_prefix("vpc-").unwrap_or_default();
        format!("i-{digits}").parse::<InstanceId>().is_ok()
    })
}

/// An IAM role's unique id. Source: "IAM identifiers", unique identifiers.
pub(super) fn role_id(entry: Entry<'_>) -> Option<String> {
    let wanted = "an IAM role's unique id, `AROA…`";
    let found = entry.string(wanted)?;
    let good = found.len() > 4
        && found.starts_with("AROA")
        && found.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if good {
        return Some(found.to_owned());
    }
    let message = format!("is `{found}`, wanted {wanted}");
    let hint = "aws iam get-role --role-name NAME --query Role.RoleId";
    if found.starts_with("arn:") || !found.starts_with("AROA") {
        entry.problem_with_hint(message, hint)
    } else {
        entry.problem(message)
    }
}

/// An instance profile's ARN.
pub(super) fn instance_profile(entry: &Entry<'_>) -> Option<String> {
    let wanted = "an instance profile's ARN, `arn:aws:iam::ACCOUNT:instance-profile/NAME`";
    text(entry, wanted, |text| {
        let parts: Vec<_> = text.splitn(6, ':').collect();
        matches!(parts[..], ["arn", partition, "iam", "", account, resource]
            if partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && resource.strip_prefix("instance-profile/").is_some_and(|n| !n.is_empty()))
    })
}

/// The ARN or id of a KMS key.
pub(super) fn kms_key(entry: &Entry<'_>) -> Option<String> {
    text(entry, "a KMS key's ARN, id or alias", |text| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
    })
}

/// A lifecycle hook's name. Source: PutLifecycleHook (Amazon EC2 Auto Scaling API Reference).
pub(super) fn hook(entry: Entry<'_>) -> Option<String> {
    let wanted = "a lifecycle hook's name: 1 to 255 letters, digits, `-`, `_` and `/`";
    text(&entry, wanted, |text| {
        (1..=255).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b))
    })
}

/// A DNS domain.
pub(super) fn domain(entry: Entry<'_>) -> Option<String> {
    text(&entry, "a DNS domain in lowercase, such as `cluster.local`", is_dns_subdomain)
}

/// RFC 1123, as Kubernetes reads it: at most 253 characters.
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| lowercase_or_digit(b) || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn text(entry: &Entry<'_>, wanted: &str, good: impl Fn(&str) -> bool) -> Option<String> {
    let found = entry.string(wanted)?;
    if good(found) {
        Some(found.to_owned())
    } else {
        entry.problem(format!("is `{found}`, wanted {wanted}"))
    }
}

fn lowercase_or_digit(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}
