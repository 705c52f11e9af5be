//! The chain of records in an OpenClaw session: one header, and `parentId`s that name earlier
//! records.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};

use super::finding::plural;
use crate::transcript::scan::Line;

/// Records whose `parentId` names no earlier record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Chain {
    /// The number of such records.
    pub orphans: u64,
    /// The `id` of the first of them.
    pub first: Option<String>,
    /// Its line number, if known.
    pub first_line: Option<u64>,
    /// The missing parent that it names.
    pub missing: Option<String>,
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &Option<String>| {
            crate::error::printable(text.as_deref().unwrap_or("without id"))
        };
        write!(f, "{} record{} without a parent: ", self.orphans, plural(self.orphans))?;
        if let Some(line) = self.first_line {
            write!(f, "line {line}, ")?;
        }
        write!(f, "{} names {}", shown(&self.first), shown(&self.missing))
    }
}

/// The most ids that are remembered, in 16 MiB. In a longer session, later breaks are not detected.
pub(super) const MAX_IDS: usize = 1 << 20;

/// Follows the records of one session.
#[derive(Default)]
pub(super) struct ChainCheck {
    /// Whether the first record is a header. `None` before the first record. A session without a
    /// header has another format and is not checked.
    has_header: Option<bool>,
    ids: HashSet<u64>,
    hasher: RandomState,
    /// Ids are missing, because a record could not be parsed or there were too many. Any later
    /// parent may be one of them, so no more breaks are reported.
    incomplete: bool,
    pub(super) chain: Chain,
    /// The number of headers after the first record.
    pub(super) more_headers: u64,
    /// The line number of the first of them, if known.
    pub(super) second_header: Option<u64>,
}

/// The fields of a record that are checked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    parent_id: Option<Cow<'a, str>>,
}

impl ChainCheck {
    /// How many ids it remembers.
    pub(super) fn remembered(&self) -> usize {
        self.ids.len()
    }

    /// Takes the next whole record.
    pub(super) fn follow(&mut self, line: &Line<'_>) {
        if self.has_header == Some(false) {
            return;
        }
        let link =
            line.bytes.as_deref().and_then(|bytes| serde_json::from_slice::<Link<'_>>(bytes).ok());
        let Some(link) = link else {
            self.incomplete = true;
            self.has_header.get_or_insert(false);
            return;
        };
        let header = link.kind.as_deref() == Some("session");
        match self.has_header {
            None => self.has_header = Some(header),
            Some(_) if header => {
                self.more_headers += 1;
                self.second_header = self.second_header.or(line.number);
            }
            Some(_) => self.link(&link, line.number),
        }
    }

    fn link(&mut self, link: &Link<'_>, line: Option<u64>) {
        if let Some(parent) = &link.parent_id
            && !self.incomplete
            && !self.ids.contains(&self.hasher.hash_one(parent))
        {
            self.chain.orphans += 1;
            if self.chain.orphans == 1 {
                self.chain.first = link.id.as_deref().map(short);
                self.chain.first_line = line;
                self.chain.missing = Some(short(parent));
            }
        }
        if let Some(id) = &link.id {
            if self.ids.len() < MAX_IDS {
                self.ids.insert(self.hasher.hash_one(id));
            } else {
                self.incomplete = true;
            }
        }
    }
}

/// The first 80 bytes at most, because a hostile id may be long.
fn short(id: &str) -> String {
    id[..id.floor_char_boundary(80)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::scan::{Item, Scanner};

    fn check(lines: &[&str]) -> ChainCheck {
        let mut check = ChainCheck::default();
        let text = lines.join("\n") + "\n";
        let mut scanner = Scanner::new(text.as_bytes());
        while let Some(Item::Line(line)) = scanner.next_item().unwrap() {
            check.follow(&line);
        }
        check
    }

    const HEADER: &str = r#"{"type":"session","version":3,"id":"s","timestamp":"","cwd":"/"}"#;

    #[test]
    fn a_whole_chain_has_no_finding() {
        let found = check(&[
            HEADER,
            r#"{"type":"message","id":"a","parentId":null}"#,
            r#"{"type":"message","id":"b","parentId":"a"}"#,
            r#"{"type":"message","id":"c","parentId":"a"}"#,
        ]);
        assert_eq!((found.chain, found.more_headers), (Chain::default(), 0));
    }

    #[test]
    fn a_missing_parent_and_a_second_header_are_reported() {
        let found = check(&[
            HEADER,
            r#"{"type":"message","id":"b","parentId":"a"}"#,
            HEADER,
            r#"{"type":"message","id":"c","parentId":"b"}"#,
        ]);
        assert_eq!(found.chain.to_string(), "1 record without a parent: line 2, b names a");
        assert_eq!((found.more_headers, found.second_header), (1, Some(3)));
    }

    #[test]
    fn other_formats_are_not_checked() {
        let found = check(&[r#"{"type":"user","id":"b","parentId":"a"}"#, HEADER, "[1]"]);
        assert_eq!((found.chain, found.more_headers), (Chain::default(), 0));
    }
}
