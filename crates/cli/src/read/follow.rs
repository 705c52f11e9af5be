//! `turnlock read --follow`: lines as they are appended. When another file takes the session's
//! place, only the lines that are new in it.
//!
//! The memory of a follower is bounded, however long the session is and however long it is
//! followed: a chunk of the file and one line of at most 1 MiB, the places of the last lines, and
//! while a rewritten file is compared with the old one the digests of some of its lines. That is
//! less than 32 MiB.

mod kept;
mod remembered;
mod source;
mod stale;

use std::collections::HashMap;
use std::io::{self, stdout};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use turnlock::{Item, Transcript};

use self::kept::Kept;
use self::remembered::Remembered;
use self::source::Source;
use super::show::Show;
use super::{Args, Stop, check_interrupt, open};
use crate::output;

/// The pause between two looks at the file.
const ROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// An unfinished line is reported after this time.
const UNFINISHED: Duration = Duration::from_secs(2);
/// So much of an unfinished line is searched anew in each round; of a longer one, what was added.
const SEARCHED_ANEW: u64 = 64 * 1024;
/// So much is searched for a newline between two looks whether to end.
const SEARCH_STEP: u64 = 16 * 1024 * 1024;

pub(super) fn from(
    transcript: Transcript,
    args: &Args,
    show: &mut Show,
    interrupted: &AtomicBool,
) -> Result<(), Stop> {
    let mut follower = Follower::new(Source::of(&transcript, &args.session)?);
    if let Some(n) = args.tail {
        follower.at = follower.whole_lines_to(interrupted)?;
        for item in transcript.until(follower.at).tail(n)? {
            if let Item::Line(line) = &item {
                follower.shown.add(&follower.source, line.range.clone())?;
            }
            show.item(follower.source.file(), &item).map_err(Stop::Output)?;
        }
    }
    loop {
        follower.round(show, interrupted)?;
        show.flush().map_err(Stop::Output)?;
        check_interrupt(interrupted)?;
        if !somebody_reads() {
            return Ok(());
        }
    }
}

/// Waits for one round. Returns `false` if the reader of standard output is gone.
fn somebody_reads() -> bool {
    let out = stdout();
    let mut watched = [PollFd::new(&out, PollFlags::empty())];
    // A signal ends it early. The caller checks for an interrupt.
    let _ = poll(&mut watched, Some(&ROUND));
    !watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Which lines of another file were shown already.
enum Known<'a> {
    Nothing,
    /// Those that the old file has as well.
    Kept(Kept<'a>),
    /// Those with these digests, each as often.
    Shown(HashMap<u64, usize>),
}

impl Known<'_> {
    /// Called for each line of `source`, in order, with its offset and its digest. There are whole
    /// lines up to `end`.
    fn has(
        &mut self,
        source: &Source<'_>,
        end: u64,
        line: (u64, u64),
        interrupted: &AtomicBool,
    ) -> Result<bool, Stop> {
        match self {
            Self::Nothing => Ok(false),
            Self::Kept(kept) => kept.has(source, end, line, interrupted),
            Self::Shown(counts) => {
                let left = counts.get_mut(&line.1).filter(|left| **left > 0);
                Ok(left.map(|left| *left -= 1).is_some())
            }
        }
    }
}

struct Follower<'a> {
    source: Source<'a>,
    /// Everything before this offset, the end of a line, has been shown.
    at: u64,
    /// The last lines shown.
    shown: Remembered,
    /// What is behind `at` has no newline up to this offset, and had these ends when that was seen.
    searched: (u64, u64),
    /// The length of a file that ends inside a line, and when it was first seen. The time is `None`
    /// once the line was reported.
    unfinished: Option<(u64, Option<Instant>)>,
    gone: bool,
}

impl<'a> Follower<'a> {
    fn new(source: Source<'a>) -> Self {
        let shown = Remembered::default();
        Self { source, at: 0, shown, searched: (0, 0), unfinished: None, gone: false }
    }

    fn path(&self) -> &'a Path {
        self.source.path()
    }

    fn round(&mut self, show: &mut Show, interrupted: &AtomicBool) -> Result<(), Stop> {
        // Looked up before the old file is read: then no line that the old file gets is missed.
        let successor = self.successor();
        let followed = self.follow(successor, show, interrupted);
        match followed {
            Err(stop) if stale::is_stale(&stop) => self.go_on_without_old_file(show, interrupted),
            followed => followed,
        }
    }

    fn follow(
        &mut self,
        successor: Option<Transcript>,
        show: &mut Show,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        self.step_back()?;
        self.show_rest(show, &mut Known::Nothing, interrupted)?;
        if let Some(successor) = successor {
            self.switch_to(&successor, show, interrupted)?;
        }
        self.report_unfinished()
    }

    /// The file at the path, if it is no longer the open one.
    fn successor(&mut self) -> Option<Transcript> {
        let identity = |facts: &std::fs::Metadata| (facts.dev(), facts.ino());
        let Ok(named) = self.path().symlink_metadata() else {
            if !std::mem::replace(&mut self.gone, true) {
                output::tell(&format!(
                    "{} is gone; waiting for it to come back",
                    self.path().display()
                ));
            }
            return None;
        };
        self.gone = false;
        let open_file = self.source.file().metadata();
        let same = open_file.is_ok_and(|open| identity(&open) == identity(&named));
        // If it cannot be opened, the next round tries again.
        if same { None } else { open(self.path()).ok() }
    }

    /// Continues with the new file, and shows those of its lines that the old file did not have.
    fn switch_to(
        &mut self,
        new: &Transcript,
        show: &mut Show,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        let parts = new.parts_since(self.source.file());
        let source = self.source.successor(new)?;
        let old = std::mem::replace(self, Self::new(source));
        let kept = Kept::of(old.source, old.at, parts);
        self.show_rest(show, &mut Known::Kept(kept), interrupted)
    }

    /// Shows the whole lines behind those shown, except known ones.
    fn show_rest(
        &mut self,
        show: &mut Show,
        known: &mut Known<'_>,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        let end = self.whole_lines_to(interrupted)?;
        if end <= self.at {
            return Ok(());
        }
        for item in self.source.part(self.at..end)?.lines() {
            check_interrupt(interrupted)?;
            let item = item?;
            if let Item::Line(line) = &item {
                let digest = self.source.digest_of(line)?;
                self.shown.add_known(&self.source, line.range.clone(), digest)?;
                let line = (line.range.start, digest);
                if known.has(&self.source, end, line, interrupted)? {
                    continue;
                }
            }
            show.item(self.source.file(), &item).map_err(Stop::Output)?;
        }
        self.at = end;
        self.unfinished = None;
        Ok(())
    }

    /// Steps back to the last line that is still in its place. A failed append is cut back to the
    /// end of a line. In a file that was overwritten no line is left in its place.
    fn step_back(&mut self) -> Result<(), Stop> {
        let length = self.source.length()?;
        let all_there = self.shown.forget_what_is_gone(&self.source)?;
        if all_there && length >= self.at {
            return Ok(());
        }
        self.at = self.shown.end();
        self.searched = (self.at, 0);
        if self.at == 0 {
            output::tell(&format!(
                "{} was rewritten; it is shown from its beginning",
                self.path().display()
            ));
        }
        Ok(())
    }

    /// The end of the last whole line.
    fn whole_lines_to(&mut self, interrupted: &AtomicBool) -> Result<u64, Stop> {
        loop {
            let length = self.source.length()?;
            let from = self.searched_to(length)?;
            // Looked at before the search: what changes after this is seen in the next round.
            let ends = self.source.ends(&(self.at..length.max(self.at)))?;
            match self.last_newline(from..length.max(from), interrupted) {
                // A failed append was cut back meanwhile. The next attempt finds the end.
                Err(Stop::Read(error)) if is_cut(&error) => {}
                Err(error) => return Err(error),
                Ok(Some(end)) => {
                    self.searched = (end, 0);
                    return Ok(end);
                }
                Ok(None) => {
                    self.searched = (length.max(from), ends);
                    return Ok(self.at);
                }
            }
            check_interrupt(interrupted)?;
            if !somebody_reads() {
                return Err(Stop::Output(io::ErrorKind::BrokenPipe.into()));
            }
        }
    }

    /// How far an unfinished line need not be searched again, in a file of this length.
    fn searched_to(&self, length: u64) -> Result<u64, Stop> {
        let (to, ends) = self.searched;
        let is_short = to.saturating_sub(self.at) <= SEARCHED_ANEW;
        if is_short || length < to || self.source.ends(&(self.at..to))? != ends {
            return Ok(self.at);
        }
        Ok(to)
    }

    /// The end of the last newline in a part of the file, which is searched from its end.
    fn last_newline(
        &self,
        range: Range<u64>,
        interrupted: &AtomicBool,
    ) -> Result<Option<u64>, Stop> {
        let mut end = range.end;
        while end > range.start {
            let start = end.saturating_sub(SEARCH_STEP).max(range.start);
            if !self.source.is_hole(&(start..end)) {
                let found = self.source.part(start..end)?.whole_lines_to();
                let found = found.map_err(|source| self.source.failed(source))?;
                if found > start {
                    return Ok(Some(found));
                }
            }
            end = start;
            check_interrupt(interrupted)?;
        }
        Ok(None)
    }

    /// Reports a line whose writer died in it, or does not end it. It is shown once it is ended.
    fn report_unfinished(&mut self) -> Result<(), Stop> {
        let length = self.source.length()?;
        if length <= self.at {
            self.unfinished = None;
            return Ok(());
        }
        match self.unfinished {
            Some((seen, since)) if seen == length => {
                if since.is_some_and(|since| since.elapsed() >= UNFINISHED) {
                    let bytes = length - self.at;
                    output::tell(&format!(
                        "{}: the last line, of {bytes} bytes, is not finished",
                        self.path().display()
                    ));
                    self.unfinished = Some((length, None));
                }
            }
            _ => self.unfinished = Some((length, Some(Instant::now()))),
        }
        Ok(())
    }
}

fn is_cut(error: &turnlock::Error) -> bool {
    matches!(error, turnlock::Error::Io { source, .. }
        if source.kind() == io::ErrorKind::UnexpectedEof)
}
