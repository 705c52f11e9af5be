//! Each kind of violation is made by hand and must be found. What is allowed must not be reported.

mod changes;

use super::*;
use crate::stress::journal::{Kind as Event, POST, Record};
use crate::stress::line::{LineId, Writer, bytes};

const SEED: u64 = 5;
const TAMPERED: Terms = Terms { seed: SEED, tampered: true };
const PLAIN: Terms = Terms { seed: SEED, tampered: false };

/// A run made by hand: the journals of all processes, and the content of session 0.
#[derive(Default)]
struct Tale {
    children: Vec<Vec<Record>>,
    conductor: Vec<Record>,
    file: Vec<u8>,
}

fn record(kind: Event, at: u64) -> Record {
    Record { kind, session: 0, task: 0, at, turn: POST, n: 0, count: 0, detail: 0, owner: 0 }
}

fn owner(child: u32, turn: u64) -> u128 {
    1 + u128::from(child) * 1000 + u128::from(turn)
}

fn line(child: u32, n: u64) -> Vec<u8> {
    bytes(SEED, LineId { writer: Writer { child, task: 0 }, n })
}

impl Tale {
    fn note(&mut self, child: u32, record: Record) {
        let child = child as usize;
        self.children.resize_with(self.children.len().max(child + 1), Vec::new);
        self.children[child].push(record);
    }

    fn turn(&mut self, child: u32, turn: u64, asked: u64, acquired: u64) {
        self.note(child, Record { turn, ..record(Event::Asked, asked) });
        self.note(
            child,
            Record { turn, owner: owner(child, turn), ..record(Event::Acquired, acquired) },
        );
    }

    fn foreign_turn(&mut self, child: u32, turn: u64, acquired: u64) {
        self.note(child, Record { turn, ..record(Event::Asked, acquired - 1) });
        self.note(child, Record { turn, ..record(Event::Acquired, acquired) });
    }

    fn begin(&mut self, child: u32, turn: u64, n: u64, count: u32, at: u64) {
        self.note(child, Record { turn, n, count, ..record(Event::Begun, at) });
    }

    /// An append of one line, acknowledged where the file ends now, and written there.
    fn append(&mut self, child: u32, turn: u64, n: u64, at: std::ops::Range<u64>) {
        self.acknowledge(child, turn, n, at);
        self.file.extend(line(child, n));
    }

    /// Acknowledged, but not written.
    fn acknowledge(&mut self, child: u32, turn: u64, n: u64, at: std::ops::Range<u64>) {
        self.begin(child, turn, n, 1, at.start);
        let detail = self.file.len() as u64;
        self.note(
            child,
            Record { turn, n, count: 1, detail, ..record(Event::Acknowledged, at.end) },
        );
    }

    fn end(&mut self, child: u32, turn: u64, at: u64) {
        self.note(child, Record { turn, ..record(Event::Releasing, at) });
        self.note(child, Record { turn, ..record(Event::Released, at + 1) });
    }

    fn told(&self, terms: Terms) -> Findings {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session-0.jsonl");
        std::fs::write(&path, &self.file).unwrap();
        let mut history = History::default();
        history.add_conductor(&self.conductor);
        for (child, records) in self.children.iter().enumerate() {
            history.add_child(child as u32, records);
        }
        history.put_removals_in_order();
        let mut findings = Findings::default();
        check(&history, &[path], terms, &mut findings).unwrap();
        findings
    }

    #[track_caller]
    fn is_clean(&self, terms: Terms) {
        let findings = self.told(terms);
        assert!(findings.first.is_empty(), "{:#?}", findings.first);
    }

    /// Exactly these kinds of violation, once each.
    #[track_caller]
    fn is_wrong(&self, terms: Terms, kinds: &[Kind]) {
        let findings = self.told(terms);
        let found: Vec<_> = findings.counts.iter().map(|(kind, count)| (*kind, *count)).collect();
        let expected: Vec<_> = kinds.iter().map(|kind| (*kind, 1)).collect();
        assert_eq!(found, expected, "{:#?}", findings.first);
    }
}

/// Two turns of two processes, two lines each, and a post in the first.
fn good() -> Tale {
    let mut tale = Tale::default();
    tale.turn(0, 1, 10, 20);
    tale.append(0, 1, 0, 21..25);
    tale.append(2, POST, 0, 22..28);
    tale.append(0, 1, 1, 30..35);
    tale.end(0, 1, 40);
    tale.turn(1, 1, 11, 45);
    tale.append(1, 1, 0, 46..50);
    tale.append(1, 1, 1, 51..55);
    tale.end(1, 1, 60);
    tale
}

#[test]
fn a_good_run_is_clean() {
    let findings = good().told(PLAIN);
    assert!(findings.first.is_empty(), "{:#?}", findings.first);
    assert_eq!(findings.lines, 5);
}

#[test]
fn a_missing_line_is_found() {
    let mut tale = good();
    tale.acknowledge(1, 1, 2, 70..80);
    tale.is_wrong(PLAIN, &[Kind::LinesLost]);
}

#[test]
fn a_line_twice_is_found() {
    let mut tale = good();
    tale.file.extend(line(1, 1));
    tale.is_wrong(PLAIN, &[Kind::LinesTwice]);
}

#[test]
fn torn_and_unknown_lines_are_found() {
    for (torn, lost) in
        [(&b"\n"[..], 0), (b"{\"id\":\"9.0.0\",\"type\":1}\n", 0), (b"nonsense", 0), (b"{\"i\n", 0)]
    {
        let mut tale = good();
        tale.file.extend(torn);
        assert_eq!(tale.told(PLAIN).counts.get(&Kind::LinesTorn), Some(&1), "{torn:?}");
        assert_eq!(tale.told(PLAIN).violations(), 1 + lost);
    }
    // One byte changed.
    let mut tale = good();
    let at = tale.file.len() - 10;
    tale.file[at] ^= 1;
    let counts = tale.told(PLAIN).counts;
    assert_eq!((counts[&Kind::LinesTorn], counts[&Kind::LinesLost]), (1, 1));
    // Two lines glued together.
    let mut tale = good();
    let at = line(0, 0).len() - 1;
    tale.file.remove(at);
    assert!(tale.told(PLAIN).counts[&Kind::LinesTorn] == 1);
}

#[test]
fn what_a_kill_cuts_off_is_allowed_and_nothing_else() {
    let cut = |killed: bool, length: usize| {
        let mut tale = good();
        tale.turn(3, 1, 61, 62);
        tale.begin(3, 1, 0, 1, 63);
        tale.file.extend(&line(3, 0)[..length]);
        if killed {
            tale.conductor.push(Record { task: 3, ..record(Event::Killing, 64) });
        }
        // The next one seals it.
        tale.file.push(b'\n');
        tale.turn(1, 2, 65, 70);
        tale.append(1, 2, 2, 71..75);
        tale.end(1, 2, 80);
        tale
    };
    for length in [1, 5, 9, 12, 50] {
        cut(true, length).is_clean(PLAIN);
        assert_eq!(cut(true, length).told(PLAIN).cut_by_kill, 1);
        assert!(cut(false, length).told(PLAIN).counts[&Kind::LinesTorn] == 1, "{length}");
    }
    // All of it but the newline: then it is whole.
    let whole = line(3, 0).len() - 1;
    cut(true, whole).is_clean(PLAIN);
    // Twice the same beginning.
    let mut tale = cut(true, 50);
    tale.file.extend(&line(3, 0)[..50]);
    tale.is_wrong(PLAIN, &[Kind::LinesTwice]);
}

#[test]
fn an_untold_append_is_there_once_or_not_at_all() {
    let mut tale = good();
    tale.begin(2, POST, 1, 2, 90);
    tale.is_clean(PLAIN);
    // Half a batch, and nobody was killed.
    tale.file.extend(line(2, 1));
    tale.is_wrong(PLAIN, &[Kind::LinesLost]);
    tale.file.extend(line(2, 2));
    tale.is_clean(PLAIN);
    tale.file.extend(line(2, 1));
    tale.is_wrong(PLAIN, &[Kind::LinesTwice]);
}

#[test]
fn a_batch_stands_together() {
    let mut tale = good();
    tale.begin(2, POST, 1, 2, 90);
    let batch = tale.file.len();
    tale.file.extend(line(2, 1));
    tale.append(0, POST, 2, 91..92);
    tale.file.extend(line(2, 2));
    tale.note(
        2,
        Record { n: 1, count: 2, detail: batch as u64, ..record(Event::Acknowledged, 95) },
    );
    tale.is_wrong(PLAIN, &[Kind::OutOfOrder]);
}

#[test]
fn a_wrong_offset_is_found() {
    let mut tale = good();
    tale.begin(2, POST, 1, 1, 90);
    tale.note(2, Record { n: 1, count: 1, detail: 7, ..record(Event::Acknowledged, 95) });
    tale.file.extend(line(2, 1));
    tale.is_wrong(PLAIN, &[Kind::WrongOffset]);
}

#[test]
fn a_writers_order_is_kept() {
    let mut tale = good();
    tale.begin(2, POST, 1, 1, 90);
    tale.begin(2, POST, 2, 1, 91);
    tale.file.extend([line(2, 2), line(2, 1)].concat());
    tale.is_wrong(PLAIN, &[Kind::OutOfOrder]);
}

#[test]
fn acknowledged_before_begun_means_earlier_in_the_file() {
    let mut tale = good();
    let (first, second) = (line(0, 2), line(2, 1));
    let end = tale.file.len();
    tale.begin(0, POST, 2, 1, 90);
    let at = (end + second.len()) as u64;
    tale.note(0, Record { n: 2, count: 1, detail: at, ..record(Event::Acknowledged, 95) });
    tale.begin(2, POST, 1, 1, 96);
    tale.file.extend([second, first].concat());
    tale.is_wrong(PLAIN, &[Kind::TooEarly]);
}

#[test]
fn overlapping_turns_are_found_in_the_file_and_by_the_clock() {
    let mut tale = Tale::default();
    tale.turn(0, 1, 10, 20);
    tale.append(0, 1, 0, 21..25);
    tale.turn(1, 1, 11, 26);
    tale.append(1, 1, 0, 27..28);
    tale.append(0, 1, 1, 30..35);
    tale.is_wrong(TAMPERED, &[Kind::TurnsOverlap, Kind::TwoHolders]);
    // Nothing shows in the file, but they held at the same time.
    let mut tale = good();
    tale.turn(3, 1, 50, 58);
    tale.append(3, 1, 0, 62..63);
    tale.is_clean(TAMPERED);
    tale.is_wrong(PLAIN, &[Kind::TwoHolders]);
}

#[test]
fn a_line_of_an_append_that_was_refused_is_found() {
    let mut tale = good();
    tale.turn(3, 1, 61, 70);
    tale.conductor.push(Record { owner: owner(3, 1), ..record(Event::Revoking, 71) });
    tale.begin(3, 1, 0, 1, 72);
    tale.note(3, Record { turn: 1, n: 0, count: 1, ..record(Event::Lost, 73) });
    tale.is_clean(TAMPERED);
    tale.file.extend(line(3, 0));
    tale.is_wrong(TAMPERED, &[Kind::WrittenAfterLoss]);
}

#[test]
fn a_revoked_holder_who_writes_on_is_found() {
    let revoked = |length: u64, done: u64| {
        let mut tale = good();
        tale.turn(3, 1, 61, 70);
        let about = Record { owner: owner(3, 1), ..record(Event::Revoking, 71) };
        tale.conductor.push(about);
        let detail = tale.file.len() as u64 + length;
        tale.conductor.push(Record { kind: Event::Revoked, at: done, detail, ..about });
        tale.append(3, 1, 0, 75..80);
        tale
    };
    let one = line(3, 0).len() as u64;
    revoked(one, 76).is_clean(TAMPERED);
    // Begun after the revoke was done.
    revoked(one, 74).is_wrong(TAMPERED, &[Kind::WrittenAfterLoss]);
    // Begun before, but written after.
    revoked(0, 76).is_wrong(TAMPERED, &[Kind::WrittenAfterLoss]);
}

#[test]
fn a_holder_whose_lock_was_removed_and_who_writes_on_is_found() {
    let removed = |from: u64, to: u64| {
        let mut tale = good();
        tale.turn(3, 1, 61, 70);
        tale.conductor.push(record(Event::Removing, from));
        tale.conductor.push(record(Event::Removed, to));
        tale.append(3, 1, 0, 75..80);
        tale
    };
    removed(71, 74).is_wrong(TAMPERED, &[Kind::WrittenAfterLoss]);
    // Perhaps the lock of the one before, or in the middle of the append.
    removed(69, 74).is_clean(TAMPERED);
    removed(71, 76).is_clean(TAMPERED);
}

#[test]
fn a_loss_without_a_cause_is_found() {
    let mut tale = good();
    tale.turn(3, 1, 61, 70);
    tale.begin(3, 1, 0, 1, 72);
    tale.note(3, Record { turn: 1, n: 0, count: 1, ..record(Event::Lost, 73) });
    tale.is_wrong(TAMPERED, &[Kind::LostWithoutCause]);
    // Nothing was there to be removed.
    tale.conductor.extend([record(Event::Removing, 65), record(Event::Spared, 66)]);
    tale.is_wrong(TAMPERED, &[Kind::LostWithoutCause]);
    tale.conductor.extend([record(Event::Removing, 67), record(Event::Removed, 68)]);
    tale.is_clean(TAMPERED);
}

#[test]
fn a_removal_that_was_never_told_of_ends_with_the_death_of_its_process() {
    let killed_at = |killed: u64| {
        let mut tale = good();
        tale.turn(3, 1, 61, 70);
        tale.begin(3, 1, 0, 1, 72);
        tale.note(3, Record { turn: 1, n: 0, count: 1, ..record(Event::Lost, 73) });
        tale.note(4, record(Event::Removing, 50));
        tale.conductor.push(Record { task: 4, ..record(Event::Killing, killed - 1) });
        tale.conductor.push(Record { task: 4, ..record(Event::Killed, killed) });
        tale
    };
    killed_at(60).is_wrong(TAMPERED, &[Kind::LostWithoutCause]);
    killed_at(65).is_clean(TAMPERED);
}

#[test]
fn a_foreign_writer_that_was_killed_excuses_nothing_after_its_death() {
    let killed_at = |killed: u64| {
        let mut tale = good();
        tale.foreign_turn(3, 1, 70);
        tale.conductor.push(Record { task: 3, ..record(Event::Killing, killed - 1) });
        tale.conductor.push(Record { task: 3, ..record(Event::Killed, killed) });
        tale.conductor.extend([record(Event::Removing, 75), record(Event::Removed, 76)]);
        tale.acknowledge(2, POST, 1, 80..85);
        tale.file.extend(b"\n");
        tale.file.extend(line(2, 1));
        tale
    };
    killed_at(90).is_clean(TAMPERED);
    killed_at(78).is_wrong(TAMPERED, &[Kind::WrongOffset]);
    killed_at(74).is_wrong(TAMPERED, &[Kind::LinesTorn, Kind::WrongOffset]);
}

#[test]
fn nothing_lies_inside_a_foreign_turn() {
    let foreign = |begun: u64, unprotected: bool| {
        let mut tale = good();
        tale.foreign_turn(3, 1, 70);
        tale.append(3, 1, 0, 71..72);
        tale.append(2, POST, 1, begun..80);
        tale.append(3, 1, 1, 81..82);
        let end = if unprotected { Event::Unprotected } else { Event::Released };
        tale.note(3, Record { turn: 1, ..record(end, 83) });
        tale
    };
    foreign(75, false).is_wrong(TAMPERED, &[Kind::TurnsOverlap]);
    foreign(75, true).is_clean(TAMPERED);
    // It removed the lock under which the post had gone in.
    let mut tale = foreign(65, false);
    tale.is_wrong(TAMPERED, &[Kind::TurnsOverlap]);
    tale.conductor.push(record(Event::Removing, 66));
    tale.conductor.push(record(Event::Removed, 67));
    tale.is_clean(TAMPERED);
}

#[test]
fn waiting_in_vain_and_failures_are_found() {
    let mut tale = good();
    tale.note(3, Record { turn: 1, ..record(Event::Asked, 70) });
    tale.note(3, Record { turn: 1, ..record(Event::TimedOut, 90) });
    tale.begin(2, POST, 1, 1, 91);
    tale.note(2, Record { n: 1, count: 1, ..record(Event::Failed, 92) });
    tale.is_wrong(TAMPERED, &[Kind::Stuck, Kind::Failed]);
}

#[test]
fn an_overtaken_append_may_be_there_if_somebody_came_between() {
    let overtaken = |removed: bool, there: bool| {
        let mut tale = good();
        tale.begin(2, POST, 1, 1, 90);
        tale.note(2, Record { n: 1, count: 1, ..record(Event::Overtaken, 95) });
        if removed {
            tale.conductor.extend([record(Event::Removing, 91), record(Event::Removed, 92)]);
        }
        if there {
            tale.file.extend(line(2, 1));
        }
        tale
    };
    overtaken(true, true).is_clean(TAMPERED);
    overtaken(true, false).is_clean(TAMPERED);
    overtaken(false, true).is_wrong(TAMPERED, &[Kind::LostWithoutCause]);
}
