//! Gemini CLI. The first record has the `sessionId` and the `projectHash`; a file without it is
//! not resumed. The others are messages with `id`, `timestamp`, `type` and `content`, or changes
//! (`$set`, `$rewindTo`).

use super::members::Outline;
use super::openclaw::{is_value, object, quoted};
use super::{Rebuilt, Remains, time_of};

pub(super) fn is_record(outline: &Outline<'_>) -> bool {
    let is_message = outline.is("type", "gemini") && outline.has("id") && outline.has("content");
    is_message || outline.has("$rewindTo") || outline.has_object("$set")
}

pub(super) fn is_header(outline: &Outline<'_>) -> bool {
    outline.text("sessionId").is_some() && outline.text("projectHash").is_some()
}

pub(super) fn rebuild(remains: &Remains<'_>) -> Result<Rebuilt, &'static str> {
    let fragment = Outline::of(remains.fragment);
    if fragment.text("sessionId").is_none() {
        return Err("a sessionId");
    }
    if fragment.text("projectHash").is_none() {
        return Err("a projectHash");
    }
    let mut invented = Vec::new();
    let mut line: Vec<_> =
        fragment.members().iter().copied().filter(|(_, value)| is_value(value)).collect();
    let time = quoted(&time_of(remains.records).unwrap_or_else(|| remains.now.to_owned()));
    for key in ["startTime", "lastUpdated"] {
        if fragment.text(key).is_none() {
            line.push((key.as_bytes(), time.as_bytes()));
            invented.push(format!("the {key} by the first record"));
        }
    }
    Ok(Rebuilt { line: object(&line), invented })
}

/// Whether this is a part of a header.
pub(super) fn is_of_header(fragment: &[u8]) -> bool {
    let outline = Outline::of(fragment);
    outline.has("projectHash") || outline.has("sessionId") && outline.cut("projectHash").is_some()
}
