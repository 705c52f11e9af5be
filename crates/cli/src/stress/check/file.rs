//! Checks one session file, in one pass.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::changes::Changes;
use super::{Findings, Kind, Terms};
use crate::stress::changes::Way;
use crate::stress::history::{Append, History, Outcome};
use crate::stress::line::{self, Head, LineId, Writer};

pub(super) fn check(
    history: &History,
    session: u16,
    path: &Path,
    terms: Terms,
    findings: &mut Findings,
) -> io::Result<()> {
    let mut walk = Walk::new(history, session, terms, findings);
    match File::open(path) {
        Ok(file) => walk.lines(BufReader::with_capacity(1 << 20, file))?,
        // Without a file no line was written. Acknowledged ones are missing.
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    walk.find_missing();
    Ok(())
}

/// The lines of an append seen so far.
#[derive(Clone, Copy, Default)]
struct Seen {
    lines: u32,
    cut: bool,
    /// Where the last of them ends.
    end: u64,
}

struct Walk<'a> {
    history: &'a History,
    session: u16,
    terms: Terms,
    findings: &'a mut Findings,
    offset: u64,
    seen: HashMap<usize, Seen>,
    /// The append and the number of the previous line.
    before: Option<(usize, u64)>,
    last_of: HashMap<Writer, u64>,
    /// The latest beginning of any append seen so far, and a line of that append.
    latest: Option<(u64, LineId)>,
    blocks: Blocks,
    /// Beginnings of lines that are too short to identify, with their offsets.
    scraps: Vec<(u64, Vec<u8>)>,
    revoked: HashMap<u128, (u64, u64)>,
    /// The times of foreign turns whose lock had been removed by hand.
    intruders: Vec<(u64, u64)>,
    changes: Changes<'a>,
}

/// The turns as blocks of lines.
#[derive(Default)]
struct Blocks {
    current: Option<usize>,
    over: HashMap<usize, u64>,
    /// Lines of others since the last line of the current turn, if that is foreign.
    strangers: Vec<(usize, u64)>,
}

impl<'a> Walk<'a> {
    fn new(history: &'a History, session: u16, terms: Terms, findings: &'a mut Findings) -> Self {
        let done = |revocation: &crate::stress::history::Revocation| {
            Some((revocation.owner, revocation.done?))
        };
        Self {
            history,
            session,
            terms,
            findings,
            offset: 0,
            seen: HashMap::new(),
            before: None,
            last_of: HashMap::new(),
            latest: None,
            blocks: Blocks::default(),
            scraps: Vec::new(),
            revoked: history.revocations.iter().filter_map(done).collect(),
            intruders: intruders(history, session),
            changes: Changes::of(history, session),
        }
    }

    /// Whether a foreign writer that had lost its lock was writing in this time. It takes no data
    /// lock, so little is promised then.
    fn intruded(&self, from: u64, to: u64) -> bool {
        self.intruders.iter().any(|(begun, ended)| *begun < to && from < *ended)
    }

    fn wrong(&mut self, kind: Kind, what: String) {
        self.findings.add(kind, Some(self.session), Some(self.offset), what);
    }

    fn lines(&mut self, mut file: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line)? > 0 {
            self.line(&line);
            self.offset += line.len() as u64;
            line.clear();
        }
        self.findings.bytes += self.offset;
        Ok(())
    }

    fn line(&mut self, bytes: &[u8]) {
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let end = self.offset + body.len() as u64;
        let id = match line::head(body) {
            Head::Id(id) => id,
            // A foreign writer saw a line half written, and sealed it with a needless newline.
            Head::Other if bytes == b"\n" && !self.intruders.is_empty() => return,
            // What was to be sealed was cut off before that.
            Head::Other if bytes == b"\n" && self.changes.ended_at(self.offset) => return,
            Head::Short if self.changes.cut_off(end, 0) => {
                return self.findings.cut_by_others += 1;
            }
            Head::Short => return self.scraps.push((self.offset, bytes.to_vec())),
            Head::Other => return self.torn(bytes, "a line of a known writer"),
        };
        let Some(index) = self.history.append_of(id) else {
            return self.torn(bytes, &format!("a line that was begun, which {id} was not"));
        };
        let append = &self.history.appends[index];
        if append.session != self.session {
            return self.wrong(
                Kind::LinesTwice,
                format!("line {id} belongs to session {}", append.session),
            );
        }
        let expected = line::bytes(self.terms.seed, id);
        if bytes == expected {
            self.findings.lines += 1;
            self.placed(index, append, id, false, bytes.len());
        } else if expected.starts_with(body) && self.may_be_cut(append) {
            self.findings.cut_by_kill += 1;
            self.placed(index, append, id, true, bytes.len());
        } else if expected.starts_with(body) && self.changes.cut_off(end, append.begun) {
            self.findings.cut_by_others += 1;
            self.placed(index, append, id, true, bytes.len());
        } else {
            let what = format!("line {id} of {} bytes", expected.len());
            self.torn(bytes, &what);
        }
    }

    fn may_be_cut(&self, append: &Append) -> bool {
        append.outcome == Outcome::Unknown && self.history.kills.contains_key(&append.writer.child)
    }

    fn torn(&mut self, bytes: &[u8], expected: &str) {
        if self.is_left_by_a_copy(bytes) {
            return self.findings.cut_by_others += 1;
        }
        if let Some(at) = self.glued_at(bytes) {
            self.line(&bytes[..at]);
            self.offset += at as u64;
            self.line(&bytes[at..]);
            return self.offset -= at as u64;
        }
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        self.wrong(
            Kind::LinesTorn,
            format!("{} bytes, {shown:?}…; expected {expected}", bytes.len()),
        );
    }

    /// Whether this is the end of a line whose beginning a copy has written over: that line was
    /// written while the copy was under way.
    fn is_left_by_a_copy(&self, bytes: &[u8]) -> bool {
        let lines = |append: &Append| {
            (append.first..append.first + u64::from(append.count))
                .map(|n| line::bytes(self.terms.seed, LineId { writer: append.writer, n }))
                .any(|line| line.ends_with(bytes))
        };
        self.changes.copies_to(self.offset).any(|copy| {
            let mut appends = self.history.appends.iter();
            appends.any(|append| {
                let meanwhile = append.begun < copy.to && copy.from < append.ended;
                append.session == self.session && meanwhile && lines(append)
            })
        })
    }

    /// Where a line was cut in its middle just before another was written behind it. That other
    /// line must not have been acknowledged.
    fn glued_at(&self, bytes: &[u8]) -> Option<usize> {
        let inside = self.offset + 1..self.offset + bytes.len() as u64;
        let places = self.changes.cuts_inside(inside).map(|kept| (kept - self.offset) as usize);
        places.into_iter().find(|&at| {
            let Head::Id(id) = line::head(&bytes[at..]) else { return false };
            let Some(index) = self.history.append_of(id) else { return false };
            let append = &self.history.appends[index];
            let mut cuts = self.changes.within(append.begun, append.ended);
            append.outcome != Outcome::Acknowledged
                && bytes[at..] == line::bytes(self.terms.seed, id)
                && cuts.any(|cut| cut.kept == self.offset + at as u64)
        })
    }

    /// Checks the place of a line of this append, or of its beginning.
    fn placed(&mut self, index: usize, append: &Append, id: LineId, cut: bool, length: usize) {
        let nth = (id.n - append.first) as u32;
        let seen = self.seen.entry(index).or_default();
        let already = *seen;
        seen.lines = seen.lines.max(nth + u32::from(!cut));
        seen.cut |= cut;
        seen.end = self.offset + length as u64;
        if already.lines > nth || already.cut {
            return self.wrong(Kind::LinesTwice, format!("line {id} is there again"));
        }
        let follows = nth == 0 || self.before == Some((index, id.n - 1));
        if (already.lines < nth || !follows) && !self.changes.can_have_overwritten(append) {
            self.wrong(
                Kind::OutOfOrder,
                format!("line {id} does not follow {} of its batch", id.n - 1),
            );
        }
        self.before = Some((index, id.n));
        if matches!(append.outcome, Outcome::Refused | Outcome::Told) {
            self.wrong(
                Kind::WrittenAfterLoss,
                format!("line {id} is there, though it was refused"),
            );
        }
        if nth == 0
            && append.offset.is_some_and(|offset| offset != self.offset)
            && !self.intruded(append.begun, append.ended)
        {
            self.wrong(
                Kind::WrongOffset,
                format!("line {id} was acknowledged at offset {:?}", append.offset),
            );
        }
        self.in_writers_order(id);
        self.in_order_of_time(append, id);
        self.not_revoked(append, id);
        self.in_its_block(index, append, id);
    }

    fn in_writers_order(&mut self, id: LineId) {
        match self.last_of.insert(id.writer, id.n) {
            Some(last) if last > id.n => {
                self.wrong(
                    Kind::OutOfOrder,
                    format!("line {id} stands behind its writer's later line {last}"),
                );
            }
            _ => {}
        }
    }

    /// An append acknowledged before another began must stand before it.
    fn in_order_of_time(&mut self, append: &Append, id: LineId) {
        if let Some((begun, other)) = self.latest
            && append.outcome == Outcome::Acknowledged
            && append.ended < begun
        {
            let ms = (begun - append.ended) as f64 / 1e6;
            let what = format!(
                "line {id} was acknowledged {ms:.3} ms before {other} was begun, but is behind it"
            );
            self.wrong(Kind::TooEarly, what);
        }
        if self.latest.is_none_or(|(latest, _)| append.begun > latest) {
            self.latest = Some((append.begun, id));
        }
    }

    /// A revoke waits for the holder's append to end, so no line of that holder may come after it.
    fn not_revoked(&mut self, append: &Append, id: LineId) {
        let Some(turn) = append.turn.map(|turn| &self.history.turns[turn]) else { return };
        // Who renames the session file moves the data lock, for which the revoke waits.
        let replaced = self
            .changes
            .within(append.begun, append.ended)
            .any(|change| change.way == Way::Replace);
        if let Some(&(_, length)) = self.revoked.get(&turn.owner)
            && self.offset >= length
            && !replaced
        {
            let what = format!(
                "line {id} of a revoked turn; the file was {length} bytes long after the revoke"
            );
            self.wrong(Kind::WrittenAfterLoss, what);
        }
    }

    /// No line of a turn may lie inside another turn. Posts may lie inside a turn of ours, but not
    /// inside a foreign one.
    fn in_its_block(&mut self, index: usize, append: &Append, id: LineId) {
        let foreign_now = self.blocks.current.filter(|&turn| self.history.turns[turn].foreign());
        if append.turn.is_some_and(|turn| is_unprotected(self.history, turn)) {
            return;
        }
        if foreign_now.is_some() && append.turn != foreign_now {
            if self.was_under_way(append, foreign_now) {
                return;
            }
            self.blocks.strangers.push((index, self.offset));
        }
        let Some(turn) = append.turn else { return };
        if self.blocks.current == Some(turn) {
            for (stranger, offset) in std::mem::take(&mut self.blocks.strangers) {
                let other = &self.history.appends[stranger];
                let what = format!(
                    "line {}.{} lies inside a foreign turn, before {id}",
                    other.writer, other.first
                );
                self.findings.add(Kind::TurnsOverlap, Some(self.session), Some(offset), what);
            }
            return;
        }
        if let Some(&end) = self.blocks.over.get(&turn) {
            self.wrong(
                Kind::TurnsOverlap,
                format!(
                    "line {id} of a turn that was over at offset {end}, where another turn began"
                ),
            );
        }
        if let Some(previous) = self.blocks.current.replace(turn) {
            self.blocks.over.insert(previous, self.offset);
        }
        self.blocks.strangers.clear();
    }

    /// Whether the append had passed its fence before the foreign writer removed a lock by mistake.
    fn was_under_way(&self, append: &Append, foreign: Option<usize>) -> bool {
        let acquired = foreign.and_then(|turn| self.history.turns[turn].acquired);
        acquired.is_some_and(|acquired| {
            append.begun < acquired
                && self.history.removed_within(self.session, append.begun, acquired)
        })
    }

    fn find_missing(&mut self) {
        self.place_scraps();
        let mut missing = Vec::new();
        for (index, append) in self.history.appends.iter().enumerate() {
            let seen = self.seen.get(&index).copied().unwrap_or_default();
            let whole = seen.lines == append.count;
            match append.outcome {
                _ if append.session != self.session => {}
                Outcome::Acknowledged if !whole => missing.push((index, seen.lines)),
                // All or nothing, unless the writer was killed.
                Outcome::Unknown | Outcome::Overtaken
                    if seen.lines > 0 && !whole && !self.may_be_cut(append) =>
                {
                    missing.push((index, seen.lines));
                }
                _ => {}
            }
        }
        for (index, lines) in missing {
            let append = &self.history.appends[index];
            if self.can_be_lost(index) {
                if append.outcome == Outcome::Acknowledged {
                    self.findings.lost_to_others += u64::from(append.count - lines);
                }
                continue;
            }
            let id = LineId { writer: append.writer, n: append.first + u64::from(lines) };
            let what = match append.offset {
                Some(offset) => {
                    format!("line {id} is missing; its batch was acknowledged at offset {offset}")
                }
                None => format!(
                    "line {id} is missing; others of its batch are there, or it was acknowledged"
                ),
            };
            self.findings.add(Kind::LinesLost, Some(self.session), append.offset, what);
        }
    }

    /// Whether a foreign program can have lost the first line of the append that is not there.
    fn can_be_lost(&self, index: usize) -> bool {
        let append = &self.history.appends[index];
        let seen = self.seen.get(&index).copied().unwrap_or_default();
        let length = |n: u32| {
            let n = append.first + u64::from(n);
            line::bytes(self.terms.seed, LineId { writer: append.writer, n }).len() as u64
        };
        let start = match append.offset {
            Some(offset) => Some(offset + (0..seen.lines).map(length).sum::<u64>()),
            None => (seen.lines > 0).then_some(seen.end),
        };
        self.changes.can_have_lost(append, start.map(|start| start + length(seen.lines)))
    }

    /// Assigns each scrap to an append that may have been cut off by a kill.
    fn place_scraps(&mut self) {
        for (offset, scrap) in std::mem::take(&mut self.scraps) {
            let bytes = scrap.strip_suffix(b"\n").unwrap_or(&scrap);
            let owner = self.history.appends.iter().enumerate().find(|(index, append)| {
                let seen = self.seen.get(index).copied().unwrap_or_default();
                append.session == self.session
                    && self.may_be_cut(append)
                    && !seen.cut
                    && seen.lines < append.count
                    && line::bytes(
                        self.terms.seed,
                        LineId { writer: append.writer, n: append.first + u64::from(seen.lines) },
                    )
                    .starts_with(bytes)
            });
            match owner {
                Some((index, _)) => {
                    self.findings.cut_by_kill += 1;
                    self.seen.entry(index).or_default().cut = true;
                }
                None => {
                    self.offset = offset;
                    self.torn(&scrap, "a whole line");
                }
            }
        }
    }
}

/// Whether this is a foreign turn whose lock was removed by hand. It has no fence, so nothing is
/// promised to it.
fn is_unprotected(history: &History, turn: usize) -> bool {
    let turn = &history.turns[turn];
    let told = turn.released || turn.unprotected;
    let death = history.death_of(turn.writer.child);
    turn.foreign()
        && (turn.unprotected || !told && history.removed_within(turn.session, turn.asked, death))
}

fn intruders(history: &History, session: u16) -> Vec<(u64, u64)> {
    let unprotected = (0..history.turns.len()).filter(|&turn| is_unprotected(history, turn));
    let turns = unprotected.map(|turn| &history.turns[turn]).filter(|turn| turn.session == session);
    turns
        .map(|turn| {
            (turn.asked, turn.releasing.unwrap_or_else(|| history.death_of(turn.writer.child)))
        })
        .collect()
}
