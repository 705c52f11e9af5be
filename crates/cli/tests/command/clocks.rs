//! What the command tells of ages while the wall clock jumps.

use std::fs;
use std::process::{Command, Stdio};

use turnlock_testing::clock::{Clock, HOUR};
use turnlock_testing::{Room, Running, room};

use crate::program::{TURNLOCK, run};

/// The years 1970 and 2199, in seconds.
const EXTREMES: [i64; 2] = [1000, 7_243_000_000];

/// The record of a foreign owner, a process that does not exist.
const DEAD: &str = r#"{"pid":1073741824,"createdAt":"2026-01-01T00:00:00.000Z"}"#;

/// A turn whose holder appends each line that it is told.
fn appender(room: &Room) -> Running {
    let script = "echo ready; while read -r line; do \
                  printf '%s\\n' \"$line\" | $TURNLOCK append $SESSION && echo appended; done";
    let mut holder = run(room, &[], script);
    assert_eq!(holder.line(), "ready");
    holder
}

fn append(holder: &mut Running, line: &str) {
    holder.say(&format!("{line}\n"));
    assert_eq!(holder.line(), "appended");
}

fn by(clock: &Clock, room: &Room, program: &[&str]) -> Command {
    let mut command = clock.command(program);
    command.current_dir(&room.dir).env_remove("TURNLOCK_TURN").stdin(Stdio::null());
    command
}

/// What `turnlock` says by this clock, in the directory of the session.
fn told(clock: &Clock, room: &Room, arguments: &[&str], code: i32) -> String {
    let output = by(clock, room, &[&[TURNLOCK], arguments].concat()).output().unwrap();
    let [out, err] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
    out + &err
}

/// What a person would see; `script` gives the command a terminal.
fn on_a_terminal(clock: &Clock, room: &Room, command: &str) -> Option<String> {
    let line = format!("stty cols 200; {TURNLOCK} {command}");
    let mut script = by(clock, room, &["script", "-qec", &line, "/dev/null"]);
    let output = script.env("NO_COLOR", "1").env("TERM", "dumb").output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        eprintln!("skipped: no script(1), so no terminal");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The `ageMs` in a message, in hours.
fn hours(message: &str) -> i64 {
    let (_, age) = message.split_once("ageMs=").unwrap();
    let digits = age.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    digits.parse::<i64>().unwrap() / 1000 / HOUR
}

#[test]
fn ages_make_sense_by_any_clock() {
    let Some(clock) = Clock::new() else { return };
    let room = room();
    let mut holder = appender(&room);
    append(&mut holder, r#"{"n":1}"#);
    for (name, content) in [("dead", DEAD), ("empty", "")] {
        fs::write(room.dir.join(format!("{name}.jsonl.lock")), content).unwrap();
    }
    let leftover = ".turnlock-019aab5e-0000-7000-8000-000000000000.tmp";
    fs::write(room.dir.join(leftover), "").unwrap();
    let settings: [&dyn Fn(); 5] = [
        &|| clock.set(0),
        &|| clock.set(5 * HOUR),
        &|| clock.set(-5 * HOUR),
        &|| clock.set_to(EXTREMES[0]),
        &|| clock.set_to(EXTREMES[1]),
    ];
    for (n, set) in settings.iter().enumerate() {
        set();
        let locks = told(&clock, &room, &["status", "."], 0);
        assert!(locks.contains("s.jsonl\theld"), "{locks}");
        let found = told(&clock, &room, &["doctor", "--json", "."], 1);
        assert!(found.contains("dead-pid"), "{found}");
        let refused = told(&clock, &room, &["run", "--timeout", "0", "s.jsonl", "--", "true"], 75);
        // A hold that begins in the future has no age yet.
        assert_eq!(hours(&refused).min(6), [0, 5, 0, 0, 6][n], "{refused}");
        let shown = on_a_terminal(&clock, &room, "status .");
        let sensible = |shown: &String| shown.contains(" ago") && !shown.contains(" -");
        assert!(shown.as_ref().is_none_or(sensible), "setting {n}: {shown:?}");
    }
    // A repair leaves what the living hold.
    clock.set(-5 * HOUR);
    told(&clock, &room, &["doctor", "--fix", "."], 0);
    append(&mut holder, r#"{"n":2}"#);
    assert_eq!(holder.end().code, Some(0));
    let left: Vec<_> = fs::read_dir(&room.dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["s.jsonl"]);
}
