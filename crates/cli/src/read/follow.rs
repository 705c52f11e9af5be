//! Following a session: what is appended, and, when another file has taken its place, what is new in that.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, stdout};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use turnlock::{Item, Transcript};

use super::show::Show;
use super::{Args, IN_ONE_PIECE, Stop, go_on, open};
use crate::output;

/// How often the file is looked at.
const ROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// A line that is not finished for so long is told.
const UNFINISHED: Duration = Duration::from_secs(2);
/// As many lines are known again after the file was cut back.
const REMEMBERED: usize = 4096;
/// As much of a line says which one it is, together with its length.
const TELLING: u64 = 64 * 1024;

/// How many of each line, by its hash.
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
        go_on(interrupted)?;
        if !somebody_reads() {
            return Ok(());
        }
    }
}

/// Waits for a moment; `false` when the other end of standard output is closed.
fn somebody_reads() -> bool {
    let out = stdout();
    let mut watched = [PollFd::new(&out, PollFlags::empty())];
    // Interrupted by a signal: the caller looks which.
    let _ = poll(&mut watched, Some(&ROUND));
    !watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

struct Follower<'a> {
    path: &'a Path,
    file: File,
    /// How far it has been shown: to the end of a line.
    at: u64,
    /// The last lines, with their hashes.
    last: VecDeque<(Range<u64>, u64)>,
    hasher: RandomState,
    /// How long the file was when its end was first seen inside a line, and when that was; no time once it was told.
    unfinished: Option<(u64, Option<Instant>)>,
    gone: bool,
}

impl<'a> Follower<'a> {
    fn new(transcript: &Transcript, path: &'a Path) -> Result<Self, Stop> {
        let file = transcript.file().try_clone().map_err(|source| failed(path, source))?;
        let (last, hasher) = (VecDeque::new(), RandomState::new());
        Ok(Self { path, file, at: 0, last, hasher, unfinished: None, gone: false })
    }

    fn round(&mut self, show: &mut Show, interrupted: &AtomicBool) -> Result<(), Stop> {
        // Looked for first: then all that the old file ever gets is in it, or in its successor too.
        let successor = self.successor();
        self.step_back()?;
        self.show_rest(show, &mut Counts::new(), interrupted)?;
        if let Some(successor) = successor {
            self.go_over_to(&successor, show, interrupted)?;
        }
        self.tell_unfinished()
    }

    /// The file that the path names, if it is another one by now.
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
        // What cannot be opened is tried again in the next round.
        if same { None } else { open(self.path).ok() }
    }

    /// Shows of the new file what the old one did not have.
    fn go_over_to(
        &mut self,
        new: &Transcript,
        show: &mut Show,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        let mut known = Counts::new();
        for item in self.part(0..self.at)?.lines() {
            go_on(interrupted)?;
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

    /// Shows what is whole by now, but for lines that are known.
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
            go_on(interrupted)?;
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

    /// Goes back to the last line that is still where it was. A failed append is taken back to the end of one; what was written over
    /// has none.
    fn step_back(&mut self) -> Result<(), Stop> {
        let length = self.length()?;
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
        if self.at == 0 {
            output::tell(&format!(
                "{} was written anew; it is shown from its beginning",
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

    /// By what a line is known again.
    fn identity(&self, line: &Range<u64>) -> Result<u64, Stop> {
        let length = line.end - line.start;
        let mut bytes = vec![0; length.min(TELLING) as usize];
        match self.file.read_exact_at(&mut bytes, line.start) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Err(failed(self.path, error))
            }
            // It became shorter just now: then it is no line that is known.
            _ => Ok(self.hasher.hash_one((length, bytes))),
        }
    }

    fn part(&self, range: Range<u64>) -> Result<Transcript, Stop> {
        let file = self.file.try_clone().map_err(|source| failed(self.path, source))?;
        let transcript = Transcript::from_file(file, self.path)?.max_line(IN_ONE_PIECE);
        Ok(transcript.since(range.start).until(range.end))
    }

    fn whole_lines_to(&self, interrupted: &AtomicBool) -> Result<u64, Stop> {
        let file = self.file.try_clone().map_err(|source| failed(self.path, source))?;
        let from = Transcript::from_file(file, self.path)?.since(self.at);
        loop {
            match from.whole_lines_to() {
                // An append that failed was taken back just now: the next round finds the end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                end => return end.map_err(|source| failed(self.path, source)),
            }
            go_on(interrupted)?;
            if !somebody_reads() {
                return Err(Stop::Output(io::ErrorKind::BrokenPipe.into()));
            }
        }
    }

    fn length(&self) -> Result<u64, Stop> {
        self.file.metadata().map(|facts| facts.len()).map_err(|source| failed(self.path, source))
    }

    /// A writer died in the middle of a line, or does not end its lines: the line is shown when somebody closes it.
    fn tell_unfinished(&mut self) -> Result<(), Stop> {
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

fn failed(path: &Path, source: io::Error) -> Stop {
    Stop::Read(turnlock::Error::Io { action: "read", path: path.to_owned(), source })
}
