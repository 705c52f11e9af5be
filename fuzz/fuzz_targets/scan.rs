//! The scanner and the validator, compared with serde_json. The first byte is the chunk size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use turnlock::testing::{Scanner, Validator};
use turnlock::{DamageKind, Item};

fuzz_target!(|bytes: &[u8]| {
    let Some((&chunk, file)) = bytes.split_first() else { return };
    for line in file.split(|byte| *byte == b'\n') {
        validate(line, usize::from(chunk) + 1);
    }
    scan(file, usize::from(chunk) + 1);
});

/// The validator agrees with serde_json, however the bytes are cut into pieces.
fn validate(line: &[u8], chunk: usize) {
    let mut json = Validator::new();
    let fits = line.chunks(chunk).all(|piece| json.feed(piece).is_ok());
    if json.depth() < 100 {
        let whole = serde_json::from_slice::<IgnoredAny>(line).is_ok();
        assert_eq!(fits && json.is_whole(), whole);
    }
    let mut in_one_piece = Validator::new();
    assert_eq!(in_one_piece.feed(line).is_ok(), fits);
}

/// Every byte is part of one item or is whitespace, and each item is valid.
fn scan(file: &[u8], chunk: usize) {
    let mut scanner = Scanner::new(file).chunk_size(chunk);
    let mut outline = Scanner::new(file).chunk_size(chunk).max_line(0);
    let mut at = 0;
    while let Some(item) = scanner.next_item().expect("memory can be read") {
        let range = match &item {
            Item::Line(line) => {
                let bytes = line.bytes.as_deref().expect("shorter than 64 MiB");
                assert!(
                    bytes == slice(file, &line.range) && whole(bytes) && !bytes.contains(&b'\n')
                );
                line.range.clone()
            }
            Item::Damage(damage) => {
                // It is no line as it stands.
                let is_split = damage.kind == DamageKind::SplitRecord;
                let mut before = damage.range.start;
                for saved in &damage.saved {
                    assert!(
                        before <= saved.start
                            && saved.end <= damage.range.end
                            && (is_split || whole(slice(file, saved)))
                    );
                    before = saved.end;
                }
                damage.range.clone()
            }
        };
        assert!(
            at <= range.start
                && slice(file, &(at..range.start)).iter().all(u8::is_ascii_whitespace)
        );
        at = range.end;
        // Lines that are not returned are judged in the same way.
        match (item, outline.next_item().expect("memory can be read").expect("as many items")) {
            (Item::Line(line), Item::Line(long)) => assert_eq!(line.range, long.range),
            (Item::Damage(damage), Item::Damage(long)) => assert_eq!(damage, long),
            (one, other) => panic!("{one:?} is not {other:?}"),
        }
    }
    assert!(slice(file, &(at..file.len() as u64)).iter().all(u8::is_ascii_whitespace));
    assert!(outline.next_item().expect("memory can be read").is_none());
}

fn slice<'a>(file: &'a [u8], range: &std::ops::Range<u64>) -> &'a [u8] {
    &file[range.start as usize..range.end as usize]
}

fn whole(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok() && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}
