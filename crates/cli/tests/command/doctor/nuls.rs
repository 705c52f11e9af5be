//! Holes and long runs of NUL, as a crash leaves them: they cost neither time nor room.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use turnlock_testing::{Room, ended, room};

use super::made::doctor;

const HOLE: u64 = 2_200_000_000;

/// Far less than it takes to read a hole of this length, and more than a busy machine needs.
const SOON: Duration = Duration::from_secs(10);

/// What is in a file, without its NULs, and how much room it takes.
fn outline(path: &Path) -> (u64, Vec<u8>, bool) {
    let (file, mut bytes) = (File::open(path).unwrap(), vec![0; 8192]);
    let facts = file.metadata().unwrap();
    let mut seen = Vec::new();
    for at in [0, facts.len().saturating_sub(8192)] {
        let read = file.read_at(&mut bytes, at).unwrap();
        seen.extend(bytes[..read].iter().filter(|byte| **byte != 0));
    }
    (facts.len(), seen, facts.blocks() * 512 < (1 << 20))
}

#[track_caller]
fn quarantine(room: &Room) -> String {
    let text = fs::read_to_string(room.dir.join("s.jsonl.damaged")).unwrap();
    assert!(text.len() < 4096, "{} bytes of quarantine", text.len());
    text
}

#[test]
fn a_hole_of_gigabytes_costs_a_line_of_quarantine_and_is_a_hole_again() {
    let first = "{\"a\":1}\n";
    for (before, behind, left) in [
        ("", "\n{\"b\":2}\n", "{\"b\":2}\n"),
        ("", "{\"b\":2}\n", "{\"b\":2}\n"),
        ("{\"cut", "{\"b\":2}\n", "{\"b\":2}\n"),
        ("{\"cut", "", ""),
        ("", "", ""),
        ("{\"whole\":1}", "cut\n{\"b\":2}", "{\"whole\":1}\n{\"b\":2}\n"),
    ] {
        let room = room();
        let mut file = File::create_new(&room.session).unwrap();
        file.write_all(format!("{first}{before}").as_bytes()).unwrap();
        let start = file.metadata().unwrap().len();
        file.set_len(start + HOLE).unwrap();
        file.write_all_at(behind.as_bytes(), start + HOLE).unwrap();
        drop(file);
        let original = outline(&room.session);
        assert!(original.2, "the filesystem has holes");

        let began = Instant::now();
        assert_eq!(ended(doctor(&[], &room.session)).code, Some(1));
        let fixed = ended(doctor(&["--fix"], &room.session));
        assert_eq!(fixed.code, Some(0), "{before}…{behind}: {fixed:?}");
        assert_eq!(room.text(), format!("{first}{left}"));
        let text = quarantine(&room);
        assert!(text.contains("\"entry\":\"nuls\"") && text.contains("\"hole\":true"), "{text}");

        let undone = ended(doctor(&["--undo"], &room.session));
        assert_eq!(undone.code, Some(0), "{undone:?}");
        assert!(outline(&room.session) == original, "{before}…{behind}");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
}

#[test]
fn long_runs_of_written_nuls_are_noted_by_their_length() {
    for (length, at) in [(1024, 0), (5000, 3), (300_000, 1), (20_000_000, 7)] {
        let room = room();
        let nuls = vec![0; length];
        let damaged =
            [b"{\"a\":1}\n", &vec![b'x'; at][..], &nuls, b"{\"b\":2}\n{\"c\":3}\n"].concat();
        fs::write(&room.session, &damaged).unwrap();
        assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
        assert_eq!(room.text(), "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
        let text = quarantine(&room);
        assert!(text.contains("\"entry\":\"nuls\"") && text.contains("\"hole\":false"), "{text}");
        assert_eq!(ended(doctor(&["--undo"], &room.session)).code, Some(0));
        assert!(fs::read(&room.session).unwrap() == damaged, "{length} at {at}");
    }
}

#[test]
fn a_run_in_the_quarantine_that_is_longer_than_the_original_fills_no_disk() {
    let room = room();
    fs::write(&room.session, [&vec![0; 5000][..], b"{\"b\":2}\n"].concat()).unwrap();
    assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
    let (text, path) = (quarantine(&room), room.dir.join("s.jsonl.damaged"));
    for length in ["5001", "900000000000000", "18446744073709551615", "4999"] {
        let other =
            text.replace("\"length\":5000,\"hole\"", &format!("\"length\":{length},\"hole\""));
        assert_ne!(other, text);
        fs::write(&path, other).unwrap();
        let undone = ended(doctor(&["--undo"], &room.session));
        assert!(undone.code == Some(1) && undone.err.contains("is damaged"), "{undone:?}");
        assert_eq!(room.text(), "{\"b\":2}\n");
    }
    fs::write(&path, text).unwrap();
    assert_eq!(ended(doctor(&["--undo"], &room.session)).code, Some(0));
}
