//! Reads one session file from its beginning to its end, without a lock.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use super::chain::ChainCheck;
use crate::sessions::sweep::pool::Heartbeat;
use crate::transcript::damage::Damage;
use crate::transcript::repair::Survey;
use crate::transcript::scan::{Item, Line, Scanner};
use crate::transcript::source::ReadAt;

/// Longer lines are checked for damage, but their records are not followed.
const MAX_LINE: usize = 4 * 1024 * 1024;
/// A write takes microseconds. If the file has not grown for this long, its end is final.
const PAUSE: Duration = Duration::from_millis(25);
/// The most looks at the end of a file to which somebody keeps writing.
const MAX_LOOKS: u32 = 40;

/// What was found in a session file.
#[derive(Default)]
pub(super) struct TranscriptFacts {
    pub(super) survey: Survey,
    pub(super) chain: ChainCheck,
}

/// Reads a session file. Every read is a heartbeat.
///
/// Damage at the very end may be the unfinished write of a living writer. It counts only if the end
/// does not move any more.
pub(super) fn read_transcript(file: &File, heartbeat: &Heartbeat) -> io::Result<TranscriptFacts> {
    let source = Source { file, heartbeat };
    let mut facts = TranscriptFacts::default();
    let mut part = 0..file.metadata()?.len();
    for look in 1.. {
        let end = part.end;
        let Some(unfinished) = facts.read_part(&source, part)? else { break };
        thread::sleep(PAUSE);
        heartbeat.beat();
        let now = file.metadata()?.len();
        if now == end || look == MAX_LOOKS {
            facts.count(&source, &unfinished)?;
            break;
        }
        part = unfinished.range.start.min(now)..now;
    }
    Ok(facts)
}

impl TranscriptFacts {
    /// Reads a part of the file. Returns damage that reaches to its very end, without counting it.
    fn read_part(&mut self, source: &Source<'_>, part: Range<u64>) -> io::Result<Option<Damage>> {
        let end = part.end;
        let mut scanner = Scanner::new(source).part(part).max_line(MAX_LINE);
        while let Some(item) = scanner.next_item()? {
            match item {
                Item::Line(line) => {
                    self.survey.lines += 1;
                    self.chain.follow(&line);
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
        self.survey.count(damage);
        for range in &damage.saved {
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let mut bytes = (length <= MAX_LINE).then(|| vec![0; length]);
            if let Some(bytes) = &mut bytes {
                source.read_exact(bytes, range.start)?;
            }
            self.chain.follow(&Line::of(range.clone(), damage.line, bytes));
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
}
