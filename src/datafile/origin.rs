//! Where the parts of a rewritten session file come from, as the rewrite itself tells it.
//!
//! A reader without a lock that finds another file in the session's place could not tell by the
//! bytes alone which lines are new: a line that was appended after a rewrite may equal one from
//! before it. Whoever puts the new file in place knows, and notes it on that file before it is
//! visible.

use std::ffi::OsStr;
use std::fs::File;
use std::ops::Range;
use std::str::FromStr;

use crate::sys::{Pinned, note};

/// A longer note is not made. Of several earlier files, the oldest are left out first.
const LONGEST: usize = 900;

/// A part of a rewritten session file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// The byte range in the new file.
    pub range: Range<u64>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Part {
    /// Where that comes from which begins at `offset` of the new file, an offset in this part or at
    /// its end.
    #[must_use]
    pub fn origin_at(&self, offset: u64) -> Origin {
        match self.origin {
            Origin::Carried { from } => {
                let into = offset.saturating_sub(self.range.start);
                Origin::Carried { from: from.saturating_add(into) }
            }
            other => other,
        }
    }
}

/// Where a part of a rewritten session file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A rewrite, a repair or a restore has written it. Its lines may equal lines of the old file.
    Written,
    /// It was carried over unchanged from this offset of the old file.
    Carried {
        /// The offset in the old file.
        from: u64,
    },
    /// It was appended after the old file was replaced.
    Appended,
}

/// What is noted on a new file: its own trace, and how it came from each of the files before it,
/// the last first. A file that has the note but not the trace is a copy, and the note says nothing.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    own: String,
    before: Vec<(String, Vec<Part>)>,
}

/// Notes on `new`, which has `len` bytes and takes the place of `old`, where its parts come from.
/// Each of `carried` is a range of the new file, and where it began in the old one.
///
/// Nothing is noted where files have no notes or no traces. A reader then compares lines.
pub(super) fn tell(new: &Pinned, len: u64, old: &Pinned, carried: &[(Range<u64>, u64)]) {
    if let Some(note) = Note::of(new, len, old, carried).and_then(|note| note.bounded()) {
        // A reader that finds no note compares lines.
        let _ = note::set(new.file(), note::About::Rewrite, note.as_bytes());
    }
}

/// What was noted on `new` about its parts, if it is a successor of `old`. What is behind the last
/// of them was appended.
pub(super) fn told(new: &Pinned, old: &Pinned) -> Option<Vec<Part>> {
    let old = old.trace()?.to_string();
    let before = Note::on(new)?.before;
    before.into_iter().find(|(file, _)| *file == old).map(|(_, parts)| parts)
}

/// Notes on a session file that it loses this name: it is removed, or gets another one. Under that,
/// and under any other name that it has, it stays a session.
pub(super) fn tell_end(file: &File, name: &OsStr) {
    // A reader that finds no note compares lines.
    let _ = note::set(file, note::About::End, name.as_encoded_bytes());
}

/// It was neither removed nor moved after all.
pub(super) fn take_back_end(file: &File) {
    // Where nothing could be noted, nothing is to be taken back.
    let _ = note::remove(file, note::About::End);
}

impl Note {
    fn of(new: &Pinned, len: u64, old: &Pinned, carried: &[(Range<u64>, u64)]) -> Option<Self> {
        let parts = parts(len, carried);
        let mut before: Vec<_> = match Self::on(old) {
            None => Vec::new(),
            Some(note) => note.before,
        };
        for (_, known) in &mut before {
            *known = through(&parts, known);
        }
        before.insert(0, (old.trace()?.to_string(), parts));
        Some(Self { own: new.trace()?.to_string(), before })
    }

    /// The note on a file, if it is about this file.
    fn on(file: &Pinned) -> Option<Self> {
        let note = String::from_utf8(note::get(file.file(), note::About::Rewrite)?).ok()?;
        let note: Self = note.parse().ok()?;
        (note.own == file.trace()?.to_string()).then_some(note)
    }

    /// The note as text, without the files that it has no room for.
    fn bounded(mut self) -> Option<String> {
        loop {
            let text = self.text();
            if text.len() <= LONGEST {
                return Some(text);
            }
            self.before.pop();
            if self.before.is_empty() {
                return None;
            }
        }
    }

    fn text(&self) -> String {
        let mut text = self.own.clone();
        for (file, parts) in &self.before {
            text += &format!("\n{file}");
            for Part { range, origin } in parts {
                let (start, end) = (range.start, range.end);
                text += &match origin {
                    Origin::Written => format!(" w{start:x}-{end:x}"),
                    Origin::Carried { from } => format!(" c{start:x}-{end:x}-{from:x}"),
                    Origin::Appended => format!(" a{start:x}-{end:x}"),
                };
            }
        }
        text
    }
}

impl FromStr for Note {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut lines = text.split('\n');
        let own = lines.next().ok_or(())?.to_owned();
        let before = lines.map(|line| {
            let mut words = line.split(' ');
            let file = words.next().ok_or(())?.to_owned();
            Ok((file, words.map(part).collect::<Result<_, ()>>()?))
        });
        Ok(Self { own, before: before.collect::<Result<_, ()>>()? })
    }
}

fn part(word: &str) -> Result<Part, ()> {
    let (kind, numbers) = word.split_at_checked(1).ok_or(())?;
    let numbers: Result<Vec<u64>, _> =
        numbers.split('-').map(|number| u64::from_str_radix(number, 16)).collect();
    let (start, end, origin) = match (kind, numbers.map_err(drop)?.as_slice()) {
        ("w", &[start, end]) => (start, end, Origin::Written),
        ("a", &[start, end]) => (start, end, Origin::Appended),
        ("c", &[start, end, from]) => (start, end, Origin::Carried { from }),
        _ => return Err(()),
    };
    (start < end).then_some(Part { range: start..end, origin }).ok_or(())
}

/// All parts of a new file of `len` bytes.
fn parts(len: u64, carried: &[(Range<u64>, u64)]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    for (range, from) in carried {
        push(&mut parts, at..range.start, Origin::Written);
        push(&mut parts, range.clone(), Origin::Carried { from: *from });
        at = range.end;
    }
    push(&mut parts, at..len, Origin::Written);
    parts
}

/// The parts of a file, seen from a file before its predecessor: the predecessor's own parts are
/// `known`.
fn through(parts: &[Part], known: &[Part]) -> Vec<Part> {
    let mut seen = Vec::new();
    for Part { range, origin } in parts {
        let Origin::Carried { from } = *origin else {
            push(&mut seen, range.clone(), *origin);
            continue;
        };
        let old_end = from.saturating_add(range.end - range.start);
        let mut at = from;
        while at < old_end {
            let (end, origin) = match known.iter().find(|part| part.range.end > at) {
                None => (old_end, Origin::Appended),
                Some(part) if part.range.start > at => {
                    (part.range.start.min(old_end), Origin::Written)
                }
                Some(part) => (part.range.end.min(old_end), part.origin_at(at)),
            };
            push(&mut seen, range.start + (at - from)..range.start + (end - from), origin);
            at = end;
        }
    }
    seen
}

/// Adds a part, which continues the last one if it can.
fn push(parts: &mut Vec<Part>, range: Range<u64>, origin: Origin) {
    if range.is_empty() {
        return;
    }
    if let Some(last) = parts.last_mut()
        && last.range.end == range.start
        && last.origin_at(range.start) == origin
    {
        last.range.end = range.end;
        return;
    }
    parts.push(Part { range, origin });
}

/// The parts of `new` that were told, if it is a successor of `old` under this name.
pub(super) fn between(new: &File, old: &File, name: Option<&OsStr>) -> Option<Vec<Part>> {
    let pinned = |file: &File| Some(Pinned::new(file.try_clone().ok()?).ok()?.0);
    told(&pinned(new)?, &pinned(old)?)
        // The old file was removed, or moved away: all of the new one came after it.
        .or_else(|| {
            let ended = note::get(old, note::About::End)?;
            (ended == name?.as_encoded_bytes()).then(Vec::new)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(range: Range<u64>) -> Part {
        Part { range, origin: Origin::Written }
    }

    fn carried(range: Range<u64>, from: u64) -> Part {
        Part { range, origin: Origin::Carried { from } }
    }

    fn appended(range: Range<u64>) -> Part {
        Part { range, origin: Origin::Appended }
    }

    #[test]
    fn what_was_carried_twice_is_told_from_the_first_file_on() {
        let first = parts(40, &[(10..20, 100), (21..40, 200)]);
        let expected =
            [written(0..10), carried(10..20, 100), written(20..21), carried(21..40, 200)];
        assert_eq!(first, expected);
        // Of the second file, 15..50 were carried: what the first had appended was 40..50.
        let second = parts(45, &[(5..40, 15)]);
        let expected = [
            written(0..5),
            carried(5..10, 105),
            written(10..11),
            carried(11..30, 200),
            appended(30..40),
            written(40..45),
        ];
        assert_eq!(through(&second, &first), expected);
        assert_eq!(through(&parts(9, &[]), &first), [written(0..9)]);
    }

    #[test]
    fn a_note_is_read_back_and_the_oldest_files_have_no_room() {
        let before = |n: u64| (format!("file-{n}"), parts(40 + n, &[(10..20, 100), (21..40, 200)]));
        let note = Note { own: "own".to_owned(), before: (0..3).map(before).collect() };
        assert_eq!(note.text().parse(), Ok(note));
        let long = Note { own: "own".to_owned(), before: (0..100).map(before).collect() };
        let text = long.bounded().unwrap();
        let kept = text.parse::<Note>().unwrap().before;
        assert!(text.len() <= LONGEST && kept.len() > 9 && kept[0].0 == "file-0", "{text}");
        let many: Vec<_> = (0..99).map(|n| (10 * n + 5..10 * n + 10, 7 * n)).collect();
        let much = Note { own: "own".to_owned(), before: vec![("a".into(), parts(990, &many))] };
        assert_eq!(much.bounded(), None);
        for bad in ["own\nfile x1-2", "own\nfile w2-1", "own\nfile w1", "own\nfile c1-2", "o\nf "] {
            assert_eq!(bad.parse::<Note>(), Err(()), "{bad}");
        }
    }
}
