//! Hostile input: clear errors, bounded memory and time, nothing lost, nothing followed.

use std::ffi::OsStr;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use turnlock::Sessions;
use turnlock_testing::{DEADLINE, ended, room};

use super::made::{doctor, found};
use crate::program::{TURNLOCK, turnlock};

/// What a command needs at most, in KiB, whatever it is given.
const MEMORY: u64 = 32 * 1024;

/// Runs a command to its end, its output thrown away; gives its code and the most memory that it
/// had, in KiB.
fn memory_of(mut command: Command) -> (Option<i32>, u64) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let began = Instant::now();
    let code = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        most = most.max(peak.unwrap_or(0));
        if let Some(code) = child.try_wait().unwrap() {
            break code;
        }
        // Builds without optimisation, on a machine with other work, are given their time.
        if began.elapsed() > 15 * DEADLINE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} did not come to its end");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    (code.code(), most)
}

/// A lock of which nobody is alive can be taken; one that cannot be a lock file is an error that
/// says so.
fn acquires(lock_content: &[u8]) -> bool {
    let room = room();
    room.put_lock(lock_content);
    room.age_lock(Duration::from_secs(100));
    Sessions::new().turn(&room.session).try_acquire().is_ok()
}

#[test]
fn records_that_name_no_process_are_nobodys() {
    for pid in ["-1", "0", "18446744073709551616", "\"1; rm -rf /\"", "1e400", "[]", "null", "true"]
    {
        let record = format!("{{\"pid\":{pid},\"createdAt\":\"2026-01-01T00:00:00.000Z\"}}");
        assert!(acquires(record.as_bytes()), "{record}");
        let room = room();
        fs::write(&room.lock, &record).unwrap();
        fs::File::options()
            .write(true)
            .open(&room.lock)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        let (answer, ended) = found(&["--fix"], &room.dir);
        assert_eq!((&answer["fixed"], ended.code), (&json!(1), Some(0)), "{record}");
    }
    for depth in [100, 100_000] {
        assert!(acquires("[".repeat(depth).as_bytes()));
        assert!(acquires(("[".repeat(depth) + &"]".repeat(depth)).as_bytes()));
        assert!(acquires(("{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)).as_bytes()));
    }
}

#[test]
fn times_at_the_edges_are_told() {
    for time in
        ["1969-12-31T23:59:59.000Z", "-009999-01-03T00:00:00.000Z", "9999-12-30T00:00:00.000Z"]
    {
        let room = room();
        let record = json!({"pid": 1_073_741_824, "createdAt": time});
        fs::write(&room.lock, record.to_string()).unwrap();
        for mut command in [turnlock(["status"]), turnlock(["status", "--json"])] {
            command.arg(&room.session);
            let answer = ended(command);
            assert!(answer.code == Some(0) && answer.out.contains(time), "{answer:?}");
        }
        let mut command = turnlock(["revoke", "--owner", "1073741824"]);
        command.arg(&room.session);
        let answer = ended(command);
        assert!(
            answer.code == Some(0) && answer.out.contains(&format!("since {time}")),
            "{answer:?}"
        );
    }
}

#[test]
fn a_lock_file_of_100_mb_is_judged_in_little_memory() {
    let room = room();
    let huge = fs::File::create_new(&room.lock).unwrap();
    huge.set_len(100 << 20).unwrap();
    huge.write_all_at(b"{\"pid\":1,", 0).unwrap();
    huge.set_modified(std::time::UNIX_EPOCH).unwrap();
    let (code, peak) = memory_of(doctor(&["--fix"], &room.dir));
    assert_eq!(code, Some(0));
    assert!(peak < MEMORY, "{peak} KiB");
    assert!(room.names().is_empty());
}

#[test]
fn what_is_no_file_is_named_and_left_alone() {
    let room = room();
    let dir = &room.dir;
    fs::create_dir(dir.join("d.jsonl.lock")).unwrap();
    fs::create_dir(dir.join("d.jsonl")).unwrap();
    for pipe in ["f.jsonl.lock", "f.jsonl"] {
        assert!(Command::new("mkfifo").arg(dir.join(pipe)).status().unwrap().success());
    }
    symlink("/etc/passwd", dir.join("l.jsonl.lock")).unwrap();
    symlink("/etc/passwd", dir.join("l.jsonl")).unwrap();
    symlink("/etc/passwd", dir.join("l.jsonl.damaged")).unwrap();
    symlink("/etc/passwd", dir.join("l.jsonl.rewrite-01890000-0000-7000-8000-000000000000.tmp"))
        .unwrap();
    let passwd = fs::read("/etc/passwd").unwrap();

    let (answer, ended) = found(&["--fix"], dir);
    assert_eq!(ended.code, Some(1));
    let unreadable = answer["findings"].as_array().unwrap().iter().filter(|finding| {
        let problem = &finding["problem"];
        problem["kind"] == "unreadable-transcript" || problem["state"] == "unreadable"
    });
    assert_eq!(unreadable.count(), 6, "{answer}");
    assert_eq!(fs::read("/etc/passwd").unwrap(), passwd);
    for name in ["d.jsonl", "f.jsonl", "l.jsonl"] {
        let error = Sessions::new().turn(dir.join(name)).try_acquire().unwrap_err().to_string();
        assert!(error.starts_with("not a "), "{error}");
    }
}

#[test]
fn a_link_in_the_quarantines_place_is_not_followed() {
    let (room, elsewhere) = (room(), tempfile::NamedTempFile::new().unwrap());
    fs::write(&room.session, "{\"a\":1}\n{\"to").unwrap();
    symlink(elsewhere.path(), room.dir.join("s.jsonl.damaged")).unwrap();
    let (answer, ended) = found(&["--fix"], &room.dir);
    assert_eq!(
        (&answer["findings"][0]["treatment"]["action"], ended.code),
        (&json!("failed"), Some(1))
    );
    assert_eq!(room.text(), "{\"a\":1}\n{\"to", "nothing is taken out that cannot be kept");
    assert_eq!(elsewhere.path().metadata().unwrap().len(), 0);
    assert_eq!(room.names(), ["s.jsonl", "s.jsonl.damaged"]);
}

#[test]
fn control_characters_and_strange_names_reach_no_terminal() {
    let room = room();
    let evil = OsStr::from_bytes(b"\x1b[31m\x07\n\xff.jsonl");
    fs::write(room.dir.join(evil), "{\"a\":\"\\u001b[31m\"}\n{\"cut \x1b[2J he{\"b\":1}\n")
        .unwrap();
    let lock = room.dir.join(OsStr::from_bytes(b"\x1b[31m\x07\n\xff.jsonl.lock"));
    let label = "x\u{1b}]0;owned\u{7}\u{9b}31m";
    let record = json!({"pid": 1, "createdAt": "\u{1b}[2J", "protocol": "turnlock/1",
        "label": label, "host": label,
        "owner": "0198c0de-0000-7000-8000-000000000000"});
    fs::write(lock, record.to_string()).unwrap();
    // `script` gives the command a terminal.
    let wide = format!(
        "stty cols 200; {TURNLOCK} doctor {dir}; {TURNLOCK} status {dir}; \
         {TURNLOCK} read {dir}/*.jsonl",
        dir = room.dir.display()
    );
    let mut commands = vec![doctor(&[], &room.dir), doctor(&["--json"], &room.dir)];
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &wide, "/dev/null"]).env("NO_COLOR", "1").env("TERM", "dumb");
    commands.push(terminal);
    for mut command in commands {
        let Ok(answer) = command.stdin(Stdio::null()).output() else {
            eprintln!("skipped: no script(1), so no terminal");
            continue;
        };
        let shown = String::from_utf8_lossy(&answer.stdout).replace("\r\n", "\n");
        // The bar on a terminal's standard error ends with an erased line.
        let shown = shown.replace("\u{1b}[2K", "").replace('\r', "\n");
        let control = shown.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "{shown:?}");
    }
    // And the repair works under that name.
    assert_eq!(ended(doctor(&["--fix"], &room.dir)).code, Some(0));
    assert_eq!(fs::read(room.dir.join(evil)).unwrap(), b"{\"a\":\"\\u001b[31m\"}\n{\"b\":1}\n");
}

/// One line of a gigabyte, `{"a":"…"}`, of NULs on the disk where `hole`, which is damage; else of
/// spaces, which is not.
fn huge_line(path: &Path, bytes: u64, hole: bool) {
    let mut file = fs::File::create_new(path).unwrap();
    file.write_all(b"{\"a\":\"").unwrap();
    if hole {
        file.seek(SeekFrom::Start(bytes)).unwrap();
    } else {
        let blank = vec![b' '; 1 << 20];
        (0..bytes >> 20).for_each(|_| file.write_all(&blank).unwrap());
    }
    file.write_all(b"\"}\n{\"b\":2}\n").unwrap();
}

#[test]
fn a_line_of_a_gigabyte_is_read_and_judged_in_little_memory() {
    let room = room();
    // As a hole it takes no room on the disk; with blanks less does, for the disk's sake. A build
    // without optimisation takes its time.
    let (most, blank) =
        if cfg!(debug_assertions) { (40 << 20, 40 << 20) } else { (1 << 30, 128 << 20) };
    for (bytes, hole) in [(most, true), (blank, false)] {
        let _ = fs::remove_file(&room.session);
        huge_line(&room.session, bytes, hole);
        let (code, peak) = memory_of(doctor(&[], &room.dir));
        assert_eq!(code, Some(i32::from(hole)), "damaged only where it is a hole");
        assert!(peak < MEMORY, "doctor: {peak} KiB");
        for arguments in [&["read"][..], &["read", "--json"], &["read", "--tail", "2"]] {
            let mut command = turnlock(arguments);
            command.arg(&room.session);
            let (code, peak) = memory_of(command);
            assert_eq!(code, Some(0), "{arguments:?}");
            assert!(peak < MEMORY, "{arguments:?}: {peak} KiB");
        }
    }
}

#[test]
fn nesting_is_no_danger() {
    let room = room();
    for depth in [100, 100_000] {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let cut = "{\"a\":".repeat(depth);
        let text = format!(
            "{{\"type\":\"session\",\"id\":\"s\"}}\n{deep}\n{cut}\n{cut}{{\"b\":1}}\n{{\"c\":3}}\n"
        );
        fs::write(&room.session, text).unwrap();
        let answer = ended(doctor(&["--fix"], &room.dir));
        assert_eq!(answer.code, Some(0), "{answer:?}");
        // What is nested in a cut record is no record.
        let left = format!("{{\"type\":\"session\",\"id\":\"s\"}}\n{deep}\n{{\"c\":3}}\n");
        assert!(room.text() == left, "{depth} levels: {}", room.text().len());
    }
}

#[test]
fn a_directory_with_100_000_locks_is_swept_in_bounded_memory_and_time() {
    let room = room();
    let record = "{\"pid\":1073741824,\"createdAt\":\"2026-01-01T00:00:00.000Z\"}";
    for n in 0..100_000 {
        fs::write(room.dir.join(format!("{n}.jsonl.lock")), record).unwrap();
    }
    let began = Instant::now();
    let (code, peak) = memory_of(doctor(&[], &room.dir));
    let looked = began.elapsed();
    assert_eq!(code, Some(1));
    assert!(peak < 8 * MEMORY, "{peak} KiB for 100,000 findings");
    let (code, peak) = memory_of(doctor(&["--fix"], &room.dir));
    eprintln!(
        "100,000 locks: looked at in {looked:?}, looked at and removed in {:?}",
        began.elapsed()
    );
    assert_eq!(code, Some(0));
    assert!(peak < 8 * MEMORY, "{peak} KiB for 100,000 findings");
    assert!(room.names().is_empty());
}
