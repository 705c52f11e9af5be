//! What a rewritten session file tells of the one before it.

use std::fs;

use serde_json::json;
use turnlock::{Origin, Part, Transcript};
use turnlock_testing::{Room, room};

use crate::sessions::{buffered, post};

/// The parts of the session file, if `old` was in its place before: `w` for written, `c` and the
/// offset for carried over, `a` for appended, each with its range.
fn parts(room: &Room, old: &fs::File) -> Option<String> {
    let told = |Part { range, origin, .. }: Part| match origin {
        Origin::Carried { from } => format!("c{range:?}@{from}"),
        Origin::Written => format!("w{range:?}"),
        Origin::Appended => format!("a{range:?}"),
        _ => "?".to_owned(),
    };
    let parts = Transcript::open(&room.session).unwrap().parts_since(old)?;
    Some(parts.into_iter().map(told).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_rewritten_file_tells_where_its_parts_come_from_also_through_other_files() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n").unwrap();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let old = fs::File::open(&room.session).unwrap();
    assert_eq!(parts(&room, &old), None, "it is the file itself");
    post(&room, 1);
    turn.rewrite_blocking([json!({"s": 1})]).unwrap();
    let Some(first) = parts(&room, &old) else {
        return eprintln!("skipped: no extended attributes");
    };
    assert_eq!(first, "w0..8 c8..19@8");
    post(&room, 2);
    turn.rewrite_blocking([json!({"s": 22})]).unwrap();
    assert_eq!(parts(&room, &old).unwrap(), "w0..9 c9..20@8 a20..31");
    room.scrawl("{\"torn");
    turn.repair_blocking().unwrap();
    assert_eq!(parts(&room, &old).unwrap(), "w0..9 c9..20@8 a20..31");
    turn.restore_blocking().unwrap();
    assert_eq!(parts(&room, &old).unwrap(), "w0..9 c9..20@8 a20..31 w31..37");

    // A copy has the note, and is another file.
    let copy = room.dir.join("copy");
    let copied = std::process::Command::new("cp").arg("-a").args([&room.session, &copy]).status();
    assert!(copied.unwrap().success());
    fs::rename(&copy, &room.session).unwrap();
    assert_eq!(parts(&room, &old), None);
}
