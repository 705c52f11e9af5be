//! Repair and restore. No whole line is lost, the repaired file is healthy, and a restore gives the
//! original, byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use turnlock::testing::{Scanner, mark_undone, repair, restore, survey};
use turnlock::{DamageKind, Item, Repair, RestoreError};
use uuid::Uuid;

fuzz_target!(|bytes: &[u8]| {
    let mut quarantine = Vec::new();
    let (file, report) = repaired(bytes, &mut quarantine);
    assert_eq!(survey(&bytes, bytes.len() as u64).expect("memory can be read"), report.survey);
    whole_lines_are_kept(bytes, &file);
    let (again, second) = repaired(&file, &mut Vec::new());
    assert!(again == file && !second.changed(), "a repaired file is healthy");
    match restored(&file, &quarantine) {
        Ok((original, id)) => {
            assert!(original == bytes && Some(id) == report.id, "the original is restored");
            mark_undone(&mut quarantine, id).expect("memory can be written");
            assert!(matches!(restored(&original, &quarantine), Err(RestoreError::NothingToUndo)));
        }
        Err(RestoreError::NothingToUndo) if !report.changed() => {}
        Err(error) => panic!("{error}"),
    }
    // With any bytes as the quarantine, restore returns and does not panic.
    let _ = restored(&file, bytes);
});

fn repaired(original: &[u8], quarantine: &mut Vec<u8>) -> (Vec<u8>, Repair) {
    let mut file = Vec::new();
    let report = repair(&original, original.len() as u64, &mut file, quarantine)
        .expect("memory can be written");
    if !report.changed() {
        assert!(file.is_empty() && quarantine.is_empty());
        file = original.to_vec();
    }
    assert_eq!(report.repaired_length, file.len() as u64);
    (file, report)
}

/// Every whole line of the original is in the file, in order. Those in a record of several lines
/// are text.
fn whole_lines_are_kept(original: &[u8], file: &[u8]) {
    let original = without_split_records(original);
    let mut left = file.split(|byte| *byte == b'\n');
    for line in original.split(|byte| *byte == b'\n').filter(|line| whole(line)) {
        assert!(left.any(|one| one == line), "{:?} is lost", String::from_utf8_lossy(line));
    }
}

fn without_split_records(file: &[u8]) -> Vec<u8> {
    let (mut left, mut scanner) = (file.to_vec(), Scanner::new(file).max_line(0));
    while let Some(item) = scanner.next_item().expect("memory can be read") {
        if let Item::Damage(damage) = item
            && damage.kind == DamageKind::SplitRecord
        {
            left[damage.range.start as usize..damage.range.end as usize].fill(b'x');
        }
    }
    left
}

fn whole(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok() && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

fn restored(file: &[u8], quarantine: &[u8]) -> Result<(Vec<u8>, Uuid), RestoreError> {
    let mut original = Vec::new();
    let done = restore(&file, file.len() as u64, &quarantine, &mut original)?;
    Ok((original, done.repair))
}
