//! Quarantines that something has changed: an undo gives the file as it was before the repair, or
//! refuses and leaves it alone.

use std::fs;

use turnlock_testing::ended;

use crate::damage::damage;
use crate::program::turnlock;
use crate::storm::{Dice, Storm, buffered, shown, undo};

/// The number of sessions that one doctor repairs.
const SESSIONS: usize = 8;
/// The number of changed quarantines per session.
const CHANGES: usize = 20;

/// A session with whole lines and damage.
fn session(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Of very many edits, most are in one entry.
    let lines = if dice.below(3) == 0 { 60 } else { 1 + dice.below(6) };
    for n in 0..lines {
        bytes.extend(format!("{{\"n\":{n},\"text\":\"whole {n}\"}}\n").bytes());
        bytes.extend(damage(dice));
        if dice.below(2) == 0 {
            bytes.extend(format!("{{\"glued\":{n}}}\n").bytes());
        }
    }
    bytes.extend_from_slice(b"{\"torn\":\"at the en");
    bytes
}

/// Changes a quarantine at random. `other` is one of another session.
fn changed(quarantine: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = quarantine.to_vec();
    for _ in 0..1 + dice.below(2) {
        change(&mut bytes, other, dice);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let mut own = lines(bytes);
    if own.is_empty() {
        return bytes.extend_from_slice(other);
    }
    let (one, two) = (dice.below(own.len()), dice.below(own.len()));
    let at = dice.below(bytes.len());
    match dice.below(10) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = b"0123456789abcdefAZ+/=\"{}\n"[dice.below(25)],
        2 => bytes.truncate(at),
        3 => drop(bytes.remove(at)),
        4 => bytes.insert(at, b"0123456789\"{}\n\0"[dice.below(15)]),
        // A digit of a number: an offset, a length, a count, a checksum.
        5 => {
            let digits: Vec<_> = (0..bytes.len()).filter(|i| bytes[*i].is_ascii_digit()).collect();
            if !digits.is_empty() {
                bytes[digits[dice.below(digits.len())]] = b'0' + dice.below(10) as u8;
            }
        }
        kind => {
            match kind {
                6 => own.swap(one, two),
                7 => drop(own.remove(one)),
                8 => own.insert(two, own[one].clone()),
                _ => {
                    let others = lines(other);
                    own.insert(one, others[dice.below(others.len())].clone());
                }
            }
            *bytes = own.concat();
        }
    }
}

#[test]
fn no_changed_quarantine_is_restored_wrongly() {
    let storm = Storm::begin();
    let sessions = buffered();
    let (mut changes, mut undone, mut refused) = (0, 0, 0);
    for round in 0_u64.. {
        if !storm.goes_on() {
            break;
        }
        let mut dice = storm.dice(round);
        let dir = tempfile::tempdir().unwrap();
        let path = |n: usize| dir.path().join(format!("{n}.jsonl"));
        let kept = |n: usize| dir.path().join(format!("{n}.jsonl.damaged"));
        let before: Vec<_> = (0..SESSIONS).map(|_| session(&mut dice)).collect();
        for (n, before) in before.iter().enumerate() {
            fs::write(path(n), before).unwrap();
        }
        let answer = ended(turnlock(["doctor", "--fix"]).arg(dir.path()));
        // Of some little would remain: they are left alone.
        let fixed: Vec<_> = (0..SESSIONS).filter(|n| kept(*n).exists()).collect();
        assert_eq!(answer.code, Some(i32::from(fixed.len() < SESSIONS)), "{answer:?}");
        let quarantines: Vec<_> =
            (0..SESSIONS).map(|n| fs::read(kept(n)).unwrap_or_default()).collect();

        for n in fixed.iter().copied() {
            let repaired = fs::read(path(n)).unwrap();
            for _ in 0..CHANGES {
                let other = &quarantines[fixed[dice.below(fixed.len())]];
                let quarantine = changed(&quarantines[n], other, &mut dice);
                fs::write(kept(n), &quarantine).unwrap();
                fs::write(path(n), &repaired).unwrap();
                changes += 1;
                let answer = undo(&sessions, &path(n));
                let left = fs::read(path(n)).unwrap();
                let right = if answer.is_ok() { &before[n] } else { &repaired };
                assert!(
                    left == *right,
                    "seed {}, round {round}, session {n}: {answer:?}\nleft: {}\nbefore: \
                     {}\nquarantine: {}",
                    storm.seed,
                    shown(&path(n)),
                    before[n].escape_ascii(),
                    quarantine.escape_ascii()
                );
                undone += usize::from(answer.is_ok());
                refused += usize::from(answer.is_err());
            }
            // As it was, it is heeded.
            fs::write(kept(n), &quarantines[n]).unwrap();
            fs::write(path(n), &repaired).unwrap();
            assert_eq!(undo(&sessions, &path(n)), Ok(()));
            assert!(fs::read(path(n)).unwrap() == before[n]);
        }
    }
    eprintln!("{changes} changed quarantines: {undone} undone rightly, {refused} refused");
    assert!(undone > 0 && refused > 0);
}
