//! Damaged session files of every kind, made at random: nothing that was whole is lost, and every
//! repair can be undone.

mod damaged;
mod json;
mod rule;

use std::io::Write;
use std::ops::Range;

use proptest::prelude::*;
use turnlock::testing::{Scanner, mark_undone, repair, restore, survey};
use turnlock::{DamageKind, Item, Repair, RestoreError, Survey};

use crate::cases::cases;
use damaged::{Made, braces_in_strings, file, hostile_to_the_quarantine, long_file, soup};

fn repaired(original: &[u8], quarantine: &mut impl Write) -> (Vec<u8>, Repair) {
    let mut file = Vec::new();
    let report = repair(&original, original.len() as u64, &mut file, quarantine).unwrap();
    if !report.changed() {
        assert!(file.is_empty());
        file = original.to_vec();
    }
    assert_eq!(report.repaired_length, file.len() as u64);
    (file, report)
}

/// The session file as it was before its latest repair.
fn restored(
    file: &[u8],
    quarantine: &mut tempfile::NamedTempFile,
) -> Result<Vec<u8>, RestoreError> {
    let mut original = Vec::new();
    let done = restore(&file, file.len() as u64, quarantine.as_file(), &mut original)?;
    mark_undone(quarantine, done.repair).unwrap();
    Ok(original)
}

/// Checks what holds for every file, whatever is in it.
fn check(original: &[u8]) -> Vec<u8> {
    let mut quarantine = tempfile::NamedTempFile::new().unwrap();
    let (file, report) = repaired(original, &mut quarantine);
    let kept = quarantine.as_file().metadata().unwrap().len();
    assert!(kept <= limit(&report.survey), "{kept} bytes for {:?}", report.survey);
    assert!(kept <= 2 * original.len() as u64 + 16 * 1024, "{kept} bytes of {}", original.len());
    assert_eq!(survey(&original, original.len() as u64).unwrap(), report.survey);

    // The repaired file is healthy, by our scanner and by another parser.
    assert!(survey(&&file[..], file.len() as u64).unwrap().is_healthy());
    assert!(file.is_empty() || file.ends_with(b"\n") || blank(&file[last_line(&file)..]));
    assert!(file.split(|byte| *byte == b'\n').all(healthy));
    // Healthy lines are still there, and a healthy file is left alone. Lines in a record of several
    // lines are text.
    let mut left = file.split(|byte| *byte == b'\n');
    for line in
        without_split_records(original).split(|byte| *byte == b'\n').filter(|line| healthy(line))
    {
        assert!(left.any(|one| one == line), "{:?} is lost", String::from_utf8_lossy(line));
    }
    let was_healthy = original.split(|byte| *byte == b'\n').all(healthy);
    let ended = original.is_empty() || blank(&original[last_line(original)..]);
    assert_eq!(report.changed(), !(was_healthy && ended));

    // And the original comes back.
    match restored(&file, &mut quarantine) {
        Ok(again) => assert!(again == original, "the original is not restored"),
        Err(error) => assert!(!report.changed(), "{error}"),
    }
    file
}

/// The file with empty lines in place of the records of several lines.
fn without_split_records(file: &[u8]) -> Vec<u8> {
    let mut left = file.to_vec();
    for item in items(file, 1 << 20, 0) {
        if let Item::Damage(damage) = item
            && damage.kind == DamageKind::SplitRecord
        {
            left[damage.range.start as usize..damage.range.end as usize].fill(b'x');
        }
    }
    left
}

/// The most bytes that a repair may add to the quarantine.
fn limit(survey: &Survey) -> u64 {
    let lines: u64 = survey.damages.values().sum();
    16 * 1024 + 2 * (survey.bytes_removed + survey.newlines_inserted) + 16 * lines
}

fn healthy(line: &[u8]) -> bool {
    blank(line) || std::str::from_utf8(line).is_ok() && json::whole_by_serde(line)
}

fn blank(line: &[u8]) -> bool {
    line.iter().all(|byte| b" \t\r".contains(byte))
}

fn last_line(file: &[u8]) -> usize {
    file.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
}

/// Checks that every record that must be saved is there once, and in order.
fn check_records(made: &Made, file: &[u8]) {
    if without_split_records(&made.bytes) != made.bytes {
        // What was made as records of their own is a part of another one.
        return;
    }
    let mut lines = file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    for record in &made.records {
        let shown = String::from_utf8_lossy(&record[..record.len().min(200)]);
        assert!(lines.any(|line| line == record), "lost, or out of order: {shown}");
    }
    for record in &made.records {
        let lines = file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        assert_eq!(lines.filter(|line| line == record).count(), 1);
    }
}

fn items(file: &[u8], chunk: usize, max_line: usize) -> Vec<Item<'static>> {
    let mut scanner = Scanner::new(file).chunk_size(chunk).max_line(max_line);
    let mut items = Vec::new();
    while let Some(item) = scanner.next_item().unwrap() {
        items.push(match item {
            Item::Line(line) => Item::Line(line.into_owned()),
            Item::Damage(damage) => Item::Damage(damage),
        });
    }
    items
}

/// Where the items are, and what they are.
fn outline(file: &[u8], chunk: usize, max_line: usize) -> String {
    let show = |item| match item {
        Item::Line(line) => format!("{:?}", line.range),
        Item::Damage(damage) => format!("{damage:?}"),
    };
    items(file, chunk, max_line).into_iter().map(show).collect()
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn a_repair_loses_no_whole_record_and_can_be_taken_back(made in file()) {
        check_records(&made, &check(&made.bytes));
    }

    #[test]
    fn whatever_the_bytes_the_original_comes_back(bytes in soup()) {
        check(&bytes);
    }

    #[test]
    fn what_is_saved_is_what_the_rule_says(
        bytes in prop_oneof![
            3 => soup(),
            1 => file().prop_map(|made| made.bytes),
            1 => braces_in_strings(),
        ],
    ) {
        for item in items(&bytes, 1 << 20, 0) {
            if let Item::Damage(damage) = item
                && damage.kind != DamageKind::SplitRecord
            {
                let range = |range: &Range<u64>| range.start as usize..range.end as usize;
                let start = damage.range.start as usize;
                let line = &bytes[range(&damage.range)];
                let moved = |range: Range<usize>| {
                    (range.start + start) as u64..(range.end + start) as u64
                };
                let saved = rule::saved(line);
                let mut rule: Vec<_> = saved.into_iter().map(moved).collect();
                if healthy(line) {
                    rule = vec![damage.range.clone()]; // It lacks nothing but the newline.
                }
                prop_assert_eq!(&damage.saved, &rule, "in {:?}", String::from_utf8_lossy(line));
            }
        }
    }

    #[test]
    fn the_size_of_the_chunks_does_not_change_what_is_found(
        made in prop_oneof![file().prop_map(|made| made.bytes), soup()],
        chunk in 1_usize..40,
    ) {
        let whole = items(&made, 1 << 20, 1 << 20);
        prop_assert!(items(&made, chunk, 1 << 20) == whole);
        let outline_of_whole = outline(&made, 1 << 20, 1 << 20);
        prop_assert_eq!(outline(&made, chunk, 0), outline_of_whole);
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn however_often_a_file_is_damaged_the_quarantine_stays_small(
        pieces in prop::collection::vec(
            (
                prop_oneof![
                    soup(),
                    file().prop_map(|made| made.bytes),
                    braces_in_strings(),
                    hostile_to_the_quarantine(),
                ],
                1_usize..120,
            ),
            1..4,
        ),
    ) {
        let pieces = pieces.into_iter().map(|(piece, times)| piece.repeat(times));
        check(&pieces.collect::<Vec<_>>().concat());
    }

    #[test]
    fn several_repairs_are_taken_back_in_turn(parts in prop::collection::vec(file(), 1..4)) {
        let mut quarantine = tempfile::NamedTempFile::new().unwrap();
        let mut file = Vec::new();
        let mut story = Vec::new();
        for part in &parts {
            file.extend(&part.bytes);
            let before = file.clone();
            let (after, report) = repaired(&before, &mut quarantine);
            if report.changed() {
                story.push((before, after.clone()));
            }
            file = after;
        }
        for (before, after) in story.into_iter().rev() {
            prop_assert!(restored(&after, &mut quarantine).unwrap() == before);
        }
        let nothing = restored(&file, &mut quarantine);
        let none = matches!(nothing, Err(RestoreError::NothingToUndo));
        prop_assert!(none, "nothing is left to undo");
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn lines_of_megabytes_are_repaired_like_short_ones(made in long_file()) {
        check_records(&made, &check(&made.bytes));
        prop_assert!(outline(&made.bytes, 4096, 0) == outline(&made.bytes, 1 << 22, 1 << 22));
    }
}
