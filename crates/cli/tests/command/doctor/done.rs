//! What is done is told as done, whatever fails afterwards.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use turnlock_testing::{Running, ended, room};

use super::made::doctor;
use crate::program::TURNLOCK;

#[test]
fn an_undo_that_cannot_be_noted_in_the_quarantine_is_done_all_the_same() {
    let room = room();
    let damaged = "cut\n{\"a\":1}\n".repeat(20);
    fs::write(&room.session, &damaged).unwrap();
    assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
    // Below the quarantine's length, and above that of all other files.
    assert!(fs::metadata(room.dir.join("s.jsonl.damaged")).unwrap().len() > 2048);
    let undo = || {
        let mut limited = Command::new("sh");
        limited
            .args(["-c", "ulimit -f 2 && exec \"$0\" doctor --undo \"$1\"", TURNLOCK])
            .arg(&room.session);
        limited.env_remove("TURNLOCK_TURN").env("RUST_LOG", "turnlock=warn");
        ended(limited)
    };
    let undone = undo();
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert!(
        undone.err.contains("s.jsonl.damaged") && undone.err.contains("raise the file size limit"),
        "{undone:?}"
    );
    assert_eq!(room.text(), damaged);
    let again = undo();
    assert!(again.code == Some(1) && again.err.contains("there is nothing to undo"), "{again:?}");
}

#[test]
fn a_repair_and_an_undo_whose_lock_is_removed_once_the_file_is_in_place_are_done() {
    for arguments in [["--fix"], ["--undo"]].repeat(15) {
        let room = room();
        fs::write(&room.session, "{\"a\":1}\ncut\n").unwrap();
        if arguments == ["--undo"] {
            assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
        }
        let which = || fs::metadata(&room.session).unwrap().ino();
        let before = which();
        let mut running = Running::start(doctor(&arguments, &room.session));
        // Without sleeping: the moment is a short one.
        while which() == before && !running.has_ended() {}
        let _ = fs::remove_file(&room.lock);
        let done = running.end();
        assert_ne!(which(), before);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    }
}
