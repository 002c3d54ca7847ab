//! A MIME multipart document, as cloud-init takes it, with a part for Windlass in it.
//!
//! Ours is the part of content type `application/windlass+toml` or `text/x-windlass`, or the part
//! with the file name `windlass.toml`; cloud-init ignores the first two with a warning and so may
//! every other reader.

use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders};

use super::problems::Problems;

const CONTENT_TYPES: [&str; 2] = ["application/windlass+toml", "text/x-windlass"];
const FILE_NAME: &str = "windlass.toml";

/// Whether the document begins with a header that only MIME has.
pub(super) fn is_multipart(document: &[u8]) -> bool {
    let start = document.trim_ascii_start();
    ["content-type:", "mime-version:"].iter().any(|header| {
        start.get(..header.len()).is_some_and(|found| found.eq_ignore_ascii_case(header.as_bytes()))
    })
}

/// The content of the one part that is ours.
pub(super) fn our_part(name: &str, document: &[u8]) -> Result<Vec<u8>, Problems> {
    let Some(message) = MessageParser::default().parse(document.trim_ascii_start()) else {
        return Err(Problems::one(name, "begins as a MIME document but cannot be read as one"));
    };
    let parts: Vec<_> = leaves(&message).collect();
    let ours: Vec<_> = parts.iter().filter(|part| is_ours(part)).collect();
    match ours[..] {
        [part] => Ok(part.contents().to_vec()),
        [] => {
            let message = format!(
                "is a MIME document without a part for windlass: found {}, wanted one of content \
                 type `{}`",
                describe(&parts),
                CONTENT_TYPES[0]
            );
            let hint = format!("a part with the file name `{FILE_NAME}` is taken too");
            Err(Problems::one_with_hint(name, message, hint))
        }
        _ => {
            let message = format!(
                "is a MIME document with {} parts for windlass, wanted one: {}",
                ours.len(),
                describe(ours.iter().copied())
            );
            Err(Problems::one(name, message))
        }
    }
}

fn leaves<'m>(message: &'m Message<'m>) -> impl Iterator<Item = &'m MessagePart<'m>> {
    message.parts.iter().filter(|part| !part.is_multipart())
}

fn is_ours(part: &MessagePart<'_>) -> bool {
    let content_type = content_type(part);
    CONTENT_TYPES.contains(&content_type.as_str()) || part.attachment_name() == Some(FILE_NAME)
}

fn content_type(part: &MessagePart<'_>) -> String {
    match part.content_type() {
        Some(found) => {
            let kind = found.ctype();
            let subtype = found.subtype().unwrap_or_default();
            format!("{kind}/{subtype}").to_ascii_lowercase()
        }
        None => "text/plain".to_owned(),
    }
}

fn describe<'m>(parts: impl IntoIterator<Item = &'m &'m MessagePart<'m>>) -> String {
    let named: Vec<_> = parts
        .into_iter()
        .map(|part| match part.attachment_name() {
            Some(name) => format!("`{}` ({name})", content_type(part)),
            None => format!("`{}`", content_type(part)),
        })
        .collect();
    if named.is_empty() { "no part at all".to_owned() } else { named.join(", ") }
}
