//! What a foreign program that changes a session file is blamed for, and what it is not.

use super::*;
use crate::stress::changes::Way;

impl Tale {
    /// A foreign program changes the session file, and keeps its first `kept` bytes.
    fn change(&mut self, way: Way, kept: usize, at: std::ops::Range<u64>) {
        let (count, detail) = (way.code(), kept as u64);
        self.conductor.push(Record { count, ..record(Event::Changing, at.start) });
        self.conductor.push(Record { count, detail, ..record(Event::Changed, at.end) });
        self.file.truncate(kept);
    }

    /// An append of one line whose outcome is told by this event.
    fn answered(&mut self, child: u32, turn: u64, n: u64, at: std::ops::Range<u64>, by: Event) {
        self.begin(child, turn, n, 1, at.start);
        self.note(child, Record { turn, n, count: 1, ..record(by, at.end) });
    }

    /// A post that is told of nothing.
    fn post(&mut self, child: u32, n: u64, at: std::ops::Range<u64>) {
        self.append(child, POST, n, at);
    }
}

const WAYS: [Way; 3] = [Way::Cut, Way::Copy, Way::Replace];

#[test]
fn what_is_behind_the_kept_part_is_lost_by_the_change_and_nothing_else() {
    for way in WAYS {
        let mut tale = good();
        let kept = tale.file.len() - line(1, 1).len();
        tale.change(way, kept, 70..80);
        tale.is_clean(PLAIN);
        assert_eq!(tale.told(PLAIN).lost_to_others, 1);
        tale.post(2, 1, 81..82);
        tale.is_clean(PLAIN);
        // It has kept one line more than is there.
        let mut tale = good();
        tale.change(way, kept, 70..80);
        tale.file.truncate(kept - line(1, 0).len());
        tale.is_wrong(PLAIN, &[Kind::LinesLost]);
    }
}

#[test]
fn what_is_begun_after_the_change_is_there() {
    for way in WAYS {
        let lost = |begun: u64| {
            let mut tale = good();
            tale.change(way, 0, 70..80);
            tale.acknowledge(2, POST, 1, begun..90);
            tale
        };
        lost(79).is_clean(PLAIN);
        lost(80).is_wrong(PLAIN, &[Kind::LinesLost]);
    }
}

#[test]
fn a_change_of_another_session_excuses_nothing() {
    let mut tale = good();
    tale.conductor.push(Record { session: 1, ..record(Event::Changing, 70) });
    tale.conductor.push(Record { session: 1, ..record(Event::Changed, 80) });
    tale.acknowledge(2, POST, 1, 75..90);
    tale.is_wrong(PLAIN, &[Kind::LinesLost]);
}

#[test]
fn a_change_that_was_not_made_excuses_nothing() {
    let mut tale = good();
    tale.conductor.push(record(Event::Changing, 70));
    tale.conductor.push(record(Event::Unchanged, 80));
    tale.acknowledge(2, POST, 1, 75..90);
    tale.is_wrong(PLAIN, &[Kind::LinesLost]);
}

#[test]
fn a_line_that_was_cut_in_its_middle_ends_where_the_cut_was() {
    let length = line(1, 1).len();
    for (left, told) in [(1, 1), (5, 1), (9, 1), (12, 1), (50, 1), (length - 1, 0)] {
        let cut = |way: Way, left: usize, off: usize| {
            let mut tale = good();
            let kept = tale.file.len() - length + left;
            tale.change(way, kept, 70..80);
            tale.file.truncate(kept - off);
            // The next one seals it, unless it is whole.
            tale.file.push(b'\n');
            tale.post(2, 1, 81..82);
            tale
        };
        let findings = cut(Way::Cut, left, 0).told(PLAIN);
        assert!(findings.first.is_empty(), "{left}: {:#?}", findings.first);
        assert_eq!(findings.cut_by_others, told, "{left}");
        if told == 1 && left > 1 {
            let counts = cut(Way::Cut, left, 1).told(PLAIN).counts;
            assert_eq!(counts.get(&Kind::LinesTorn), Some(&1), "{left}: not where it was cut");
        }
        if told == 1 {
            let counts = cut(Way::Copy, left, 0).told(PLAIN).counts;
            assert_eq!(counts.get(&Kind::LinesTorn), Some(&1), "{left}: a copy is of whole lines");
        }
    }
}

#[test]
fn a_batch_that_was_cut_is_there_as_far_as_that() {
    for acknowledged in [true, false] {
        let batch = |kept_lines: usize, off: u64| {
            let mut tale = good();
            tale.begin(2, POST, 1, 3, 61);
            let start = tale.file.len();
            tale.file.extend([line(2, 1), line(2, 2), line(2, 3)].concat());
            if acknowledged {
                let detail = start as u64;
                tale.note(2, Record { n: 1, count: 3, detail, ..record(Event::Acknowledged, 65) });
            }
            let kept = start + (1..=kept_lines as u64).map(|n| line(2, n).len()).sum::<usize>();
            tale.change(Way::Cut, kept, 70..80);
            if let Some(Record { detail, .. }) = tale.conductor.last_mut() {
                *detail += off;
            }
            tale
        };
        batch(1, 0).is_clean(PLAIN);
        batch(2, 0).is_clean(PLAIN);
        // The change has kept more than is there.
        batch(1, 1000 + line(2, 2).len() as u64).is_wrong(PLAIN, &[Kind::LinesLost]);
    }
}

#[test]
fn a_line_may_be_glued_to_what_is_cut_just_then_if_it_is_not_acknowledged() {
    let glued = |by: Event, begun: u64| {
        let mut tale = good();
        let kept = tale.file.len() - 20;
        tale.change(Way::Cut, kept, 70..80);
        if by == Event::Acknowledged {
            tale.acknowledge(2, POST, 1, begun..90);
        } else {
            tale.answered(2, POST, 1, begun..90, by);
        }
        tale.file.extend(line(2, 1));
        tale
    };
    glued(Event::Overtaken, 75).is_clean(PLAIN);
    assert!(glued(Event::Acknowledged, 75).told(PLAIN).counts.contains_key(&Kind::LinesTorn));
    // Begun when the tail was torn for all to see.
    let counts = glued(Event::Overtaken, 81).told(PLAIN).counts;
    assert!(counts.contains_key(&Kind::LinesTorn), "{counts:?}");
}

#[test]
fn a_line_may_be_written_over_by_a_copy_that_is_under_way() {
    let overwritten = |way: Way, begun: u64| {
        let mut tale = good();
        let kept = line(0, 0).len();
        tale.change(way, kept, 70..80);
        tale.begin(2, POST, 1, 1, begun);
        tale.note(2, Record { n: 1, count: 1, detail: 0, ..record(Event::Acknowledged, 90) });
        let long = line(2, 1);
        let rest = long.len().saturating_sub(kept).clamp(1, 30);
        tale.file.extend(&long[long.len() - rest..]);
        tale
    };
    overwritten(Way::Copy, 75).is_clean(PLAIN);
    for wrong in [overwritten(Way::Copy, 81), overwritten(Way::Cut, 75)] {
        assert!(wrong.told(PLAIN).counts.contains_key(&Kind::LinesTorn));
    }
}

#[test]
fn a_seal_may_stand_alone_where_a_change_has_cut_off_what_it_was_for() {
    let sealed = |off: usize| {
        let mut tale = good();
        let kept = tale.file.len() - line(1, 1).len();
        tale.change(Way::Cut, kept + off, 70..80);
        tale.file.truncate(kept);
        tale.file.push(b'\n');
        tale.answered(2, POST, 1, 75..90, Event::Overtaken);
        tale
    };
    sealed(0).is_clean(PLAIN);
    assert!(sealed(1).told(PLAIN).counts.contains_key(&Kind::LinesTorn));
}

#[test]
fn an_append_may_be_overtaken_by_a_change() {
    for way in WAYS {
        let overtaken = |begun: u64| {
            let mut tale = good();
            tale.turn(3, 1, 61, 62);
            tale.change(way, tale.file.len(), 70..80);
            tale.answered(3, 1, 0, begun..90, Event::Overtaken);
            tale
        };
        overtaken(75).is_clean(PLAIN);
        if way == Way::Replace {
            continue;
        }
        // The turn, and its append.
        let counts = overtaken(80).told(PLAIN).counts;
        assert_eq!(counts.get(&Kind::LostWithoutCause), Some(&2), "{counts:?}");
    }
}

#[test]
fn an_append_may_be_overtaken_by_who_is_still_inside_the_file_that_was_replaced() {
    let overtaken = |way: Way, begun: u64| {
        let mut tale = good();
        tale.turn(3, 1, 61, 62);
        tale.change(way, tale.file.len(), 70..80);
        tale.turn(1, 2, 75, 85);
        tale.answered(2, POST, 1, begun..90, Event::Overtaken);
        tale
    };
    overtaken(Way::Replace, 84).is_clean(PLAIN);
    // The next turn has begun.
    overtaken(Way::Replace, 86).is_wrong(PLAIN, &[Kind::LostWithoutCause]);
    overtaken(Way::Cut, 84).is_wrong(PLAIN, &[Kind::LostWithoutCause]);
}

/// A process is stopped in a section on the old file. Turns begin on the new one, and it removes
/// the lock file of one of them when it goes on.
#[test]
fn a_process_that_was_stopped_inside_the_replaced_file_may_remove_the_lock_of_another() {
    let stalled = |way: Way, stop: u64, go_on: u64, by: Event| {
        let mut tale = good();
        let stopped = [record(Event::Stopped, stop), record(Event::Continued, go_on)];
        tale.conductor.push(stopped[0]);
        tale.change(way, tale.file.len(), 70..80);
        tale.conductor.push(stopped[1]);
        tale.turn(3, 1, 85, 90);
        tale.answered(3, 1, 0, 91..110, by);
        tale
    };
    for by in [Event::Overtaken, Event::Lost] {
        stalled(Way::Replace, 65, 100, by).is_clean(PLAIN);
        stalled(Way::Replace, 65, 75, by).is_clean(PLAIN);
        // Not before the process goes on, only after a replacement, and only if it was stopped.
        for wrong in [
            stalled(Way::Cut, 65, 100, by),
            stalled(Way::Replace, 65, 69, by),
            stalled(Way::Replace, 120, 130, by),
        ] {
            let counts = wrong.told(PLAIN).counts;
            assert!(counts.contains_key(&Kind::LostWithoutCause), "{counts:?}");
        }
    }
}

/// The same without a stop, where the lock file is taken from the one in the old section.
#[test]
fn a_process_inside_the_replaced_file_may_remove_the_lock_of_the_next_turn_after_a_revoke() {
    let lost = |way: Way, revoked: Option<u64>, session: u16, at: u64| {
        let mut tale = good();
        tale.change(way, tale.file.len(), 70..80);
        if let Some(from) = revoked {
            let about = Record { owner: 99, session, ..record(Event::Revoking, from) };
            tale.conductor.push(about);
            tale.conductor.push(Record { kind: Event::Revoked, at: from + 1, ..about });
        }
        tale.turn(3, 1, at - 5, at);
        tale.answered(3, 1, 0, at + 1..at + 20, Event::Lost);
        tale
    };
    lost(Way::Replace, Some(82), 0, 90).is_clean(TAMPERED);
    for wrong in [
        lost(Way::Replace, None, 0, 90),
        lost(Way::Replace, Some(82), 1, 90),
        lost(Way::Cut, Some(82), 0, 90),
        lost(Way::Replace, Some(82), 0, 200_000_000),
    ] {
        wrong.is_wrong(TAMPERED, &[Kind::LostWithoutCause]);
    }
}

#[test]
fn a_holder_that_is_not_told_that_the_file_was_cut_is_found() {
    for way in WAYS {
        let cut = |told: bool| {
            let mut tale = Tale::default();
            tale.turn(0, 1, 10, 20);
            tale.append(0, 1, 0, 21..25);
            tale.append(0, 1, 1, 26..28);
            tale.change(way, line(0, 0).len(), 30..40);
            if told {
                tale.answered(0, 1, 2, 41..42, Event::Told);
            }
            tale.append(0, 1, 3, 45..50);
            tale.append(0, 1, 4, 51..52);
            tale.end(0, 1, 60);
            tale
        };
        cut(true).is_clean(PLAIN);
        cut(false).is_wrong(PLAIN, &[Kind::NotTold]);
    }
}

#[test]
fn a_holder_that_is_not_told_that_the_file_was_replaced_is_found() {
    let replaced = |way: Way, from: u64, to: u64, lines: bool, first: bool| {
        let mut tale = Tale::default();
        tale.post(2, 0, 1..2);
        tale.change(Way::Cut, if lines { tale.file.len() } else { 0 }, 3..5);
        tale.turn(0, 1, 10, 20);
        if !first {
            tale.append(0, 1, 0, 21..22);
        }
        let kept = if way == Way::Replace { 0 } else { tale.file.len() };
        tale.change(way, kept, from..to);
        tale.append(0, 1, 1, 45..50);
        tale.end(0, 1, 60);
        tale
    };
    for first in [true, false] {
        replaced(Way::Replace, 30, 40, true, first).is_wrong(PLAIN, &[Kind::NotTold]);
        // It is in place, and nothing is lost.
        replaced(Way::Copy, 30, 40, true, first).is_clean(PLAIN);
    }
    // It had not seen the file before, or cannot have seen that it is another.
    replaced(Way::Replace, 15, 40, true, true).is_clean(PLAIN);
    replaced(Way::Replace, 30, 46, true, true).is_clean(PLAIN);
    // It may have seen no line.
    replaced(Way::Replace, 30, 40, false, true).is_clean(PLAIN);
    replaced(Way::Replace, 30, 40, false, false).is_wrong(PLAIN, &[Kind::NotTold]);
}

#[test]
fn a_holder_that_is_told_of_nothing_and_a_post_that_is_told_are_found() {
    let told = |from: u64| {
        let mut tale = good();
        tale.turn(3, 1, 61, 62);
        tale.change(Way::Cut, tale.file.len(), from..80);
        tale.answered(3, 1, 0, 72..75, Event::Told);
        tale
    };
    told(70).is_clean(PLAIN);
    told(76).is_wrong(PLAIN, &[Kind::Failed]);
    let mut tale = told(70);
    tale.file.extend(line(3, 0));
    tale.is_wrong(PLAIN, &[Kind::WrittenAfterLoss]);
    let mut tale = good();
    tale.change(Way::Cut, tale.file.len(), 70..80);
    tale.answered(2, POST, 1, 72..75, Event::Told);
    tale.is_wrong(PLAIN, &[Kind::Failed]);
}

#[test]
fn a_rewrite_may_be_overtaken_and_is_told_of_a_change() {
    let rewritten = |by: Event, from: u64| {
        let mut tale = good();
        tale.turn(3, 1, 61, 62);
        tale.change(Way::Cut, tale.file.len(), from..from + 5);
        tale.note(3, Record { turn: 1, ..record(Event::Rewriting, 72) });
        tale.note(3, Record { turn: 1, ..record(by, 90) });
        tale
    };
    for by in [Event::Overtaken, Event::Told] {
        rewritten(by, 73).is_clean(PLAIN);
    }
    rewritten(Event::Overtaken, 65).is_wrong(PLAIN, &[Kind::LostWithoutCause]);
    rewritten(Event::Told, 91).is_wrong(PLAIN, &[Kind::Failed]);
    rewritten(Event::Lost, 73).is_wrong(PLAIN, &[Kind::LostWithoutCause]);
}

#[test]
fn a_revoked_holder_may_write_on_while_the_session_file_is_replaced() {
    let revoked = |way: Way| {
        let mut tale = good();
        tale.turn(3, 1, 61, 70);
        let about = Record { owner: owner(3, 1), ..record(Event::Revoking, 71) };
        tale.conductor.push(about);
        let detail = tale.file.len() as u64;
        tale.conductor.push(Record { kind: Event::Revoked, at: 76, detail, ..about });
        tale.change(way, tale.file.len(), 75..77);
        tale.append(3, 1, 0, 74..80);
        tale
    };
    revoked(Way::Replace).is_clean(TAMPERED);
    revoked(Way::Cut).is_wrong(TAMPERED, &[Kind::WrittenAfterLoss]);
}
