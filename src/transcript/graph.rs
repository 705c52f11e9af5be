//! How the records of a session file hang together: their ids, the parents that they name, the
//! results of their tool calls, the session that they belong to.
//!
//! What the links are called depends on the format ([`Format`]). Of a file whose format is not
//! known, nothing is said. One odd record does not end the check: an `id` that is a number, a key
//! that is there twice, a string that is no Unicode, or a line that is too long to be kept. Of
//! such a line, the beginning and the end are looked at.
//!
//! `graph/tools.rs` follows the calls of tools.

mod tools;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;

use super::scan::Line;
use super::source::{ReadAt, read_exact};
use crate::compat::format::Format;
use crate::compat::format::members::Outline;
use tools::Calls;

/// The most records that are remembered, in some 32 MiB. What follows is not checked.
pub(crate) const MAX_RECORDS: usize = 1 << 19;
/// So many records are looked at for the format.
const TELLING: u64 = 16;
/// So much is read of the beginning of a line that is too long to be kept, and of its end.
const HEAD: u64 = 64 * 1024;
const TAIL: u64 = 4 * 1024;
/// The longest part of an id that is shown. A hostile one may be long.
const SHOWN: usize = 80;

/// Where something was found: how often, and the first place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) count: u64,
    /// The id that it is about.
    pub(crate) first: Option<String>,
    pub(crate) line: Option<u64>,
}

impl Found {
    fn add(&mut self, id: impl FnOnce() -> Option<String>, line: Option<u64>) {
        self.count += 1;
        if self.count == 1 {
            (self.first, self.line) = (id(), line);
        }
    }
}

/// What was found in a file.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Headers after the first one.
    pub(crate) headers: Found,
    /// Records whose parent is not there.
    pub(crate) orphans: Found,
    /// The parent that the first of them names.
    pub(crate) missing: Option<String>,
    /// Records whose id was there before.
    pub(crate) duplicates: Found,
    /// So many of them are the same record again.
    pub(crate) repeated: u64,
    /// Records that are their own ancestors.
    pub(crate) cycles: Found,
    /// Lines that are no object; `first` is the kind of value.
    pub(crate) values: Found,
    /// Records that name another session than the first one; `first` is that session.
    pub(crate) strangers: Found,
    /// Calls of tools without a result, though a user has spoken since.
    pub(crate) calls: Found,
    /// Whether the links are not checked from a line on. Its number, if known.
    pub(crate) unchecked: Option<Option<u64>>,
}

/// Follows the records of one file.
#[derive(Default)]
pub(crate) struct Graph {
    records: u64,
    format: Option<Format>,
    has_header: bool,
    nodes: HashMap<u64, Node>,
    /// Records that named a parent which was not there yet, or which changed the parent of an id.
    open: Vec<Open>,
    session: Option<u64>,
    calls: Calls,
    hasher: RandomState,
    report: Report,
}

struct Node {
    parent: Option<u64>,
    /// A part of the hash of the record.
    digest: u32,
    /// Which walk has passed it.
    walk: u32,
}

struct Open {
    id: Option<u64>,
    parent: u64,
    names: Option<(Option<String>, String)>,
    line: Option<u64>,
}

/// What links are called in a format.
struct Names {
    id: &'static str,
    parent: &'static str,
    session: Option<&'static str>,
}

/// `None` for formats without such links.
fn names(format: Format) -> Option<Names> {
    let (id, parent, session) = match format {
        Format::OpenClaw | Format::CopilotCli => ("id", "parentId", None),
        Format::ClaudeCode => ("uuid", "parentUuid", Some("sessionId")),
        Format::Codex | Format::GeminiCli => return None,
    };
    Some(Names { id, parent, session })
}

impl Graph {
    /// How many records it remembers.
    pub(crate) fn remembered(&self) -> usize {
        self.nodes.len()
    }

    /// Takes the next whole record.
    ///
    /// # Errors
    ///
    /// The errors of reading a line that came without its bytes.
    pub(crate) fn follow(&mut self, source: &impl ReadAt, line: &Line<'_>) -> io::Result<()> {
        if let Some(bytes) = &line.bytes {
            self.take(bytes, &Outline::of(bytes), &Outline::default(), line.number);
            return Ok(());
        }
        let length = line.range.end - line.range.start;
        let mut head = vec![0; HEAD.min(length) as usize];
        let mut tail = vec![0; TAIL.min(length) as usize];
        read_exact(source, &mut head, line.range.start)?;
        read_exact(source, &mut tail, line.range.end - TAIL.min(length))?;
        // What tools it calls, and which results it has, is not known.
        self.calls.forget();
        self.take(&head, &Outline::of(&head), &Outline::of_rest(&tail), line.number);
        Ok(())
    }

    /// Takes a record by its members. Of one that was not kept, those at the end are in `end`.
    fn take(&mut self, bytes: &[u8], outline: &Outline<'_>, end: &Outline<'_>, line: Option<u64>) {
        self.records += 1;
        if !bytes.trim_ascii_start().starts_with(b"{") {
            self.report.values.add(|| Some(kind_of(bytes).to_owned()), line);
            return;
        }
        if self.format.is_none() && self.records <= TELLING {
            self.format = Format::of_record(bytes);
        }
        let Some(format) = self.format else { return };
        if format.is_header(bytes) {
            // Codex begins a file that goes on with another one with both headers.
            if self.has_header && format == Format::OpenClaw {
                self.report.headers.add(|| None, line);
            }
            self.has_header = true;
            if format != Format::CopilotCli {
                return;
            }
            // There, the header is the first link.
        }
        self.calls.follow(format, outline, line);
        if let Some(names) = names(format) {
            let get = |name: &str| outline.get(name).or_else(|| end.get(name));
            self.link(get(names.id), get(names.parent), bytes, line);
            if let Some(session) = names.session.and_then(get) {
                self.belong(session, line);
            }
        }
    }

    fn link(&mut self, id: Option<&[u8]>, parent: Option<&[u8]>, bytes: &[u8], line: Option<u64>) {
        if self.report.unchecked.is_some() {
            return;
        }
        if self.nodes.len() >= MAX_RECORDS || self.open.len() >= MAX_RECORDS {
            self.report.unchecked = Some(line);
            return;
        }
        let key = |value: &[u8]| is_id(value).then(|| self.hasher.hash_one(plain(value)));
        let (key, parent_key) = (id.and_then(key), parent.and_then(key));
        let names = || (id.map(shown), parent.map(shown).unwrap_or_default());
        let is_there = parent_key.is_none_or(|parent| self.nodes.contains_key(&parent));
        let mut is_open = !is_there;
        if let Some(key) = key {
            let digest = self.hasher.hash_one(bytes) as u32;
            let node = Node { parent: parent_key, digest, walk: 0 };
            if let Some(before) = self.nodes.insert(key, node) {
                self.report.duplicates.add(|| id.map(shown), line);
                self.report.repeated += u64::from(before.digest == digest);
                // Loaders take the last one. Its parent may come after it.
                is_open = true;
            }
        }
        if let (true, Some(parent)) = (is_open, parent_key) {
            // The names are kept for the first few, of which one is told.
            let names = (self.open.len() < 1024).then(names);
            self.open.push(Open { id: key, parent, names, line });
        }
    }

    fn belong(&mut self, session: &[u8], line: Option<u64>) {
        if !is_id(session) {
            return;
        }
        let key = self.hasher.hash_one(plain(session));
        if *self.session.get_or_insert(key) != key {
            self.report.strangers.add(|| Some(shown(session)), line);
        }
    }

    /// What was found, once all records were taken.
    pub(crate) fn report(mut self) -> Report {
        if self.format.is_none() {
            // Nothing is known of what its lines have to be.
            return Report::default();
        }
        let open = std::mem::take(&mut self.open);
        for (walk, one) in (1..).zip(&open) {
            let names = || one.names.clone().unwrap_or_default();
            if !self.nodes.contains_key(&one.parent) {
                let orphans = &mut self.report.orphans;
                orphans.add(|| names().0, one.line);
                if orphans.count == 1 {
                    self.report.missing = Some(names().1);
                }
            } else if let Some(id) = one.id
                && self.comes_back(id, walk)
            {
                self.report.cycles.add(|| names().0, one.line);
            }
        }
        self.report.calls = self.calls.unanswered();
        self.report
    }

    /// Whether the way from a record to its parents leads back to where it was. What an earlier
    /// walk has passed leads to no cycle that was not found.
    fn comes_back(&mut self, id: u64, walk: u32) -> bool {
        let mut next = Some(id);
        while let Some(node) = next.and_then(|id| self.nodes.get_mut(&id)) {
            if node.walk != 0 {
                return node.walk == walk;
            }
            node.walk = walk;
            next = node.parent;
        }
        false
    }
}

/// Whether a value can be an id: a string or a number.
fn is_id(value: &[u8]) -> bool {
    matches!(value.first(), Some(b'"' | b'-' | b'0'..=b'9')) && value != b"\"\""
}

/// An id without escapes, if they can be read. Otherwise as it is written.
fn plain(value: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<String>(value) {
        Ok(text) => [b"\"", text.as_bytes()].concat(),
        Err(_) => value.to_vec(),
    }
}

/// An id as it is told.
fn shown(value: &[u8]) -> String {
    let text = serde_json::from_slice::<String>(value)
        .unwrap_or_else(|_| String::from_utf8_lossy(value).into_owned());
    text[..text.floor_char_boundary(SHOWN)].to_owned()
}

/// What kind of value a line is that is no object.
fn kind_of(bytes: &[u8]) -> &'static str {
    match bytes.trim_ascii_start().first() {
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests;
