//! Sessions that are another user's, or shared, and what a repair keeps of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use turnlock_testing::user::{as_user, directory_of, file_of};
use turnlock_testing::{Ended, Room, am_root, ended, names, room};

use super::made::doctor;
use crate::program::TURNLOCK;

const ONE: u32 = 1001;
const OTHER: u32 = 1002;
/// The group that both are in.
const GROUP: u32 = 2000;
const DAMAGED: &str = "{\"a\":1}\n{\"torn\":\"private";

/// `turnlock doctor` as this user of the group; `None`, said aloud, where that is not possible.
fn doctor_of(uid: u32, option: &str, room: &Room) -> Option<Ended> {
    let through = as_user(uid, &[GROUP])?;
    let mut command = Command::new(&through[0]);
    command.args(&through[1..]).args([TURNLOCK, "doctor", option]).arg(&room.session);
    Some(ended(command.env_remove("TURNLOCK_TURN").env_remove("RUST_LOG")))
}

fn room_in(owner: u32, mode: u32) -> Room {
    let mut room = room();
    room.let_all_in();
    room.dir = room.dir.join("sessions");
    directory_of(owner, mode, &room.dir);
    room.session = room.dir.join("s.jsonl");
    room
}

#[test]
fn members_of_a_group_repair_and_undo_what_they_can_append_to() {
    if !am_root("can make files of others") {
        return;
    }
    // Each repairs what the one before has left, and the next undoes it.
    for users in [[OTHER, ONE, OTHER], [ONE, OTHER, 0], [0, OTHER, ONE]] {
        let room = room_in(0, 0o2770);
        chown(&room.dir, None, Some(GROUP)).unwrap();
        fs::set_permissions(&room.dir, fs::Permissions::from_mode(0o2770)).unwrap();
        file_of(ONE, 0o660, &room.session, DAMAGED);
        chown(&room.session, None, Some(GROUP)).unwrap();
        for (n, uid) in users.iter().enumerate() {
            let Some(fixed) = doctor_of(*uid, "--fix", &room) else { return };
            assert_eq!(fixed.code, Some(0), "{uid} of {users:?}: {fixed:?}");
            assert_eq!(room.text(), "{\"a\":1}\n");
            let next = users[(n + 1) % users.len()];
            let Some(undone) = doctor_of(next, "--undo", &room) else { return };
            assert_eq!(undone.code, Some(0), "{next} of {users:?}: {undone:?}");
            assert_eq!(room.text(), DAMAGED);
        }
    }
}

#[test]
fn who_may_not_append_to_a_session_of_the_group_repairs_nothing() {
    if !am_root("can make files of others") {
        return;
    }
    let room = room_in(0, 0o2770);
    chown(&room.dir, None, Some(GROUP)).unwrap();
    fs::set_permissions(&room.dir, fs::Permissions::from_mode(0o2770)).unwrap();
    file_of(ONE, 0o640, &room.session, DAMAGED);
    chown(&room.session, None, Some(GROUP)).unwrap();
    let Some(fixed) = doctor_of(OTHER, "--fix", &room) else { return };
    assert_eq!(fixed.code, Some(1), "{fixed:?}");
    assert_eq!(room.text(), DAMAGED);
    assert_eq!(names(&room.dir), ["s.jsonl"], "{fixed:?}");
}

#[test]
fn file_flags_that_a_user_may_not_set_are_said_to_be_lost() {
    if !am_root("can make files of others") {
        return;
    }
    let room = room_in(ONE, 0o700);
    file_of(ONE, 0o600, &room.session, DAMAGED);
    // To have a file's data written to the journal takes a privilege.
    let set = Command::new("chattr").arg("+jA").arg(&room.session).status();
    if !set.is_ok_and(|set| set.success()) {
        return eprintln!("skipped: chattr +jA");
    }
    let Some(fixed) = doctor_of(ONE, "--fix", &room) else { return };
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert!(fixed.out.contains("not all of its file flags could be kept"), "{fixed:?}");
    assert_eq!(room.text(), "{\"a\":1}\n");
    let flags = Command::new("lsattr").arg(&room.session).output().unwrap().stdout;
    let flags = String::from_utf8(flags).unwrap();
    let flags = flags.split(' ').next().unwrap();
    assert!(flags.contains('A') && !flags.contains('j'), "{flags}");
}

#[test]
fn what_keeps_a_file_from_being_replaced_is_named_and_can_be_taken_back() {
    for flag in ["a", "i"] {
        let room = room();
        fs::write(&room.session, DAMAGED).unwrap();
        let chattr = |sign| {
            let mut command = Command::new("chattr");
            command.arg(format!("{sign}{flag}")).arg(&room.session);
            command.status().is_ok_and(|set| set.success())
        };
        if !chattr("+") {
            return eprintln!("skipped: chattr +{flag}");
        }
        let failed = ended(doctor(&["--fix"], &room.session));
        assert!(chattr("-"));
        assert_eq!((failed.code, room.text()), (Some(1), DAMAGED.to_owned()), "{failed:?}");
        assert!(
            failed.out.contains("`chattr -a`") && failed.out.contains("`lsattr`"),
            "{failed:?}"
        );
        let fixed = ended(doctor(&["--fix"], &room.session));
        assert_eq!((fixed.code, &*room.text()), (Some(0), "{\"a\":1}\n"), "{fixed:?}");
    }
}

#[test]
fn sessions_with_the_longest_names_are_fixed_and_undone() {
    for length in 246..=250 {
        let mut room = room();
        room.session = room.dir.join("x".repeat(length - ".jsonl".len()) + ".jsonl");
        fs::write(&room.session, DAMAGED).unwrap();
        for (option, expected) in [("--fix", "{\"a\":1}\n"), ("--undo", DAMAGED)] {
            let done = ended(doctor(&[option], &room.session));
            assert_eq!(done.code, Some(0), "{length}: {done:?}");
            assert_eq!(room.text(), expected, "{length}");
        }
        ended(doctor(&["--fix"], &room.session));
        let looked = ended(doctor(&[], &room.dir));
        assert_eq!(looked.code, Some(0), "nothing else is found: {looked:?}");
        assert_eq!(room.names().len(), 2, "{:?}", room.names());
    }
}
