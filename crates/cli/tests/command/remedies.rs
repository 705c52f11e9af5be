//! Every message that tells what to do is followed, to the letter, by a reader in another
//! directory. What was refused before must work afterwards.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, SystemTime};

use turnlock_testing::advice::{advised, follow, follower};
use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::process::{Doomed, Sleeper, am_root, children_named, is_installed, through};
use turnlock_testing::{
    Ended, NOBODY, Room, ended, eventually, fed, foreign_record, room, start_time_of, state_of,
    until,
};

use crate::program::{TURNLOCK, held, run, turnlock};

fn append(room: &Room) -> Ended {
    let mut command = turnlock(["append", "--timeout", "0"]);
    command.arg(&room.session);
    fed(command, "{\"a\":1}\n")
}

/// The one command that the message of a refused append advises; or of those, that with a word.
fn advice(refused: &Ended, with: &str) -> String {
    let found = advised(&refused.err);
    let mut found = found.into_iter().filter(|command| command.contains(with));
    found.next().unwrap_or_else(|| panic!("no {with} in {refused:?}"))
}

fn works(room: &Room) {
    let answer = append(room);
    assert_eq!(answer.code, Some(0), "{answer:?}");
}

/// A session whose path needs quotes.
fn odd_room() -> Room {
    Room::below("it's a $HOME")
}

#[test]
fn a_session_that_is_held_is_taken_as_advised() {
    let room = odd_room();
    let _holder = held(&room, &[]);
    let refused = append(&room);
    assert_eq!(refused.code, Some(75), "{refused:?}");
    let revoked = follow(TURNLOCK, &advice(&refused, "revoke"));
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    works(&room);
}

/// The holder and its reaper were killed, and what they ran lives on.
#[test]
fn a_dead_holder_is_told_from_a_living_one() {
    let room = room();
    let mut holder = run(&room, &[], "setsid sleep 1000 >/dev/null 2>&1 & echo ready; read go");
    assert_eq!(holder.line(), "ready");
    let reapers = children_named(holder.pid(), "turnlock");
    let left = eventually("the background process runs", || {
        let commands = reapers.iter().flat_map(|reaper| children_named(*reaper, "sh"));
        commands.flat_map(|sh| children_named(sh, "sleep")).next()
    });
    holder.signal(rustix::process::Signal::STOP);
    for reaper in &reapers {
        turnlock_testing::process::signal(*reaper, rustix::process::Signal::KILL);
    }
    holder.kill();
    until("the command has ended too", || {
        append(&room).err.contains("that process has ended, and what it started keeps the lock")
    });
    let refused = append(&room);
    assert!(!refused.err.contains("wait longer"), "{refused:?}");
    let revoked = follow(TURNLOCK, &advice(&refused, "revoke"));
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    works(&room);
    assert!(state_of(left).is_some(), "nothing was advised against it");
    turnlock_testing::process::signal(left, rustix::process::Signal::KILL);
}

#[test]
fn a_foreign_holder_is_ended_as_advised_and_no_revoke_is_advised() {
    let room = odd_room();
    let mut agent = Sleeper::new("openclaw-gateway");
    fs::write(&room.session, "{}\n").unwrap();
    let record = foreign_record(agent.pid(), Some(start_time_of(agent.pid())));
    fs::write(&room.lock, record).unwrap();
    let refused = append(&room);
    assert!(refused.code == Some(75) && !refused.err.contains("turnlock revoke"), "{refused:?}");
    // Who tries it all the same is told the same.
    let mut revoke = turnlock(["revoke", "--owner", &agent.pid().to_string()]);
    revoke.arg(&room.session);
    let told = ended(revoke);
    assert_eq!(advice(&told, "kill"), advice(&refused, "kill"), "{told:?}");
    assert_eq!(follow(TURNLOCK, &advice(&refused, "kill")).code, Some(0));
    until("it has ended", || state_of(agent.pid()).is_none_or(|state| state == 'Z'));
    works(&room);
    agent.kill();
}

#[test]
fn the_lock_of_a_program_that_cannot_be_seen_is_removed_as_advised() {
    let Some(container) = pid_namespace() else { return };
    let room = odd_room();
    let mut agent = Sleeper::new("openclaw-gateway");
    let pid = agent.pid();
    fs::write(&room.session, "{}\n").unwrap();
    fs::write(&room.lock, foreign_record(pid, Some(start_time_of(pid)))).unwrap();
    let mut command = turnlock(["append", "--timeout", "0"]);
    command.arg(&room.session);
    let refused = fed(through(&container, &command), "{}\n");
    assert_eq!(refused.code, Some(75), "{refused:?}");
    // It is another container's no longer.
    agent.kill();
    let advice = follower(TURNLOCK, &advice(&refused, "--assume-local"));
    let fixed = ended(through(&container, &advice));
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert!(!room.lock.exists());
    works(&room);
}

#[test]
fn a_lock_directory_of_proper_lockfile_is_judged_by_its_last_change() {
    let room = odd_room();
    fs::write(&room.session, "{}\n").unwrap();
    fs::create_dir(&room.lock).unwrap();
    let fresh = append(&room);
    assert!(fresh.err.contains("its owner lives") && advised(&fresh.err).is_empty(), "{fresh:?}");
    let old = SystemTime::now() - Duration::from_secs(60);
    File::open(&room.lock).unwrap().set_modified(old).unwrap();
    let stale = append(&room);
    let mut status = turnlock(["status"]);
    status.arg(&room.session);
    let seen = ended(status);
    assert!(format!("{seen:?}").contains("rmdir"), "{seen:?}");
    assert_eq!(follow(TURNLOCK, &advice(&stale, "rmdir")).code, Some(0), "{stale:?}");
    works(&room);
}

#[test]
fn what_is_no_lock_file_is_moved_away() {
    let room = room();
    symlink("nowhere", &room.lock).unwrap();
    let refused = append(&room);
    assert!(refused.err.contains("it is a symbolic link; move it away"), "{refused:?}");
    fs::rename(&room.lock, room.dir.join("away")).unwrap();
    works(&room);
}

#[test]
fn who_keeps_the_session_file_locked_is_ended() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    if !is_installed("flock") {
        return eprintln!("skipped: there is no flock");
    }
    let mut keeper = Command::new("flock");
    keeper.arg(&room.session).args(["sleep", "1000"]);
    let keeper = Doomed(keeper.spawn().unwrap());
    until("it has the lock", || append(&room).code == Some(75));
    let refused = append(&room);
    assert!(refused.err.contains("continue or end it"), "{refused:?}");
    let sleeps = children_named(keeper.pid(), "sleep");
    drop(keeper);
    sleeps.iter().for_each(|pid| turnlock_testing::process::signal(*pid, KILL));
    until("it works", || append(&room).code == Some(0));
}

const KILL: rustix::process::Signal = rustix::process::Signal::KILL;

#[test]
fn the_user_that_owns_a_session_may_write_it() {
    if !am_root("to be another user") {
        return;
    }
    let room = room();
    room.let_all_in();
    works(&room);
    fs::set_permissions(&room.session, fs::Permissions::from_mode(0o600)).unwrap();
    // The command itself is copied to where all may read.
    let public = tempfile::tempdir().unwrap();
    fs::set_permissions(public.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = public.path().join("turnlock");
    // Not by this process: a child of another test could have it open for writing.
    assert!(Command::new("cp").arg(TURNLOCK).arg(&program).status().unwrap().success());
    let user = NOBODY.min(65534).to_string();
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(program);
    stranger.args(["append", "--timeout", "0"]).arg(&room.session);
    let refused = fed(stranger, "{}\n");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("run as the user that owns it"), "{refused:?}");
    works(&room);
}

#[test]
fn what_does_not_exist_is_created_as_advised() {
    let room = room();
    let missing = room.dir.join("below/s.jsonl");
    for verb in ["append", "post"] {
        let command = |options: &[&str]| {
            let mut command = turnlock([verb]);
            command.args(options).arg(&missing);
            fed(command, "{}\n")
        };
        let refused = command(&[]);
        assert!(refused.code == Some(1) && refused.err.contains("with --create"), "{refused:?}");
        let created = command(&["--create"]);
        assert_eq!(created.code, Some(0), "{verb}: {created:?}");
        fs::remove_dir_all(missing.parent().unwrap()).unwrap();
    }
}

#[test]
fn durations_are_written_as_advised() {
    let room = room();
    let with = |timeout: &str| {
        let mut command = turnlock(["append", "--timeout", timeout]);
        command.arg(&room.session);
        fed(command, "{}\n")
    };
    let refused = with("ten");
    assert!(refused.code == Some(2) && refused.err.contains("10s, 1500ms, 0"), "{refused:?}");
    for advised in ["10s", "1500ms", "0", "none"] {
        assert_eq!(with(advised).code, Some(0), "{advised}");
    }
}

#[test]
fn inside_a_turn_that_is_over_an_append_works_as_advised() {
    let room = room();
    let script = "\"$TURNLOCK\" revoke --owner \"$(echo $PPID)\" \"$SESSION\" >/dev/null; \
                  rm -f \"$SESSION.lock\"; \
                  echo '{}' | \"$TURNLOCK\" append \"$SESSION\"; echo \"code $?\"; \
                  unset TURNLOCK_TURN; \
                  echo '{}' | \"$TURNLOCK\" append \"$SESSION\"; echo \"code $?\"";
    let answer = run(&room, &[], script).end();
    assert_eq!(answer.out, "code 1\ncode 0\n", "{answer:?}");
    assert!(answer.err.contains("TURNLOCK_TURN") && answer.err.contains("unset it"), "{answer:?}");
}

/// Inputs that are plainly something else than JSON lines, and how many records they have.
#[test]
fn an_input_of_another_form_is_named_and_made_lines_of_as_advised() {
    let utf_16 = |text: &str, mark: bool| -> Vec<u8> {
        let units = mark.then_some(0xfeff_u16).into_iter().chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    };
    let gzip = {
        let zip = follow(TURNLOCK, "echo '{\"a\":1}' | gzip -c | od -An -v -tx1");
        let bytes = zip.out.split_whitespace();
        bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect::<Vec<_>>()
    };
    for (input, name, records) in [
        (b"\xef\xbb\xbf{\"a\":1}\n{\"b\":2}\n".to_vec(), "byte order mark", 2),
        (b"{\"a\":1}\n\xef\xbb\xbf{\"b\":2}\n".to_vec(), "byte order mark", 2),
        (b"{\n  \"a\": 1\n}\n{\n  \"b\": [\n  ]\n}\n".to_vec(), "not one record per line", 2),
        (b"{\r\n  \"a\": 1\r\n}\r\n".to_vec(), "not one record per line", 1),
        (b"[\n{\"a\":1},\n{\"b\":2},\n{}\n]\n".to_vec(), "a JSON array", 3),
        (utf_16("{\"a\":1}\n", true), "UTF-16", 1),
        (utf_16("{\"a\":1}\n{}\n", false), "UTF-16", 2),
        (gzip, "compressed", 1),
    ] {
        let room = room();
        let mut command = turnlock(["append"]);
        command.arg(&room.session);
        let refused = fed(command, &input);
        assert_eq!(refused.code, Some(65), "{refused:?}");
        assert!(refused.err.contains(name), "{name}: {refused:?}");
        assert!(refused.err.contains("nothing was written") && room.text().is_empty());
        let file = room.dir.join("input");
        fs::write(&file, &input).unwrap();
        let filter = advice(&refused, "");
        let script = format!(
            "cat {} | {filter} | turnlock append {}",
            file.display(),
            room.session.display()
        );
        let appended = follow(TURNLOCK, &script);
        assert_eq!(appended.code, Some(0), "{script}: {appended:?}");
        assert_eq!(room.lines().len(), records, "{script}");
    }
    // What has one bad line is still told by its line.
    for input in ["{\"a\":1}\n{\"b\":\n", "{}\nnull x\n", "{}\n}\n"] {
        let room = room();
        let mut command = turnlock(["append"]);
        command.arg(&room.session);
        assert!(fed(command, input).err.contains("line 2 is not JSON"), "{input}");
    }
}

/// A repair that cannot remove a lock says why.
#[test]
fn the_doctor_says_why_it_removes_nothing() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    fs::write(&room.lock, foreign_record(NOBODY, Some(1))).unwrap();
    let file = File::open(&room.lock).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut command = turnlock(["doctor", "--fix"]);
    command.arg(&room.session);
    let kept = ended(command);
    assert_eq!(kept.code, Some(1), "{kept:?}");
    assert!(kept.out.contains("has the file locked at the moment"), "{kept:?}");
    assert!(!kept.out.contains("would be removed"), "{kept:?}");
}

/// `status` and `doctor` say the same of one path, and nobody is told that all is well.
#[test]
fn what_cannot_be_looked_at_is_no_success_of_either_command() {
    let room = room();
    let (file, missing) = (room.dir.join("notes.txt"), room.dir.join("none.jsonl"));
    fs::write(&file, "notes").unwrap();
    let ask = |verb: &str, path: &std::path::Path| {
        let mut command = turnlock([verb]);
        command.arg(path);
        ended(command)
    };
    for path in [&file, &missing, &room.dir.join("nothing")] {
        let [status, doctor] = ["status", "doctor"].map(|verb| ask(verb, path));
        assert_eq!((status.code, doctor.code), (Some(1), Some(1)), "{status:?} {doctor:?}");
        let plain = |told: &Ended| told.err.replace("turnlock doctor", "turnlock status");
        assert_eq!(plain(&status), plain(&doctor));
        assert!(status.out.is_empty() && doctor.out.is_empty(), "{status:?} {doctor:?}");
    }
    fs::write(&room.session, "{}\n").unwrap();
    symlink("nowhere", &room.lock).unwrap();
    for path in [&room.session, &room.dir] {
        let [status, doctor] = ["status", "doctor"].map(|verb| ask(verb, path));
        assert_eq!((status.code, doctor.code), (Some(1), Some(1)), "{status:?} {doctor:?}");
        for told in [&status, &doctor] {
            assert!(told.out.contains("it is a symbolic link; move it away"), "{told:?}");
        }
    }
}

#[test]
fn a_session_that_was_removed_during_a_run_is_accepted_as_advised() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let script = "rm \"$SESSION\"; \
                  echo '{}' | \"$TURNLOCK\" append \"$SESSION\"; echo \"code $?\"; \
                  echo '{}' | \"$TURNLOCK\" append --accept-change \"$SESSION\"; echo \"code $?\"";
    let answer = run(&room, &[], script).end();
    assert_eq!(answer.out, "code 1\ncode 0\n", "{answer:?}");
    assert!(answer.err.contains("`turnlock append --accept-change`"), "{answer:?}");
    assert_eq!(room.lines().len(), 1);
}

#[test]
fn a_command_in_a_turn_runs_without_turnlock_as_advised() {
    let room = room();
    let script = "\"$TURNLOCK\" run \"$SESSION\" -- echo inside; echo \"code $?\"; echo inside";
    let answer = run(&room, &[], script).end();
    assert_eq!(answer.out, "code 1\ninside\n", "{answer:?}");
    assert!(answer.err.contains("run the command without turnlock"), "{answer:?}");
}
