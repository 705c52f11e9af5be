//! A session file, looked at once from its beginning to its end. No lock is taken.

use std::fs::File;
use std::io;
use std::thread;
use std::time::Duration;

use super::lineage::Lineage;
use crate::sessions::sweep::pool::Pulse;
use crate::transcript::damage::Damage;
use crate::transcript::repair::Survey;
use crate::transcript::scan::{Item, Line, Scanner};
use crate::transcript::source::ReadAt;

/// Longer lines are checked, and not looked into.
const LOOKED_INTO: usize = 4 * 1024 * 1024;
/// A write takes microseconds: what stands still for so long …
const PAUSE: Duration = Duration::from_millis(25);
/// … is looked at again only so many times, if somebody keeps writing.
const LOOKS: u32 = 40;

/// What there is to say about a session file.
#[derive(Default)]
pub(super) struct Checkup {
    pub(super) survey: Survey,
    pub(super) lineage: Lineage,
}

/// Reads through a session file. Every read is a sign of life.
pub(super) fn look_through(file: &File, pulse: &Pulse) -> io::Result<Checkup> {
    let source = Beating { file, pulse };
    let mut checkup = Checkup::default();
    let mut part = 0..file.metadata()?.len();
    for look in 1.. {
        let end = part.end;
        let Some(open) = checkup.take_in(&source, part)? else { return Ok(checkup) };
        // Somebody may be in the middle of a write: then the end moves.
        thread::sleep(PAUSE);
        pulse.beat();
        let now = file.metadata()?.len();
        if now == end || look == LOOKS {
            checkup.count(&source, &open)?;
            return Ok(checkup);
        }
        part = open.range.start.min(now)..now;
    }
    Ok(checkup)
}

impl Checkup {
    /// Takes in a part of the file; what is damaged up to its very end, and may be unfinished only, is given back.
    fn take_in(
        &mut self,
        source: &Beating<'_>,
        part: std::ops::Range<u64>,
    ) -> io::Result<Option<Damage>> {
        let end = part.end;
        let mut scanner = Scanner::new(source).part(part).max_line(LOOKED_INTO);
        while let Some(item) = scanner.next_item()? {
            match item {
                Item::Line(line) => {
                    self.survey.lines += 1;
                    self.lineage.follow(&line);
                }
                Item::Damage(damage) if damage.range.end == end && !damage.terminated => {
                    return Ok(Some(damage));
                }
                Item::Damage(damage) => self.count(source, &damage)?,
            }
        }
        Ok(None)
    }

    fn count(&mut self, source: &Beating<'_>, damage: &Damage) -> io::Result<()> {
        self.survey.count(damage);
        for range in &damage.saved {
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let mut bytes = (length <= LOOKED_INTO).then(|| vec![0; length]);
            if let Some(bytes) = &mut bytes {
                read_exact(source, bytes, range.start)?;
            }
            self.lineage.follow(&Line::of(range.clone(), damage.line, bytes));
        }
        Ok(())
    }
}

fn read_exact(source: &Beating<'_>, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    source.pulse.beat();
    crate::sys::read_exact_at(source.file, bytes, offset)
}

struct Beating<'a> {
    file: &'a File,
    pulse: &'a Pulse,
}

impl ReadAt for Beating<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.pulse.beat();
        ReadAt::read_at(self.file, buffer, offset)
    }
}
