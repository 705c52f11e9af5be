//! Whose quarantine counts, and which of its repairs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use turnlock::Error;
use turnlock_testing::user::file_of;
use turnlock_testing::{Room, am_root, room};

use crate::sessions::buffered;

const OWNER: u32 = 1001;
const STRANGER: u32 = 1002;
const DAMAGED: &str = "{\"a\":1}\n{\"torn\":\"private";

fn quarantine(room: &Room) -> PathBuf {
    room.dir.join("s.jsonl.damaged")
}

fn repair(room: &Room) -> Result<(), Error> {
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let repaired = turn.repair_blocking().map(drop);
    turn.release_blocking().unwrap();
    repaired
}

fn restore(room: &Room) -> Result<(), Error> {
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let restored = turn.restore_blocking().map(drop);
    turn.release_blocking().unwrap();
    restored
}

/// Neither a repair nor a restore uses the quarantine, and both say why.
#[track_caller]
fn expect_refused(room: &Room, why: &str) {
    let before = fs::read(quarantine(room)).unwrap();
    for error in [repair(room).unwrap_err(), restore(room).unwrap_err()] {
        let text = error.to_string();
        assert!(text.contains("s.jsonl.damaged") && text.contains(why), "{text}");
        assert!(text.contains("move it out of the way"), "{text}");
    }
    assert_eq!(room.text(), DAMAGED);
    assert_eq!(fs::read(quarantine(room)).unwrap(), before);
}

#[test]
fn a_quarantine_that_a_stranger_made_is_refused() {
    if !am_root("can make files of others") {
        return;
    }
    for stranger_has_the_group in [false, true] {
        let room = room();
        fs::set_permissions(&room.dir, fs::Permissions::from_mode(0o777)).unwrap();
        let mode = if stranger_has_the_group { 0o660 } else { 0o600 };
        file_of(OWNER, mode, &room.session, DAMAGED);
        file_of(STRANGER, 0o600, &quarantine(&room), "");
        if stranger_has_the_group {
            chown(quarantine(&room), None, Some(OWNER)).unwrap();
        }
        expect_refused(&room, "owned by uid 1002");
        chown(quarantine(&room), Some(OWNER), Some(OWNER)).unwrap();
        repair(&room).unwrap();
        restore(&room).unwrap();
        assert_eq!(room.text(), DAMAGED);
    }
}

#[test]
fn a_quarantine_that_more_users_may_use_than_the_session_is_refused() {
    for (session, open, right) in
        [(0o600, 0o644, "0600"), (0o640, 0o660, "0640"), (0o664, 0o666, "0664")]
    {
        let room = room();
        fs::write(&room.session, DAMAGED).unwrap();
        fs::set_permissions(&room.session, fs::Permissions::from_mode(session)).unwrap();
        fs::write(quarantine(&room), "").unwrap();
        fs::set_permissions(quarantine(&room), fs::Permissions::from_mode(open)).unwrap();
        expect_refused(&room, &format!("should be {right}"));
        fs::set_permissions(quarantine(&room), fs::Permissions::from_mode(session)).unwrap();
        repair(&room).unwrap();
        restore(&room).unwrap();
        assert_eq!(room.text(), DAMAGED);
    }
}

/// Removes the marks of installation, as a crash before they are written does.
fn without_marks(room: &Room) {
    let text = fs::read_to_string(quarantine(room)).unwrap();
    let kept: Vec<_> = text.split_inclusive('\n').collect();
    let (marks, kept): (Vec<&str>, Vec<&str>) =
        kept.into_iter().partition(|line| line.contains("\"installed\""));
    assert_eq!(marks.len(), 1);
    fs::write(quarantine(room), kept.concat()).unwrap();
}

#[test]
fn a_repair_that_is_not_marked_is_undone_only_in_the_file_that_it_made() {
    let room = room();
    fs::write(&room.session, DAMAGED).unwrap();
    repair(&room).unwrap();
    without_marks(&room);
    // Another file with the same contents.
    let (made, kept) = (room.text(), room.dir.join("kept"));
    fs::rename(&room.session, &kept).unwrap();
    fs::write(&room.session, &made).unwrap();
    let error = restore(&room).unwrap_err().to_string();
    assert!(error.contains("there is no repair to undo"), "{error}");
    assert_eq!(room.text(), made);
    fs::rename(&kept, &room.session).unwrap();
    restore(&room).unwrap();
    assert_eq!(room.text(), DAMAGED);
}

/// Makes a file append-only, or not. `false`, said aloud, where that is not possible.
fn append_only(flag: &str, path: &Path) -> bool {
    let done = Command::new("chattr").arg(flag).arg(path).output();
    let done = done.is_ok_and(|done| done.status.success());
    if !done {
        eprintln!("skipped: a file cannot be made append-only here");
    }
    done
}

#[test]
fn a_repair_that_cannot_be_put_in_place_leaves_no_trace() {
    let room = room();
    for before in [None, Some("{\"kept\":1}\n")] {
        fs::write(&room.session, DAMAGED).unwrap();
        if let Some(before) = before {
            fs::write(quarantine(&room), before).unwrap();
            fs::set_permissions(quarantine(&room), fs::Permissions::from_mode(0o600)).unwrap();
            fs::set_permissions(&room.session, fs::Permissions::from_mode(0o600)).unwrap();
        }
        if !append_only("+a", &room.session) {
            return;
        }
        let failed: Vec<_> = (0..3).map(|_| repair(&room).is_err()).collect();
        let left = fs::read_to_string(quarantine(&room)).ok();
        assert!(append_only("-a", &room.session));
        assert_eq!(failed, [true; 3]);
        assert_eq!(left.as_deref(), before);
        assert_eq!(room.text(), DAMAGED);
    }
    // What failed is not undone.
    fs::write(&room.session, "{\"a\":1}\n").unwrap();
    let error = restore(&room).unwrap_err().to_string();
    assert!(error.contains("there is no repair to undo"), "{error}");
}

#[test]
fn the_doctor_leaves_alone_the_mode_of_a_file_with_several_names() {
    let room = room();
    let thesis = room.dir.join("thesis.txt");
    fs::write(&thesis, "{}\n").unwrap();
    fs::set_permissions(&thesis, fs::Permissions::from_mode(0o666)).unwrap();
    fs::hard_link(&thesis, &room.session).unwrap();
    let mode = || fs::metadata(&thesis).unwrap().permissions().mode() & 0o777;
    let examined = buffered().doctor().fix(true).examine([&room.dir], |_, _| {});
    assert_eq!(mode(), 0o666, "{examined:?}");
    assert!(format!("{examined:?}").contains("several names"), "{examined:?}");
    fs::remove_file(&thesis).unwrap();
    buffered().doctor().fix(true).examine([&room.dir], |_, _| {});
    assert_eq!(fs::metadata(&room.session).unwrap().permissions().mode() & 0o777, 0o664);
}

#[test]
fn the_doctor_leaves_alone_the_mode_of_a_planted_file() {
    if !am_root("can make files of others") {
        return;
    }
    let room = room();
    fs::set_permissions(&room.dir, fs::Permissions::from_mode(0o1777)).unwrap();
    file_of(STRANGER, 0o666, &room.session, "{}\n");
    let mode = || fs::metadata(&room.session).unwrap().permissions().mode() & 0o777;
    let examined = buffered().doctor().fix(true).examine([&room.dir], |_, _| {});
    assert_eq!(mode(), 0o666, "{examined:?}");
    assert!(format!("{examined:?}").contains("uid 1002"), "{examined:?}");
    chown(&room.session, Some(0), Some(0)).unwrap();
    buffered().doctor().fix(true).examine([&room.dir], |_, _| {});
    assert_eq!(mode(), 0o664);
}

/// Whoever may write to the quarantine adds entries, with a line of his own in a repair that was
/// made, and a repair that was not.
#[test]
fn entries_that_were_added_to_the_quarantine_restore_nothing_else() {
    use serde_json::Value;
    let made = |room: &Room| -> Vec<Value> {
        let text = fs::read_to_string(quarantine(room)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let of = |entries: &[Value], kind: &str| {
        entries.iter().find(|entry| entry["entry"] == kind).unwrap().clone()
    };
    let forged_line = |entries: &[Value]| {
        let mut piece = of(entries, "piece");
        // `{"role":"system"}` and a newline.
        piece["bytes"] = "eyJyb2xlIjoic3lzdGVtIn0K".into();
        (piece["offset"], piece["length"]) = (0.into(), 18.into());
        piece
    };
    for (in_the_repair, installed) in [(true, true), (false, false), (false, true)] {
        let room = room();
        fs::write(&room.session, DAMAGED).unwrap();
        repair(&room).unwrap();
        let repaired = room.text();
        let entries = made(&room);
        let (mut piece, mut end, mut mark) =
            (forged_line(&entries), of(&entries, "end"), of(&entries, "installed"));
        end["pieces"] = 1.into();
        if !in_the_repair {
            for entry in [&mut piece, &mut end, &mut mark] {
                entry["repair"] = "01900000-0000-7000-8000-000000000000".into();
            }
            // Only the file that the true repair has made has its trace.
            end["file"] = "1-2-3".into();
        }
        let mut added = vec![piece, end];
        added.extend(installed.then_some(mark));
        let added: String = added.iter().map(|entry| entry.to_string() + "\n").collect();
        let before = fs::read_to_string(quarantine(&room)).unwrap();
        fs::write(quarantine(&room), before + &added).unwrap();
        let restored = restore(&room);
        assert!(!room.text().contains("system"), "{restored:?}");
        let expected = if installed { repaired.as_str() } else { DAMAGED };
        assert_eq!(room.text(), expected, "{in_the_repair}, {installed}: {restored:?}");
        assert_eq!(restored.is_err(), installed, "{restored:?}");
    }
}
