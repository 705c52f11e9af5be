//! The history of a run, merged from the journals of all its processes.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::changes::Way;
use super::journal::{self, Kind, POST, Record, UNKNOWN};
use super::line::{LineId, Writer};

/// Everything that happened in a run.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) turns: Vec<Turn>,
    pub(super) appends: Vec<Append>,
    pub(super) removals: Vec<Removal>,
    pub(super) revocations: Vec<Revocation>,
    /// The time just before each kill of a child.
    pub(super) kills: HashMap<u32, u64>,
    /// The time at which the killed child was certainly dead.
    deaths: HashMap<u32, u64>,
    /// In order, since only one process is stopped at a time.
    pub(super) stops: Vec<Stop>,
    /// In order, since one program makes them all.
    pub(super) changes: Vec<Change>,
    /// Second names that were given to lock files.
    pub(super) links: u64,
    pub(super) panics: u64,
    pub(super) rewrites: u64,
    /// The appends of each writer, in the order of their first lines.
    by_writer: HashMap<Writer, Vec<usize>>,
}

/// A turn that was asked for.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) writer: Writer,
    pub(super) session: u16,
    pub(super) asked: u64,
    pub(super) acquired: Option<u64>,
    /// 0 for a foreign turn.
    pub(super) owner: u128,
    pub(super) releasing: Option<u64>,
    pub(super) released: bool,
    pub(super) gave_up: bool,
    pub(super) timed_out: Option<u64>,
    /// The time at which its holder learned that it had been lost.
    pub(super) lost: Option<u64>,
    /// If it was lost because an append or a rewrite was overtaken: the start of that.
    pub(super) overtaken_from: Option<u64>,
    /// The times at which its holder was told that the session file is not as it knew it.
    pub(super) told: Vec<u64>,
    /// The start of its rewrite.
    rewriting: u64,
    /// A foreign turn whose lock file was removed during the turn.
    pub(super) unprotected: bool,
    /// The start of its last acknowledged append. Until then it certainly held.
    pub(super) wrote: Option<u64>,
}

impl Turn {
    pub(super) fn foreign(&self) -> bool {
        self.acquired.is_some() && self.owner == 0
    }
}

/// The outcome of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Unknown: its writer was killed, or gave up. It may be in the file, once.
    Unknown,
    Acknowledged,
    /// Another program came between. It may be there, once.
    Overtaken,
    /// Refused, since the session file is not as its turn knew it. Nothing of it may be there.
    Told,
    /// Refused or failed: nothing of it may be in the file.
    Refused,
}

/// An append that was begun.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) writer: Writer,
    pub(super) session: u16,
    /// `None` for a post.
    pub(super) turn: Option<usize>,
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) begun: u64,
    /// The time of its outcome; the maximum if that is unknown.
    pub(super) ended: u64,
    pub(super) outcome: Outcome,
    /// The acknowledged offset.
    pub(super) offset: Option<u64>,
}

/// A lock file removed by hand, or by a foreign writer.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) session: u16,
    pub(super) from: u64,
    /// The time at which it was done, if that was recorded.
    pub(super) to: Option<u64>,
    /// The latest time at which it can have been done.
    at_latest: u64,
    /// The maximum of `at_latest` up to this removal, in the order of `from`.
    reach: u64,
}

/// What a foreign program did to a session file.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) session: u16,
    pub(super) way: Way,
    pub(super) from: u64,
    pub(super) to: u64,
    /// How much of the file as it was is still there.
    pub(super) kept: u64,
}

/// A process that was stopped.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) from: u64,
    /// The time at which it went on, unless it was killed before.
    pub(super) to: Option<u64>,
}

/// A holder that was revoked.
#[derive(Debug)]
pub(super) struct Revocation {
    pub(super) session: u16,
    pub(super) owner: u128,
    pub(super) from: u64,
    /// The time at which it was done, and the length of the session file after that. `None` if it
    /// failed.
    pub(super) done: Option<(u64, u64)>,
}

impl History {
    /// Reads the journals of the conductor and of all children.
    pub(super) fn read(dir: &Path, children: u32) -> io::Result<Self> {
        let mut history = Self::default();
        history.add_conductor(&journal::read(dir, None)?);
        for child in 0..children {
            history.add_child(child, &journal::read(dir, Some(child))?);
        }
        history.put_removals_in_order();
        Ok(history)
    }

    pub(super) fn put_removals_in_order(&mut self) {
        self.removals.sort_by_key(|removal| removal.from);
        let mut reach = 0;
        for removal in &mut self.removals {
            reach = reach.max(removal.at_latest);
            removal.reach = reach;
        }
    }

    pub(super) fn add_conductor(&mut self, records: &[Record]) {
        for record in records {
            match record.kind {
                Kind::Killing => drop(self.kills.insert(record.task, record.at)),
                Kind::Killed => drop(self.deaths.insert(record.task, record.at)),
                Kind::Stopped => self.stops.push(Stop { from: record.at, to: None }),
                Kind::Continued => {
                    if let Some(last) = self.stops.last_mut() {
                        last.to = Some(record.at);
                    }
                }
                Kind::Revoking => {
                    let (session, owner, from) = (record.session, record.owner, record.at);
                    self.revocations.push(Revocation { session, owner, from, done: None });
                }
                Kind::Revoked => {
                    if let Some(last) = self.revocations.last_mut() {
                        last.done = Some((record.at, record.detail));
                    }
                }
                Kind::Changing => self.changes.extend(Change::begun(record)),
                Kind::Changed => {
                    if let Some(last) = self.changes.last_mut() {
                        (last.to, last.kept) = (record.at, record.detail);
                    }
                }
                Kind::Unchanged => drop(self.changes.pop()),
                Kind::Linked => self.links += 1,
                _ => self.add_removal(record, u64::MAX),
            }
        }
    }

    /// `death` is the time at which the process that recorded this was certainly dead.
    fn add_removal(&mut self, record: &Record, death: u64) {
        match (record.kind, self.removals.last_mut()) {
            (Kind::Removing, _) => {
                let (session, from) = (record.session, record.at);
                self.removals.push(Removal {
                    session,
                    from,
                    to: None,
                    at_latest: death,
                    reach: death,
                });
            }
            (Kind::Removed, Some(last)) => (last.to, last.at_latest) = (Some(record.at), record.at),
            (Kind::Spared, _) => drop(self.removals.pop()),
            _ => {}
        }
    }

    /// The time at which this child was certainly dead. The maximum if it was not killed.
    pub(super) fn death_of(&self, child: u32) -> u64 {
        self.deaths.get(&child).copied().unwrap_or(u64::MAX)
    }

    pub(super) fn add_child(&mut self, child: u32, records: &[Record]) {
        let mut turns: HashMap<u64, usize> = HashMap::new();
        for record in records {
            let writer = Writer { child, task: record.task };
            match record.kind {
                Kind::Asked => {
                    turns.insert(record.turn, self.turns.len());
                    self.turns.push(Turn::asked(writer, record));
                }
                Kind::Begun => {
                    let turn =
                        (record.turn != POST).then(|| turns.get(&record.turn).copied()).flatten();
                    self.by_writer.entry(writer).or_default().push(self.appends.len());
                    self.appends.push(Append::begun(writer, turn, record));
                }
                Kind::Acknowledged | Kind::Lost | Kind::Overtaken | Kind::Told | Kind::Failed
                    if record.count > 0 =>
                {
                    self.end_append(writer, record);
                }
                Kind::Removing | Kind::Removed | Kind::Spared => {
                    self.add_removal(record, self.death_of(child))
                }
                Kind::Panicking => self.panics += 1,
                _ => {
                    self.rewrites += u64::from(record.kind == Kind::Rewritten);
                    if let Some(&turn) = turns.get(&record.turn) {
                        self.turns[turn].happened(record);
                    }
                }
            }
        }
    }

    fn end_append(&mut self, writer: Writer, record: &Record) {
        let Some(index) = self.starting_with(LineId { writer, n: record.n }) else { return };
        let append = &mut self.appends[index];
        append.ended = record.at;
        append.outcome = match record.kind {
            Kind::Acknowledged => Outcome::Acknowledged,
            Kind::Overtaken => Outcome::Overtaken,
            Kind::Told => Outcome::Told,
            _ => Outcome::Refused,
        };
        append.offset = (record.kind == Kind::Acknowledged && record.detail != UNKNOWN)
            .then_some(record.detail);
        let begun = append.begun;
        let Some(turn) = append.turn.map(|turn| &mut self.turns[turn]) else { return };
        match record.kind {
            Kind::Acknowledged => turn.wrote = turn.wrote.max(Some(begun)),
            Kind::Lost | Kind::Overtaken => turn.loses(record, begun),
            Kind::Told => turn.told.push(record.at),
            _ => {}
        }
    }

    fn starting_with(&self, id: LineId) -> Option<usize> {
        let of_writer = self.by_writer.get(&id.writer)?;
        let found =
            of_writer.binary_search_by_key(&id.n, |&index| self.appends[index].first).ok()?;
        Some(of_writer[found])
    }

    /// The append to which this line belongs.
    pub(super) fn append_of(&self, id: LineId) -> Option<usize> {
        let of_writer = self.by_writer.get(&id.writer)?;
        let after = of_writer.partition_point(|&index| self.appends[index].first <= id.n);
        let index = of_writer[after.checked_sub(1)?];
        let append = &self.appends[index];
        (id.n < append.first + u64::from(append.count)).then_some(index)
    }

    /// Whether a lock file of this session may have been taken from its holder within this time: by
    /// hand, or by a revoke.
    pub(super) fn taken_within(&self, session: u16, from: u64, to: u64) -> bool {
        let before = self.revocations.partition_point(|revocation| revocation.from < to);
        // The conductor makes one at a time.
        let mut later = self.revocations[..before]
            .iter()
            .rev()
            .take_while(|revocation| revocation.done.is_none_or(|(at, _)| at > from));
        later.any(|revocation| revocation.session == session && revocation.done.is_some())
            || self.removed_within(session, from, to)
    }

    /// Whether a lock file of this session may have been removed by hand within this time.
    pub(super) fn removed_within(&self, session: u16, from: u64, to: u64) -> bool {
        let before = self.removals.partition_point(|removal| removal.from < to);
        // Backwards, since removals are short.
        let mut candidates =
            self.removals[..before].iter().rev().take_while(|removal| removal.reach > from);
        candidates.any(|removal| removal.session == session && removal.at_latest > from)
    }
}

impl Turn {
    fn asked(writer: Writer, record: &Record) -> Self {
        Self {
            writer,
            session: record.session,
            asked: record.at,
            acquired: None,
            owner: 0,
            releasing: None,
            released: false,
            gave_up: false,
            timed_out: None,
            lost: None,
            overtaken_from: None,
            told: Vec::new(),
            rewriting: 0,
            unprotected: false,
            wrote: None,
        }
    }

    /// An append or a rewrite that began at `begun` was refused, or not acknowledged.
    fn loses(&mut self, record: &Record, begun: u64) {
        if self.lost.is_none() {
            self.lost = Some(record.at);
            self.overtaken_from = (record.kind == Kind::Overtaken).then_some(begun);
        }
    }

    fn happened(&mut self, record: &Record) {
        match record.kind {
            Kind::Acquired => (self.acquired, self.owner) = (Some(record.at), record.owner),
            Kind::GaveUp | Kind::Failed => self.gave_up = true,
            Kind::TimedOut => self.timed_out = Some(record.at),
            Kind::Releasing => self.releasing = Some(record.at),
            Kind::Released => {
                self.released = true;
                if record.detail != 0 {
                    self.lost = self.lost.or(Some(record.at));
                }
            }
            Kind::Unprotected => self.unprotected = true,
            Kind::Rewriting => self.rewriting = record.at,
            // A rewrite.
            Kind::Lost | Kind::Overtaken => self.loses(record, self.rewriting),
            Kind::Told => self.told.push(record.at),
            _ => {}
        }
    }
}

impl Change {
    fn begun(record: &Record) -> Option<Self> {
        let way = Way::of(record.count)?;
        Some(Self { session: record.session, way, from: record.at, to: u64::MAX, kept: 0 })
    }
}

impl Append {
    fn begun(writer: Writer, turn: Option<usize>, record: &Record) -> Self {
        Self {
            writer,
            session: record.session,
            turn,
            first: record.n,
            count: record.count,
            begun: record.at,
            ended: u64::MAX,
            outcome: Outcome::Unknown,
            offset: None,
        }
    }
}
