//! Calls of tools, and their results.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{Found, shown};
use crate::compat::format::Format;
use crate::compat::format::members::Outline;

/// The most calls without a result that are remembered.
const MAX_OPEN: usize = 4096;

/// The calls that have no result so far. A result may come late, as that of a subagent does. A call
/// counts as unanswered only if a user has spoken since: before that, it may be under way.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: HashMap<Vec<u8>, Call>,
    order: u64,
}

#[derive(Debug)]
struct Call {
    order: u64,
    line: Option<u64>,
    /// Whether a user has spoken since.
    is_over: bool,
}

/// What a record says of tools.
enum Said<'a> {
    Call(&'a [u8]),
    Result(&'a [u8]),
    User,
}

impl Calls {
    /// Forgets the open calls, which may have got their results.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    pub(super) fn follow(&mut self, format: Format, record: &Outline<'_>, line: Option<u64>) {
        each(format, record, |said| match said {
            Said::Call(id) if self.open.len() < MAX_OPEN => {
                self.order += 1;
                let call = Call { order: self.order, line, is_over: false };
                self.open.insert(id.to_owned(), call);
            }
            Said::Call(_) => {}
            Said::Result(id) => drop(self.open.remove(id)),
            Said::User => self.open.values_mut().for_each(|call| call.is_over = true),
        });
    }

    pub(super) fn unanswered(&self) -> Found {
        let over = || self.open.iter().filter(|(_, call)| call.is_over);
        let first = over().min_by_key(|(_, call)| call.order);
        Found {
            count: over().count() as u64,
            first: first.map(|(id, _)| shown(id)),
            line: first.and_then(|(_, call)| call.line),
        }
    }
}

/// Passes on what a record says of tools.
fn each(format: Format, record: &Outline<'_>, mut each: impl FnMut(Said<'_>)) {
    let object = |name| record.get(name).map(Outline::of).unwrap_or_default();
    match format {
        Format::OpenClaw if record.is("type", "message") => {
            let message = object("message");
            if message.is("role", "toolResult") {
                message.get("toolCallId").map(Said::Result).into_iter().for_each(&mut each);
            } else if message.is("role", "user") {
                each(Said::User);
            } else {
                parts(message.get("content"), |part| {
                    if part.is("type", "toolCall") {
                        part.get("id").map(Said::Call).into_iter().for_each(&mut each);
                    }
                });
            }
        }
        Format::ClaudeCode => {
            let mut has_result = false;
            parts(object("message").get("content"), |part| {
                if part.is("type", "tool_use") {
                    part.get("id").map(Said::Call).into_iter().for_each(&mut each);
                } else if part.is("type", "tool_result") {
                    has_result = true;
                    part.get("tool_use_id").map(Said::Result).into_iter().for_each(&mut each);
                }
            });
            // A subagent is spoken to while the call that it serves is under way.
            let is_aside =
                record.get("isSidechain") == Some(b"true") || record.get("isMeta") == Some(b"true");
            if record.is("type", "user") && !has_result && !is_aside {
                each(Said::User);
            }
        }
        Format::Codex if record.is("type", "response_item") => {
            let payload = object("payload");
            let id = payload.get("call_id");
            match payload.kind() {
                Some("function_call" | "custom_tool_call" | "local_shell_call") => {
                    id.map(Said::Call).into_iter().for_each(each);
                }
                Some("function_call_output" | "custom_tool_call_output") => {
                    id.map(Said::Result).into_iter().for_each(each);
                }
                Some("message") if payload.is("role", "user") => each(Said::User),
                _ => {}
            }
        }
        _ => {}
    }
}

/// Passes on the parts of a message that speak of tools.
fn parts(content: Option<&[u8]>, mut each: impl FnMut(&Outline<'_>)) {
    let Some(content) = content.filter(|content| content.starts_with(b"[")) else { return };
    if memchr::memmem::find(content, b"tool").is_none() {
        return;
    }
    let parts: Vec<&RawValue> = serde_json::from_slice(content).unwrap_or_default();
    for part in parts {
        each(&Outline::of(part.get().as_bytes()));
    }
}
