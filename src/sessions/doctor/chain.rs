//! How the records of an OpenClaw session hang together: one header, and `parentId`s that name an earlier record.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};

use super::finding::plural;
use crate::transcript::scan::Line;

/// Parents that are not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Chain {
    /// How many records name one.
    pub orphans: u64,
    /// The `id` of the first of them.
    pub first: Option<String>,
    /// Its line, where that is known.
    pub first_line: Option<u64>,
    /// The parent that it names.
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

/// As many ids are remembered (16 MiB); in a longer session later breaks go unseen.
const MOST_IDS: usize = 1 << 20;

/// Follows the records of one session.
#[derive(Default)]
pub(super) struct Lineage {
    /// `None` before the first record; then whether it was a header, without which nothing here means anything.
    headed: Option<bool>,
    ids: HashSet<u64>,
    hasher: RandomState,
    /// A record could not be looked into, or there were too many: its id may be anybody's parent.
    blind: bool,
    pub(super) chain: Chain,
    pub(super) more_headers: u64,
    pub(super) first_header: Option<u64>,
}

/// What is looked at of a record.
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

impl Lineage {
    /// Takes in the next whole record.
    pub(super) fn follow(&mut self, line: &Line<'_>) {
        if self.headed == Some(false) {
            return;
        }
        let link =
            line.bytes.as_deref().and_then(|bytes| serde_json::from_slice::<Link<'_>>(bytes).ok());
        let Some(link) = link else {
            self.blind = true;
            self.headed.get_or_insert(false);
            return;
        };
        let header = link.kind.as_deref() == Some("session");
        match self.headed {
            None => self.headed = Some(header),
            Some(_) if header => {
                self.more_headers += 1;
                self.first_header = self.first_header.or(line.number);
            }
            Some(_) => self.link(&link, line.number),
        }
    }

    fn link(&mut self, link: &Link<'_>, line: Option<u64>) {
        if let Some(parent) = &link.parent_id
            && !self.blind
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
            if self.ids.len() < MOST_IDS {
                self.ids.insert(self.hasher.hash_one(id));
            } else {
                self.blind = true;
            }
        }
    }
}

/// Ids are short; a hostile one need not be kept whole.
fn short(id: &str) -> String {
    id[..id.floor_char_boundary(80)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(lines: &[&str]) -> Lineage {
        let mut lineage = Lineage::default();
        let text = lines.join("\n") + "\n";
        let mut scanner = crate::transcript::scan::Scanner::new(text.as_bytes());
        while let Some(crate::transcript::scan::Item::Line(line)) = scanner.next_item().unwrap() {
            lineage.follow(&line);
        }
        lineage
    }

    const HEADER: &str = r#"{"type":"session","version":3,"id":"s","timestamp":"","cwd":"/"}"#;

    #[test]
    fn a_chain_that_holds_says_nothing() {
        let found = lineage(&[
            HEADER,
            r#"{"type":"message","id":"a","parentId":null}"#,
            r#"{"type":"message","id":"b","parentId":"a"}"#,
            r#"{"type":"message","id":"c","parentId":"a"}"#,
        ]);
        assert_eq!((found.chain, found.more_headers), (Chain::default(), 0));
    }

    #[test]
    fn a_missing_parent_and_a_second_header_are_told() {
        let found = lineage(&[
            HEADER,
            r#"{"type":"message","id":"b","parentId":"a"}"#,
            HEADER,
            r#"{"type":"message","id":"c","parentId":"b"}"#,
        ]);
        assert_eq!(found.chain.to_string(), "1 record without a parent: line 2, b names a");
        assert_eq!((found.more_headers, found.first_header), (1, Some(3)));
    }

    #[test]
    fn other_formats_are_let_be() {
        let found = lineage(&[r#"{"type":"user","id":"b","parentId":"a"}"#, HEADER, "[1]"]);
        assert_eq!((found.chain, found.more_headers), (Chain::default(), 0));
    }
}
