//! Reads one session file from its beginning to its end, without a lock.
//!
//! Damage at the very end may be the unfinished write of a living writer. It counts only if the end
//! does not move any more. That takes time, in which other files are read: the reading of a file
//! with such an end is begun, and settled later.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use crate::sessions::sweep::pool::Heartbeat;
use crate::sys::{Pinned, Trace};
use crate::transcript::damage::Damage;
use crate::transcript::graph::Graph;
use crate::transcript::look::{HeaderTrouble, Look, MAX_LINE, Verdict};
use crate::transcript::quarantine::now;
use crate::transcript::repair::Survey;
use crate::transcript::scan::{Item, Line, Scanner};
use crate::transcript::source::ReadAt;

/// A write takes microseconds. If the file has not grown for this long, its end is final.
pub(super) const PAUSE: Duration = Duration::from_millis(25);
/// The most looks at the end of a file to which somebody keeps writing.
const MAX_LOOKS: u32 = 40;

/// What was found in a session file.
#[derive(Default)]
pub(super) struct TranscriptFacts {
    look: Look,
    pub(super) graph: Graph,
    /// Those below are known when the file was read to its end.
    pub(super) header: Option<HeaderTrouble>,
    pub(super) verdict: Verdict,
}

/// A session file that was read to its end.
pub(super) enum Reading {
    Done(Box<TranscriptFacts>),
    Unfinished(Unfinished),
}

/// Damage reaches to the very end of the file. It is not counted yet.
pub(super) struct Unfinished {
    /// `None` if they would need too much memory until later.
    facts: Option<Box<TranscriptFacts>>,
    damage: Damage,
    /// Where the file ended.
    end: u64,
    /// What tells the file from others.
    trace: Option<Trace>,
}

impl Unfinished {
    /// How many ids are remembered for it.
    pub(super) fn remembered(&self) -> usize {
        self.facts.as_ref().map_or(0, |facts| facts.graph.remembered())
    }

    /// Forgets what was found before its end.
    pub(super) fn forget(&mut self) {
        self.facts = None;
    }
}

/// Reads a session file. Every read is a heartbeat.
pub(super) fn begin(file: &Pinned, name: &str, heartbeat: &Heartbeat) -> io::Result<Reading> {
    let source = Source { file: file.file(), heartbeat };
    let mut facts = Box::<TranscriptFacts>::default();
    let (end, trace) = (source.end()?, file.trace());
    Ok(match facts.read_part(&source, 0..end)? {
        None => {
            facts.judge(&source, name)?;
            Reading::Done(facts)
        }
        Some(damage) => Reading::Unfinished(Unfinished { facts: Some(facts), damage, end, trace }),
    })
}

/// Reads the rest of a file whose reading was begun [`PAUSE`] ago or earlier. `file` was opened
/// again.
pub(super) fn settle(
    file: &Pinned,
    name: &str,
    before: Unfinished,
    heartbeat: &Heartbeat,
) -> io::Result<Box<TranscriptFacts>> {
    let source = Source { file: file.file(), heartbeat };
    // A file that was cut is another one as well.
    let is_same = before.trace.is_some()
        && before.trace == file.trace()
        && source.end()? >= before.damage.range.start;
    let end_before = before.end;
    let (mut facts, mut damage, mut end) = match before {
        Unfinished { facts: Some(facts), damage, end, .. } if is_same => (facts, damage, end),
        _ => match begin(file, name, heartbeat)? {
            Reading::Done(facts) => return Ok(facts),
            Reading::Unfinished(Unfinished { facts, damage, end, .. }) => {
                if !is_same || end != end_before {
                    source.pause();
                }
                (facts.unwrap_or_default(), damage, end)
            }
        },
    };
    for look in 1.. {
        let now = source.end()?;
        if now == end || look == MAX_LOOKS {
            facts.count(&source, &damage)?;
            break;
        }
        end = now;
        let part = damage.range.start.min(now)..now;
        let Some(unfinished) = facts.read_part(&source, part)? else { break };
        damage = unfinished;
        source.pause();
    }
    facts.judge(&source, name)?;
    Ok(facts)
}

impl TranscriptFacts {
    pub(super) fn survey(&self) -> &Survey {
        &self.look.survey
    }

    /// Judges a file that was read to its end. `name` is its name without its extension.
    fn judge(&mut self, source: &Source<'_>, name: &str) -> io::Result<()> {
        self.header = self.look.header_trouble(source)?;
        self.verdict = self.look.verdict(source, source.end()?, name, &now())?;
        Ok(())
    }

    /// Reads a part of the file. Returns damage that reaches to its very end, without counting it.
    fn read_part(&mut self, source: &Source<'_>, part: Range<u64>) -> io::Result<Option<Damage>> {
        let end = part.end;
        let mut scanner = Scanner::new(source).part(part).max_line(MAX_LINE);
        while let Some(item) = scanner.next_item()? {
            match item {
                Item::Line(line) => {
                    self.look.whole(&line);
                    self.graph.follow(source, &line)?;
                }
                Item::Damage(damage) if damage.range.end == end && !damage.terminated => {
                    return Ok(Some(damage));
                }
                Item::Damage(damage) => self.count(source, &damage)?,
            }
        }
        Ok(None)
    }

    fn count(&mut self, source: &Source<'_>, damage: &Damage) -> io::Result<()> {
        self.look.damaged(damage, source)?;
        for range in &damage.saved {
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let mut bytes = (length <= MAX_LINE).then(|| vec![0; length]);
            if let Some(bytes) = &mut bytes {
                source.read_exact(bytes, range.start)?;
            }
            let bytes = bytes.map(|bytes| damage.line_of(bytes));
            let line = Line::of(range.clone(), damage.line, bytes);
            self.look.saved(&line);
            self.graph.follow(source, &line)?;
        }
        Ok(())
    }
}

/// A file whose reads are heartbeats.
struct Source<'a> {
    file: &'a File,
    heartbeat: &'a Heartbeat,
}

impl Source<'_> {
    fn end(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn pause(&self) {
        thread::sleep(PAUSE);
        self.heartbeat.beat();
    }

    fn read_exact(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.heartbeat.beat();
        crate::sys::read_exact_at(self.file, bytes, offset)
    }
}

impl ReadAt for Source<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.heartbeat.beat();
        ReadAt::read_at(self.file, buffer, offset)
    }

    fn hole_at(&self, offset: u64) -> u64 {
        ReadAt::hole_at(self.file, offset)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::path::Path;
    use std::time::Instant;

    use super::*;

    fn open(path: &Path) -> Pinned {
        Pinned::new(File::open(path).unwrap()).unwrap().0
    }

    fn begun(path: &Path) -> Unfinished {
        match begin(&open(path), "s", &Heartbeat::new(Instant::now())).unwrap() {
            Reading::Unfinished(unfinished) => unfinished,
            Reading::Done(_) => panic!("it is torn"),
        }
    }

    /// The lines, the damage and the records without a parent.
    fn settled(path: &Path, unfinished: Unfinished) -> (u64, u64, u64) {
        let facts = settle(&open(path), "s", unfinished, &Heartbeat::new(Instant::now())).unwrap();
        let damages = facts.survey().damages.values().sum();
        (facts.survey().lines, damages, facts.graph.report().orphans.count)
    }

    const TORN: &str = "{\"type\":\"session\",\"id\":\"s\"}\n\
                        {\"id\":\"a\",\"parentId\":null}\ncut\n\
                        {\"id\":\"b\",\"parentId\":\"lost\"}\n{\"id\":\"c\",\"pa";

    #[test]
    fn a_reading_goes_on_where_it_was_and_begins_anew_in_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.jsonl");
        for forget in [false, true] {
            let begun = |path: &Path| {
                let mut unfinished = begun(path);
                if forget {
                    unfinished.forget();
                }
                unfinished
            };
            fs::write(&path, TORN).unwrap();
            assert_eq!(settled(&path, begun(&path)), (3, 2, 1), "it is as it was");

            let unfinished = begun(&path);
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            io::Write::write_all(&mut file, b"rentId\":\"b\"}\n{\"id\":1}\n").unwrap();
            assert_eq!(settled(&path, unfinished), (5, 1, 1), "it was finished meanwhile");

            fs::write(&path, TORN).unwrap();
            let unfinished = begun(&path);
            file.set_len(37).unwrap();
            assert_eq!(settled(&path, unfinished), (1, 1, 0), "it was cut");

            fs::write(&path, TORN).unwrap();
            let unfinished = begun(&path);
            let other = dir.path().join("other");
            fs::write(&other, format!("{{\"type\":\"x\"}}\n{TORN}")).unwrap();
            fs::rename(&other, &path).unwrap();
            assert_eq!(settled(&path, unfinished), (4, 2, 1), "it is another one");
        }
    }
}
