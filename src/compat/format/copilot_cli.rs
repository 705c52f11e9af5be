//! GitHub Copilot CLI. Every record is an event with `type`, `data`, `id`, `timestamp` and
//! `parentId`. The first is `session.start`.

use super::members::Outline;

/// The first word of the type of an event.
const KINDS: [&str; 9] =
    ["session", "user", "assistant", "tool", "system", "subagent", "hook", "skill", "permission"];

pub(super) fn is_record(outline: &Outline<'_>) -> bool {
    let kind = outline.kind().and_then(|kind| kind.split_once('.'));
    kind.is_some_and(|(word, _)| KINDS.contains(&word))
        && outline.has_object("data")
        && outline.has("parentId")
}

pub(super) fn is_header(outline: &Outline<'_>) -> bool {
    outline.is("type", "session.start") && outline.has_object("data")
}

/// Whether this is a part of a header.
pub(super) fn is_of_header(fragment: &[u8]) -> bool {
    Outline::of(fragment).is("type", "session.start")
}
