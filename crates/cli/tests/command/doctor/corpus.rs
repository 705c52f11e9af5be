//! A corpus of damaged transcripts: every class, alone and together, at the front, in the middle
//! and at the end, in lines of a byte to 2 MB.

use std::fs;

use turnlock_testing::{ended, names};

use super::made::{CLASSES, Dice, Made, doctor, found};

const SIZES: [usize; 6] = [1, 20, 300, 3000, 70_000, 300_000];

fn corpus() -> Vec<Made> {
    let mut files = Vec::new();
    // Every class at every place, with every end.
    for class in 0..CLASSES {
        for place in 0..3 {
            for end in 0..4 {
                let mut dice = Dice::new(files.len() as u64 + 1);
                let mut made = Made::default();
                for line in 0..3 {
                    if line == place {
                        made.damage(class, 200, &mut dice);
                    } else {
                        made.whole(SIZES[dice.below(4)]);
                    }
                }
                made.end(end, &mut dice);
                files.push(made);
            }
        }
    }
    // Several in a file.
    for seed in 0..160 {
        let mut dice = Dice::new(1000 + seed);
        let mut made = Made::default();
        for _ in 0..1 + dice.below(12) {
            let size = SIZES[dice.below(if seed % 20 == 0 { 6 } else { 4 })];
            if dice.below(3) == 0 {
                made.damage(dice.below(CLASSES), size, &mut dice);
            } else {
                made.whole(size);
            }
        }
        made.end(dice.below(4), &mut dice);
        files.push(made);
    }
    for class in [0, 1, 6] {
        let mut made = Made::default();
        made.whole(2_000_000);
        made.damage(class, 2_000_000, &mut Dice::new(class as u64 + 7));
        made.whole(1);
        files.push(made);
    }
    files
}

#[test]
fn every_damaged_transcript_is_mended_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = |n: usize| dir.path().join(format!("{n:03}.jsonl"));
    let corpus = corpus();
    assert!(corpus.iter().filter(|made| made.damaged).count() >= 200);
    for (n, made) in corpus.iter().enumerate() {
        fs::write(path(n), &made.bytes).unwrap();
    }

    let before = ended(doctor(&[], dir.path()));
    assert_eq!(before.code, Some(1), "{}", before.err);
    for (n, made) in corpus.iter().enumerate() {
        assert!(fs::read(path(n)).unwrap() == made.bytes, "a look changes nothing: {n}");
    }

    let fixed = ended(doctor(&["--fix"], dir.path()));
    assert_eq!(fixed.code, Some(1), "{} {}", fixed.out, fixed.err);
    assert!(corpus.iter().filter(|made| made.is_understood()).count() >= 200);
    for (n, made) in corpus.iter().enumerate() {
        let left = fs::read(path(n)).unwrap();
        if !made.is_understood() {
            assert!(left == made.bytes, "{n}: it was not left alone");
            continue;
        }
        assert!(
            left == made.repaired(),
            "{n}: not every whole record is there in order, or more than those"
        );
        for line in left.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            serde_json::from_slice::<serde_json::Value>(line).unwrap();
        }
    }
    let (after, _) = found(&[], dir.path());
    for finding in after["findings"].as_array().unwrap() {
        assert_eq!(finding["problem"]["kind"], "not-understood", "nothing else is left to find");
    }
    assert!(
        names(dir.path())
            .iter()
            .all(|name| name.ends_with(".jsonl") || name.ends_with(".jsonl.damaged"))
    );

    for (n, made) in
        corpus.iter().enumerate().filter(|(_, made)| made.damaged && made.is_understood())
    {
        let undone = ended(doctor(&["--undo"], &path(n)));
        assert_eq!(undone.code, Some(0), "{n}: {undone:?}");
        assert!(fs::read(path(n)).unwrap() == made.bytes, "{n}: not the original");
    }
}
