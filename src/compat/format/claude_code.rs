//! Claude Code, and its forks. Every message has a `uuid`, a `parentUuid` and the `sessionId`. No
//! record has to be the first.

use super::members::Outline;

pub(super) fn is_record(outline: &Outline<'_>) -> bool {
    let is_message = outline.has("uuid") && outline.has("parentUuid");
    let is_summary = outline.is("type", "summary") && outline.has("leafUuid");
    let is_snapshot = outline.is("type", "file-history-snapshot") && outline.has("messageId");
    is_message && outline.has("sessionId") || is_summary || is_snapshot
}
