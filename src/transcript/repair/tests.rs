use super::super::quarantine::mark_undone;
use super::super::restore::{RestoreError, restore, take_back};
use super::super::scan::MAX_SAVED;
use super::*;
use DamageKind::*;

/// A session file, its quarantine on disk, and the story of its repairs.
struct Session {
    file: Vec<u8>,
    quarantine: tempfile::NamedTempFile,
}

impl Session {
    fn new(file: impl AsRef<[u8]>) -> Self {
        let file = file.as_ref().to_vec();
        let quarantine = tempfile::NamedTempFile::new().unwrap();
        Self { file, quarantine }
    }

    fn repair(&mut self) -> Repair {
        let original = std::mem::take(&mut self.file);
        let length = original.len() as u64;
        repair(&&original[..], length, &mut self.file, &mut self.quarantine).unwrap()
    }

    fn undo(&mut self) -> Result<(), RestoreError> {
        let mut out = Vec::new();
        let length = self.file.len() as u64;
        let restored = restore(&&self.file[..], length, self.quarantine.as_file(), &mut out)?;
        mark_undone(&mut self.quarantine, restored.repair).unwrap();
        self.file = out;
        Ok(())
    }

    fn entries(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.quarantine.path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[track_caller]
fn repaired(original: &str, expected: &str) {
    let mut session = Session::new(original);
    assert!(session.repair().changed());
    assert_eq!(String::from_utf8_lossy(&session.file), expected);
    assert!(!session.repair().changed(), "healthy now");
    session.file = expected.into();
    session.undo().unwrap();
    assert_eq!(String::from_utf8_lossy(&session.file), original);
}

#[test]
fn each_kind_of_damage_is_put_right() {
    repaired("{\"a\":1}\n{\"b\":\"cut", "{\"a\":1}\n");
    repaired("{\"a\":1}\n{\"b\":2}", "{\"a\":1}\n{\"b\":2}\n");
    repaired("{\"a\":1}{\"b\":2}\n", "{\"a\":1}\n{\"b\":2}\n");
    repaired("{\"a\":\"cu{\"b\":2}\n{\"c\":3}\n", "{\"b\":2}\n{\"c\":3}\n");
    repaired("\0\0{\"a\":1}\0{\"b\":2}\0\n\0\0", "{\"a\":1}\n{\"b\":2}\n");
    repaired("hello\n{\"a\":1}\nworld\n", "{\"a\":1}\n");
    repaired("{\"a\":1}{\"b\":\"cut", "{\"a\":1}\n");
    repaired("hello", "");
}

#[test]
fn blank_lines_and_carriage_returns_stay() {
    repaired("\r\n{\"a\":1}\r\n\n  \nx\r\n{\"b\":1}\r\n", "\r\n{\"a\":1}\r\n\n  \n{\"b\":1}\r\n");
}

#[test]
fn a_healthy_file_is_not_written() {
    let mut session = Session::new("{\"a\":1}\n\n[2]\n");
    let repair = session.repair();
    assert!(!repair.changed());
    assert_eq!((repair.survey.lines, repair.original_length), (2, 13));
    assert!(session.file.is_empty() && session.entries().is_empty());
    assert!(matches!(session.undo(), Err(RestoreError::NothingToUndo)));
}

#[test]
fn the_quarantine_says_what_was_taken_out_and_why() {
    let mut session = Session::new("{\"a\":\"cu{\"b\":2}{\"c\":3}\n");
    let report = session.repair();
    assert_eq!(report.survey.damages, [(Splice, 1)].into());
    assert_eq!((report.survey.records_saved, report.survey.lines), (2, 0));
    assert_eq!((report.survey.bytes_removed, report.survey.newlines_inserted), (8, 1));
    assert_eq!((report.original_length, report.repaired_length), (23, 16));
    let entries = session.entries();
    assert_eq!(entries.len(), 5);
    assert_eq!(entries[0]["entry"], "begin");
    assert_eq!(entries[0]["originalLength"], 23);
    assert_eq!(entries[1]["offset"], 0);
    assert_eq!(entries[1]["length"], 8);
    assert_eq!(entries[1]["reason"], "splice");
    assert_eq!(entries[1]["bytes"], "eyJhIjoiY3U=");
    assert_eq!(entries[1]["inserted"], "");
    assert_eq!(entries[2]["offset"], 15);
    assert_eq!(entries[2]["inserted"], "\n");
    assert_eq!(entries[3]["entry"], "end");
    assert_eq!(entries[3]["original"]["length"], 23);
    assert_eq!(entries[3]["repaired"]["length"], 16);
    assert_eq!(entries[4]["entry"], "installed");
    let time = entries[1]["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    assert_eq!(entries[0]["repair"], report.id.unwrap().to_string());
}

#[test]
fn a_large_piece_comes_in_several_entries() {
    let mut session = Session::new([&vec![b'x'; 3 * PIECE + 5][..], b"{\"a\":1}\n"].concat());
    let original = session.file.clone();
    session.repair();
    assert_eq!(session.entries().len(), 3 + 4);
    assert_eq!(session.file, b"{\"a\":1}\n");
    session.undo().unwrap();
    assert_eq!(session.file, original);
    let junk = "x".repeat(3 * PIECE);
    repaired(&format!("{{\"a\":1}}{junk}{{\"b\":2}}\n"), "{\"a\":1}\n{\"b\":2}\n");
}

#[test]
fn many_records_on_one_line_get_a_line_each() {
    for count in [MAX_SAVED - 1, MAX_SAVED, MAX_SAVED + 1, 3 * MAX_SAVED] {
        for end in ["\n", "", "x\n", "{\"cut"] {
            let original = "{\"a\":1}".repeat(count) + end;
            repaired(&original, &"{\"a\":1}\n".repeat(count));
        }
    }
}

#[test]
fn edits_that_touch_each_other_are_one() {
    let mut session = Session::new(b"{\"a\":1}\nx\ny\nz{\"b\":1}\n\xffx\n");
    session.repair();
    assert_eq!(session.file, b"{\"a\":1}\n{\"b\":1}\n");
    let lengths: Vec<_> =
        session.entries().iter().filter_map(|one| one["length"].as_u64()).collect();
    assert_eq!(lengths, [4, 1, 3], "not across two kinds of damage");
}

#[test]
fn the_quarantine_is_no_larger_than_stated() {
    // The unit, how often, and how many bytes are taken out or inserted for each.
    for (unit, edits) in [
        ("{}", 1),
        ("{\"a\":1}", 1),
        ("x{\"\":1}", 2),
        ("x\n", 2),
        ("x\n1\n", 2),
        ("x\n\n", 2),
        ("{\"a\":1}x\n", 1),
        ("{}{}\n", 1),
    ] {
        for times in [1, 31, 32, 33, 40_000] {
            let original = unit.repeat(times);
            let mut session = Session::new(&original);
            let survey = session.repair().survey;
            let size = session.quarantine.as_file().metadata().unwrap().len();
            let lines: u64 = survey.damages.values().sum();
            let most = 16 * 1024 + 2 * (edits * times as u64) + 16 * lines;
            assert!(size <= most, "{unit:?} {times} times: {size} of {most} bytes");
            assert!(size <= 2 * original.len() as u64 + 16 * 1024, "{unit:?}: {size}");
            session.undo().unwrap();
            assert!(session.file == original.as_bytes());
        }
    }
}

/// Before, every edit had an entry of its own.
#[test]
fn a_quarantine_with_an_entry_for_every_edit_is_undone() {
    let (count, id, time) = (100, Uuid::now_v7(), "2026-01-01T00:00:00.000Z");
    let original = "{\"a\":1}".repeat(count) + "\n";
    let file = "{\"a\":1}\n".repeat(count);
    let print = |text: &str| {
        let mut tally = Tally::new(io::sink());
        tally.put(text.as_bytes()).unwrap();
        tally.fingerprint()
    };
    let mut session = Session::new(&file);
    let begin = Entry::Begin { repair: id, time: time.into(), original_length: 701 };
    write_entry(&mut session.quarantine, &begin).unwrap();
    for piece in 1..count as u64 {
        let text = format!(
            "{{\"entry\":\"piece\",\"repair\":\"{id}\",\"offset\":{},\"length\":0,\"reason\":\
             \"missing-newline\",\"bytes\":\"\",\"inserted\":\"\\n\",\"time\":\"{time}\"}}\n",
            piece * 7
        );
        session.quarantine.write_all(text.as_bytes()).unwrap();
    }
    let (original_print, repaired, time) = (print(&original), print(&file), time.to_owned());
    let pieces = count as u64 - 1;
    let end =
        Entry::End { repair: id, time, pieces, original: original_print, repaired, file: None };
    write_entry(&mut session.quarantine, &end).unwrap();
    mark_installed(&mut session.quarantine, id).unwrap();
    session.undo().unwrap();
    assert_eq!(session.file, original.as_bytes());
}

#[test]
fn the_latest_of_very_many_repairs_is_found_at_once() {
    let mut session = Session::new("{\"a\":1}\ncut");
    session.repair();
    let story = std::fs::read(session.quarantine.path()).unwrap();
    let id = session.entries()[0]["repair"].as_str().unwrap().to_owned();
    let mut many = Vec::new();
    for _ in 0..20_000 {
        let other = Uuid::now_v7().to_string();
        many.extend_from_slice(String::from_utf8_lossy(&story).replace(&id, &other).as_bytes());
    }
    std::fs::write(session.quarantine.path(), [many, story].concat()).unwrap();
    let started = std::time::Instant::now();
    session.undo().unwrap();
    assert_eq!(session.file, b"{\"a\":1}\ncut");
    // 2 s in a debug build. It was quadratic.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn repairs_are_taken_back_one_after_the_other() {
    let mut session = Session::new("{\"a\":1}\ncut");
    let first = session.file.clone();
    session.repair();
    session.file.extend(b"{\"b\":2}\nagain");
    let second = session.file.clone();
    session.repair();
    assert_eq!(session.file, b"{\"a\":1}\n{\"b\":2}\n");
    session.undo().unwrap();
    assert_eq!(session.file, second);
    session.undo().unwrap();
    assert_eq!(session.file, [&first[..], b"\n{\"b\":2}\nagain"].concat());
    assert!(matches!(session.undo(), Err(RestoreError::NothingToUndo)));
}

#[test]
fn nothing_is_taken_back_when_what_the_repair_left_was_changed() {
    let mut session = Session::new("{\"a\":1}\ncut");
    session.repair();
    for changed in [&b"{\"a\":2}\n"[..], b"{\"a\":1}", b"{\"a\":2}\n{\"b\":2}\n", b""] {
        session.file = changed.to_vec();
        let error = session.undo().unwrap_err();
        let now = format!("(8 bytes then, {} now)", changed.len());
        assert!(error.to_string().contains(&now), "{error}");
    }
    for original in ["{\"a\":1}\ncut", "{\"a\":1}\ncut\n{\"b\":2}\n"] {
        session.file = original.as_bytes().to_vec();
        assert!(matches!(session.undo(), Err(RestoreError::AlreadyOriginal { .. })));
    }
}

#[test]
fn what_was_appended_since_follows_the_original_on_lines_of_its_own() {
    for (original, appended, expected) in [
        ("{\"a\":1}\ncut", "{\"b\":2}\n", "{\"a\":1}\ncut\n{\"b\":2}\n"),
        ("{\"a\":1}\ncut", "{\"b\":2}\n{\"to", "{\"a\":1}\ncut\n{\"b\":2}\n{\"to"),
        ("cut\n{\"a\":1}\n", "{\"b\":2}\n", "cut\n{\"a\":1}\n{\"b\":2}\n"),
        ("{\"a\":1}", "{\"b\":2}\n", "{\"a\":1}\n{\"b\":2}\n"),
        ("cut\n{\"a\":1}", "{\"b\":2}\n", "cut\n{\"a\":1}\n{\"b\":2}\n"),
        ("nothing left", "{\"b\":2}\n", "nothing left\n{\"b\":2}\n"),
        ("{\"a\":1}\ncut", "\n{\"b\":2}\n", "{\"a\":1}\ncut\n{\"b\":2}\n"),
    ] {
        let mut session = Session::new(original);
        session.repair();
        session.file.extend(appended.as_bytes());
        session.undo().unwrap();
        assert_eq!(String::from_utf8_lossy(&session.file), expected);
        assert!(matches!(session.undo(), Err(RestoreError::NothingToUndo)));
    }
}

#[test]
fn a_damaged_quarantine_is_refused() {
    let mut session = Session::new("{\"a\":1}\ncut\n{\"b\":1}{\"c\":1}\n");
    session.repair();
    let good = std::fs::read_to_string(session.quarantine.path()).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let without = |index: usize| {
        let mut lines = lines.clone();
        lines.remove(index);
        lines.join("\n")
    };
    for (bad, why) in [
        (without(1), "pieces are missing"),
        (good.replace("Y3V0", "Y3V1"), "the digest differs"),
        (good.replace("Y3V0", "Y3"), "cannot be decoded"),
        (good.replace("\"offset\":8", "\"offset\":80"), "became shorter"),
        (good.replace("\"offset\":8", "\"offset\":18446744073709551615"), ""),
        (good.replace("\"offset\":19", "\"offset\":1"), "pieces overlap"),
        (without(3), "there is no repair"),
    ] {
        std::fs::write(session.quarantine.path(), bad).unwrap();
        let error = session.undo().unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    // A torn entry before it, as a crashed repair leaves it, does no harm.
    std::fs::write(session.quarantine.path(), format!("{}{good}", &lines[1][..40])).unwrap();
    session.undo().unwrap();
}

#[test]
fn a_repair_counts_once_it_is_known_to_be_in_place() {
    let original = &b"{\"a\":1}\n{\"torn"[..];
    let length = original.len() as u64;
    let (mut file, mut notes) = (Vec::new(), Vec::new());
    let (made, moves) = (Some("1-2-3".to_owned()), &mut Moves::default());
    take_out(&original, length, None, made, &mut file, &mut notes, moves).unwrap();
    let undone = |trace: Option<&str>| {
        let mut out = Vec::new();
        let (len, moves) = (file.len() as u64, &mut Moves::default());
        take_back(&&file[..], len, trace, &&notes[..], &mut out, moves).map(|_| out)
    };
    assert!(matches!(undone(None), Err(RestoreError::NothingToUndo)));
    assert!(matches!(undone(Some("1-2-4")), Err(RestoreError::NothingToUndo)));
    assert_eq!(undone(Some("1-2-3")).unwrap(), original);
}
