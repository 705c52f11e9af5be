//! `turnlock read --follow`: lines as they are appended. When another file takes the session's
//! place, only the lines that are new in it.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, stdout};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use turnlock::{Item, Transcript};

use super::show::Show;
use super::{Args, LONGEST_IN_MEMORY, Stop, check_interrupt, open};
use crate::output;

/// The pause between two looks at the file.
const ROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// An unfinished line is reported after this time.
const UNFINISHED: Duration = Duration::from_secs(2);
/// This many lines are recognised after the file was cut back.
const REMEMBERED: usize = 4096;
/// A line is hashed in pieces of this size.
const PIECE: usize = 64 * 1024;
/// So much of an unfinished line is searched anew in each round; of a longer one, what was added.
const SEARCHED_ANEW: u64 = 1024 * 1024;

/// The number of equal lines, by their hash.
type Counts = HashMap<u64, u32>;

pub(super) fn from(
    transcript: Transcript,
    args: &Args,
    show: &mut Show,
    interrupted: &AtomicBool,
) -> Result<(), Stop> {
    let mut follower = Follower::new(&transcript, &args.session)?;
    if let Some(n) = args.tail {
        follower.at = follower.whole_lines_to(interrupted)?;
        for item in transcript.until(follower.at).tail(n)? {
            if let Item::Line(line) = &item {
                follower.is_known(&line.range, &mut Counts::new())?;
            }
            show.item(&follower.file, &item).map_err(Stop::Output)?;
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

struct Follower<'a> {
    path: &'a Path,
    file: File,
    /// Everything before this offset, the end of a line, has been shown.
    at: u64,
    /// There was no newline between `at` and this offset.
    searched: u64,
    /// Length and time of change of the file when the last line was compared.
    compared: Option<(u64, i64, i64)>,
    /// The last lines shown, with their hashes.
    last: VecDeque<(Range<u64>, u64)>,
    hasher: RandomState,
    /// The length of a file that ends inside a line, and when it was first seen. The time is `None`
    /// once the line was reported.
    unfinished: Option<(u64, Option<Instant>)>,
    gone: bool,
}

impl<'a> Follower<'a> {
    fn new(transcript: &Transcript, path: &'a Path) -> Result<Self, Stop> {
        let file = transcript.file().try_clone().map_err(|source| failed(path, source))?;
        let (last, hasher) = (VecDeque::new(), RandomState::new());
        Ok(Self {
            path,
            file,
            at: 0,
            searched: 0,
            compared: None,
            last,
            hasher,
            unfinished: None,
            gone: false,
        })
    }

    fn round(&mut self, show: &mut Show, interrupted: &AtomicBool) -> Result<(), Stop> {
        // Looked up before the old file is read: then no line that the old file gets is missed.
        let successor = self.successor();
        let followed = self.follow(successor, show, interrupted);
        match followed {
            Err(stop) if is_stale(&stop) => self.go_on_without_old_file(show, interrupted),
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
        self.show_rest(show, &mut Counts::new(), interrupted)?;
        if let Some(successor) = successor {
            self.switch_to(&successor, show, interrupted)?;
        }
        self.report_unfinished()
    }

    /// Another host has replaced the file, and the server that it was on does not know it any more.
    /// Continues with the file at the path, and shows those of its lines that are not known to have
    /// been shown. If more were shown than are remembered, what precedes the first known line was.
    fn go_on_without_old_file(
        &mut self,
        show: &mut Show,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        // If it cannot be opened, the next round tries again.
        let Ok(new) = open(self.path) else { return Ok(()) };
        let mut known = Counts::new();
        for (_, hash) in &self.last {
            *known.entry(*hash).or_default() += 1;
        }
        let has_forgotten = self.last.front().is_some_and(|(line, _)| line.start > 0);
        *self = Self::new(&new, self.path)?.hashing_like(&self.hasher);
        if has_forgotten {
            self.skip_to_known_line(&known, interrupted)?;
        }
        self.show_rest(show, &mut known, interrupted)
    }

    /// Goes to the first line that is known, if there is one.
    fn skip_to_known_line(&mut self, known: &Counts, interrupted: &AtomicBool) -> Result<(), Stop> {
        let end = self.whole_lines_to(interrupted)?;
        for item in self.part(0..end)?.lines() {
            check_interrupt(interrupted)?;
            if let Item::Line(line) = item?
                && known.contains_key(&self.identity(&line.range)?)
            {
                (self.at, self.searched) = (line.range.start, line.range.start);
                break;
            }
        }
        Ok(())
    }

    /// The file at the path, if it is no longer the open one.
    fn successor(&mut self) -> Option<Transcript> {
        let identity = |facts: &std::fs::Metadata| (facts.dev(), facts.ino());
        let Ok(named) = self.path.symlink_metadata() else {
            if !std::mem::replace(&mut self.gone, true) {
                output::tell(&format!(
                    "{} is gone; waiting for it to come back",
                    self.path.display()
                ));
            }
            return None;
        };
        self.gone = false;
        let same = self.file.metadata().is_ok_and(|open| identity(&open) == identity(&named));
        // If it cannot be opened, the next round tries again.
        if same { None } else { open(self.path).ok() }
    }

    /// Continues with the new file, and shows those of its lines that the old file did not have.
    fn switch_to(
        &mut self,
        new: &Transcript,
        show: &mut Show,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        let mut known = Counts::new();
        for item in self.part(0..self.at)?.lines() {
            check_interrupt(interrupted)?;
            if let Item::Line(line) = item? {
                *known.entry(self.identity(&line.range)?).or_default() += 1;
            }
        }
        *self = Self::new(new, self.path)?.hashing_like(&self.hasher);
        self.show_rest(show, &mut known, interrupted)
    }

    fn hashing_like(mut self, hasher: &RandomState) -> Self {
        self.hasher = hasher.clone();
        self
    }

    /// Shows the whole lines behind those shown, except known ones.
    fn show_rest(
        &mut self,
        show: &mut Show,
        known: &mut Counts,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        let end = self.whole_lines_to(interrupted)?;
        if end <= self.at {
            return Ok(());
        }
        for item in self.part(self.at..end)?.lines() {
            check_interrupt(interrupted)?;
            let item = item?;
            if let Item::Line(line) = &item
                && self.is_known(&line.range, known)?
            {
                continue;
            }
            show.item(&self.file, &item).map_err(Stop::Output)?;
        }
        self.at = end;
        self.unfinished = None;
        Ok(())
    }

    fn is_known(&mut self, line: &Range<u64>, known: &mut Counts) -> Result<bool, Stop> {
        let hash = self.identity(line)?;
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back((line.clone(), hash));
        Ok(known.get_mut(&hash).filter(|count| **count > 0).map(|count| *count -= 1).is_some())
    }

    /// Steps back to the last line that is still in its place. A failed append is cut back to the
    /// end of a line. In a file that was overwritten no line is left in its place.
    fn step_back(&mut self) -> Result<(), Stop> {
        let facts = self.file.metadata().map_err(|source| failed(self.path, source))?;
        let (length, now) = (facts.len(), (facts.len(), facts.mtime(), facts.mtime_nsec()));
        let is_long = self.last.back().is_some_and(|(line, _)| length_of(line) > PIECE);
        // A long line is not read again in every round.
        if self.compared.replace(now) == Some(now) && is_long {
            return Ok(());
        }
        let shown = self.last.len();
        while let Some((line, hash)) = self.last.back() {
            if line.end < length && self.ends_with_newline(line)? && self.identity(line)? == *hash {
                break;
            }
            self.last.pop_back();
        }
        if self.last.len() == shown && length >= self.at {
            return Ok(());
        }
        self.at = self.last.back().map_or(0, |(line, _)| line.end + 1);
        self.searched = self.at;
        if self.at == 0 {
            output::tell(&format!(
                "{} was rewritten; it is shown from its beginning",
                self.path.display()
            ));
        }
        Ok(())
    }

    fn ends_with_newline(&self, line: &Range<u64>) -> Result<bool, Stop> {
        let mut byte = [0];
        let read =
            self.file.read_at(&mut byte, line.end).map_err(|source| failed(self.path, source))?;
        Ok(read == 1 && byte == *b"\n")
    }

    /// The hash by which a line is recognised, of all its bytes.
    fn identity(&self, line: &Range<u64>) -> Result<u64, Stop> {
        let mut hash = self.hasher.build_hasher();
        let mut at = line.start;
        let mut piece = vec![0; PIECE.min(length_of(line))];
        while at < line.end {
            let size = piece.len().min(length_of(&(at..line.end)));
            match self.file.read_exact_at(&mut piece[..size], at) {
                Ok(()) => hash.write(&piece[..size]),
                // The file was cut back meanwhile. The hash then matches no known line.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(failed(self.path, error)),
            }
            at += size as u64;
        }
        hash.write_u64(at - line.start);
        Ok(hash.finish())
    }

    fn part(&self, range: Range<u64>) -> Result<Transcript, Stop> {
        let file = self.file.try_clone().map_err(|source| failed(self.path, source))?;
        let transcript = Transcript::from_file(file, self.path)?.max_line(LONGEST_IN_MEMORY);
        Ok(transcript.since(range.start).until(range.end))
    }

    /// The end of the last whole line.
    fn whole_lines_to(&mut self, interrupted: &AtomicBool) -> Result<u64, Stop> {
        loop {
            let length = self.length()?;
            let cut = length < self.searched;
            if cut || self.searched.saturating_sub(self.at) <= SEARCHED_ANEW {
                self.searched = self.at;
            }
            let from = self.searched;
            match self.part(from..length.max(from))?.whole_lines_to() {
                // A failed append was cut back meanwhile. The next attempt finds the end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(failed(self.path, error)),
                Ok(end) if end > from => {
                    self.searched = end;
                    return Ok(end);
                }
                Ok(_) => {
                    self.searched = length.max(from);
                    return Ok(self.at);
                }
            }
            check_interrupt(interrupted)?;
            if !somebody_reads() {
                return Err(Stop::Output(io::ErrorKind::BrokenPipe.into()));
            }
        }
    }

    fn length(&self) -> Result<u64, Stop> {
        self.file.metadata().map(|facts| facts.len()).map_err(|source| failed(self.path, source))
    }

    /// Reports a line whose writer died in it, or does not end it. It is shown once it is ended.
    fn report_unfinished(&mut self) -> Result<(), Stop> {
        let length = self.length()?;
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
                        self.path.display()
                    ));
                    self.unfinished = Some((length, None));
                }
            }
            _ => self.unfinished = Some((length, Some(Instant::now()))),
        }
        Ok(())
    }
}

fn length_of(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

/// Whether a server does not know the file any more.
fn is_stale(stop: &Stop) -> bool {
    let Stop::Read(turnlock::Error::Io { source, .. }) = stop else { return false };
    source.kind() == io::ErrorKind::StaleNetworkFileHandle
}

fn failed(path: &Path, source: io::Error) -> Stop {
    Stop::Read(turnlock::Error::Io { action: "read", path: path.to_owned(), source })
}
