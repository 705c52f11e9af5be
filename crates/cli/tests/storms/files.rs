//! Random files, against `reference.py`: it states which records survive, from the rule and not
//! from this project's code.

use std::fs;
use std::path::Path;
use std::process::Command;

use turnlock_testing::ended;
use turnlock_testing::process::is_installed;

use crate::program::turnlock;
use crate::storm::{Storm, buffered, shown, undo};

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/storms/reference.py");
/// The number of files that one doctor is given.
const FILES: usize = 50;

/// The lines that are not blank, without whitespace around them.
fn lines(path: &Path) -> Vec<Vec<u8>> {
    let content = fs::read(path).unwrap();
    let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

#[test]
fn what_survives_a_repair_is_what_an_independent_reference_says() {
    if !is_installed("python3") {
        return;
    }
    let storm = Storm::begin();
    let (mut files, mut repaired, mut records) = (0, 0, 0);
    for round in 0_u64.. {
        if !storm.goes_on() {
            break;
        }
        let dir = tempfile::tempdir().unwrap();
        let (made, expected) = (dir.path().join("made"), dir.path().join("expected"));
        fs::create_dir(&made).unwrap();
        fs::create_dir(&expected).unwrap();
        let seed = format!("{}-{round}", storm.seed);
        let mut reference = Command::new("python3");
        reference.args([REFERENCE, &seed, &FILES.to_string()]).arg(&made).arg(&expected);
        let answer = ended(reference);
        assert_eq!(answer.code, Some(0), "{answer:?}");

        let name = |n: usize| format!("{n}.jsonl");
        let before: Vec<_> = (0..FILES).map(|n| fs::read(made.join(name(n))).unwrap()).collect();
        let answer = ended(turnlock(["doctor", "--fix"]).arg(&made));
        let is_left_alone =
            |n: usize| answer.out.contains(&format!("/{n}.jsonl not a session file"));
        let any_is = (0..FILES).any(is_left_alone);
        assert_eq!(answer.code, Some(i32::from(any_is)), "{answer:?}");
        let sessions = buffered();
        for (n, before) in before.iter().enumerate() {
            let session = made.join(name(n));
            if is_left_alone(n) {
                // Little of it would remain.
                assert!(fs::read(&session).unwrap() == *before, "seed {seed}, file {n}");
                continue;
            }
            let (left, rule) = (lines(&session), lines(&expected.join(name(n))));
            assert!(
                left == rule,
                "seed {seed}, file {n}: {}\nrepaired: {}\nby the rule: {}",
                before.escape_ascii(),
                shown(&session),
                shown(&expected.join(name(n)))
            );
            files += 1;
            records += left.len();
            if fs::read(&session).unwrap() != *before {
                repaired += 1;
                assert_eq!(undo(&sessions, &session), Ok(()), "seed {seed}, file {n}");
                let again = fs::read(&session).unwrap();
                assert!(again == *before, "seed {seed}, file {n}: undo gives another file");
            }
        }
    }
    eprintln!(
        "{files} files against the reference: {repaired} repaired and undone, {records} records \
         survive"
    );
    assert!(repaired > 0);
}
