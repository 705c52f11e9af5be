//! Where `status` and `doctor` look: both at the same places, and what is no session is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use turnlock_testing::strace::strace_at;
use turnlock_testing::{Ended, Running, ended};

use crate::program::{TURNLOCK, turnlock};
use crate::schema::document;

const STALE: &str = r#"{"pid":1073741824,"createdAt":"2026-01-02T03:04:05.678Z"}"#;
const HEADER: &str =
    "{\"type\":\"session\",\"version\":3,\"id\":\"s\",\"timestamp\":\"\",\"cwd\":\"/\"}\n";

/// A directory for a home and more, with links resolved.
struct Room {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        Self { _dir: dir, root }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// With this room as home, and no state directory named.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = turnlock(arguments);
        command.env("HOME", &self.root).env_remove("OPENCLAW_STATE_DIR").current_dir(&self.root);
        command
    }

    fn ask(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments))
    }

    fn status(&self, paths: &[&str]) -> (Value, Option<i32>) {
        let answer = self.ask(&[&["status", "--json"], paths].concat());
        (document(&answer.out, "turnlock.status/1"), answer.code)
    }

    fn doctor(&self, arguments: &[&str]) -> (Value, Option<i32>) {
        let answer = self.ask(&[&["doctor", "--json"], arguments].concat());
        (document(&answer.out, "turnlock.doctor/1"), answer.code)
    }

    /// The same instances for both: paths in this room, and the programs.
    fn instances(&self, paths: &[&str]) -> Vec<(String, Value)> {
        let (status, doctor) = (self.status(paths).0, self.doctor(paths).0);
        assert_eq!(status["instances"], doctor["instances"]);
        let told = |instance: &Value| {
            let path = Path::new(instance["path"].as_str().unwrap());
            let path = path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
            (path, instance["program"].clone())
        };
        status["instances"].as_array().unwrap().iter().map(told).collect()
    }
}

/// Fifty instances, as a new operator finds them. Every fifth has a stale lock.
fn fifty(room: &Room) {
    for n in 0..50 {
        let sessions = format!("opt/openclaw-multi/data/oc{n}/config/agents/main/sessions");
        room.write(&format!("{sessions}/0199d2f4-6a3e-7b11-a2c4-1f0e9d8c7b6a.jsonl"), HEADER);
        if n % 5 == 0 {
            let lock = format!("{sessions}/0199d2f4-6a3e-7b11-a2c4-1f0e9d8c7b6a.jsonl.lock");
            room.write(&lock, STALE);
        }
    }
}

#[test]
fn fifty_instances_below_a_directory_are_found_listed_and_put_right() {
    let room = Room::new();
    fifty(&room);
    for top in ["opt/openclaw-multi", "opt", ".", "opt/openclaw-multi/data"] {
        let found = room.instances(&[top]);
        assert_eq!(found.len(), 50, "{top}: {found:?}");
        assert!(
            found
                .iter()
                .all(|(path, program)| { path.ends_with("/config") && program == "OpenClaw" })
        );
    }
    let (status, code) = room.status(&["opt"]);
    assert_eq!((status["locks"].as_array().unwrap().len(), code), (10, Some(0)));
    let (found, code) = room.doctor(&["opt"]);
    let counts = (&found["sessions"], &found["directories"], &found["remaining"], code);
    assert_eq!(counts, (&json!(50), &json!(50), &json!(10), Some(1)));
    let fixed = room.ask(&["doctor", "--fix", "opt"]);
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert!(
        fixed.out.contains("Instances:\n- opt/openclaw-multi/data/oc0/config (OpenClaw, 1 dir")
    );
    assert!(
        fixed
            .out
            .ends_with("Examined 50 sessions in 50 directories: 10 fixed, 0 findings remain.\n")
    );
    let healthy = room.ask(&["doctor", "opt"]);
    assert!(healthy.code == Some(0) && healthy.out.contains(": healthy.\n"), "{healthy:?}");
    let (status, code) = room.status(&["opt"]);
    assert_eq!((status["locks"].as_array().unwrap().len(), code), (0, Some(0)));
}

const LAYOUTS: [(&str, &str, &str); 8] = [
    (".openclaw", "agents/main/sessions/s.jsonl", "OpenClaw"),
    (".clawdbot", "sessions/s.jsonl", "OpenClaw"),
    (".codex", "sessions/2026/01/02/rollout-2026-01-02T03-04-05-x.jsonl", "Codex"),
    (".claude", "projects/-srv-x/9b.jsonl", "Claude Code"),
    (".copilot", "session-state/9b/events.jsonl", "Copilot CLI"),
    (".gemini", "tmp/9b/chats/session-9b.jsonl", "Gemini CLI"),
    (".moltbot", "agents/a/sessions/s.jsonl", "OpenClaw"),
    (".pi", "agent/sessions/--srv--/9b.jsonl", "pi"),
];

#[test]
fn programs_that_are_known_are_looked_at_by_default_and_changed_only_if_named() {
    let room = Room::new();
    for (home, session, _) in LAYOUTS {
        room.write(&format!("{home}/{session}.lock"), STALE);
        // What is beside the sessions is none of them.
        room.write(&format!("{home}/history.jsonl"), "{}\n");
    }
    let mut expected: Vec<_> =
        LAYOUTS.iter().map(|(home, _, program)| (home.to_string(), json!(program))).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(room.instances(&[]), expected);
    assert_eq!(room.instances(&["."]), {
        let named: Vec<_> =
            expected.iter().map(|(home, program)| (format!("./{home}"), program.clone())).collect();
        named
    });
    // Fixed are the locks of OpenClaw; the others stay, and the advice fixes them.
    let fixed = room.ask(&["doctor", "--fix"]);
    assert_eq!(fixed.code, Some(1), "{fixed:?}");
    for (home, session, program) in LAYOUTS {
        let lock = room.at(&format!("{home}/{session}.lock"));
        assert_eq!(lock.exists(), program != "OpenClaw", "{home}");
    }
    assert!(fixed.out.contains("3 fixed, 5 findings remain"), "{fixed:?}");
    let advice = fixed.out.lines().last().unwrap().trim().strip_prefix("turnlock ").unwrap();
    let mut followed = Command::new("sh");
    followed.args(["-c", &format!("\"$0\" {advice}"), TURNLOCK]);
    let followed = ended(followed);
    assert_eq!(followed.code, Some(0), "{followed:?}");
    for (home, session, _) in LAYOUTS {
        assert!(!room.at(&format!("{home}/{session}.lock")).exists(), "{home}");
    }
}

#[test]
fn a_tree_of_rollouts_is_found_wherever_it_is() {
    let room = Room::new();
    for day in ["01", "02"] {
        room.write(&format!("backup/2026/03/{day}/rollout-x.jsonl"), "{}\n");
        room.write(&format!("backup/2026/03/{day}/notes.jsonl"), "{}\n");
    }
    let found = room.instances(&["backup"]);
    assert_eq!(found[..], [("backup".to_owned(), json!("Codex"))]);
    let (found, _) = room.doctor(&["backup"]);
    assert_eq!(found["directories"], 2);
}

#[test]
fn without_anything_to_look_at_nothing_is_healthy_and_both_say_the_same() {
    let room = Room::new();
    room.write("events.ndjson", "{}\n");
    fs::create_dir(room.at("empty")).unwrap();
    fs::create_dir(room.at("empty.jsonl")).unwrap();
    for (path, words, error) in [
        (
            "/etc/passwd",
            "/etc/passwd is no session: the name of a session ends in",
            "not-a-session",
        ),
        ("events.ndjson", "events.ndjson is no session", "not-a-session"),
        ("/nope.jsonl", "no such file or directory: /nope.jsonl", "not-found"),
        ("/no/such/place", "no such file or directory: /no/such/place", "not-found"),
        ("no/such/*/place", "nothing matches no/such/*/place", "not-found"),
        ("empty", "No session found in empty", "no-sessions"),
        ("empty.jsonl", "No session found in empty.jsonl", "no-sessions"),
    ] {
        let told = |subcommand: &str| {
            let answer = room.ask(&[subcommand, path]);
            assert_eq!(answer.code, Some(1), "{subcommand} {path}: {answer:?}");
            let text = answer.out + &answer.err;
            assert!(text.contains(words) && !text.contains("healthy"), "{text}");
            assert!(!text.contains("\\u{a}"), "{text}");
            text.replace("turnlock: ", "").replace(subcommand, "SUBCOMMAND")
        };
        assert_eq!(told("status"), told("doctor"));
        let (status, doctor) = (room.status(&[path]), room.doctor(&[path]));
        assert_eq!((status.1, doctor.1), (Some(1), Some(1)));
        for answer in [status.0, doctor.0] {
            assert_eq!(answer["errors"][0]["code"], error, "{path}: {answer}");
        }
    }
    // One bad path hides nothing of the others.
    room.write("a/s.jsonl.lock", STALE);
    let (found, code) = room.doctor(&["/nope.jsonl", "a", "/etc/passwd"]);
    assert_eq!((found["findings"].as_array().unwrap().len(), code), (1, Some(1)));
    assert_eq!(found["errors"].as_array().unwrap().len(), 2);
}

#[test]
fn the_advice_finds_what_was_meant() {
    let room = Room::new();
    room.write("it's here/logs/s.jsonl", "{}\n");
    room.write("s.jsonl", "{}\n");
    for subcommand in ["status", "doctor"] {
        let follow = |answer: Ended| {
            assert_eq!(answer.code, Some(1), "{answer:?}");
            let text = answer.out + &answer.err;
            let (_, advice) = text.trim_end().rsplit_once("turnlock ").unwrap();
            let mut command = Command::new("sh");
            command.args(["-c", &format!("\"$0\" {advice}"), TURNLOCK]).current_dir(&room.root);
            let followed = ended(command.env("HOME", &room.root));
            assert_eq!(followed.code, Some(0), "{advice}: {followed:?}");
        };
        follow(room.ask(&[subcommand, "it's here"]));
        follow(room.ask(&[subcommand, "nope.jsonl"]));
    }
}

#[test]
fn what_was_set_aside_is_left_alone_and_counted() {
    let room = Room::new();
    room.write("sessions/s.jsonl", "{\"a\":1}\n");
    let aside = [
        "s.trajectory.jsonl",
        "s.jsonl.corrupt-1767225600000",
        "s.corrupt-1767225600000.jsonl",
        "s.jsonl.bak-1",
        "s.jsonl.reset.2026-01-02T03-04-05.000Z",
    ];
    for name in aside {
        room.write(&format!("sessions/{name}"), "{\"torn");
    }
    let (found, code) = room.doctor(&["--fix", "sessions"]);
    let counts = (&found["sessions"], &found["leftAlone"], &found["remaining"], code);
    assert_eq!(counts, (&json!(1), &json!(5), &json!(0), Some(0)), "{found}");
    for name in aside {
        assert_eq!(fs::read_to_string(room.at("sessions").join(name)).unwrap(), "{\"torn");
    }
    let told = room.ask(&["doctor", "sessions"]);
    assert_eq!(
        told.out,
        "Examined 1 session in 1 directory, and left alone 5 files that are none: healthy.\n"
    );
    // Whoever names one means it.
    let (found, code) = room.doctor(&["sessions/s.trajectory.jsonl"]);
    assert_eq!((&found["sessions"], code), (&json!(1), Some(1)), "{found}");
}

#[test]
fn a_search_follows_no_links_and_what_it_cannot_look_at_is_told() {
    let (room, elsewhere) = (Room::new(), Room::new());
    room.write("a/agents/main/sessions/s.jsonl", HEADER);
    elsewhere.write("agents/x/sessions/s.jsonl.lock", STALE);
    for link in ["loop", "a/loop"] {
        std::os::unix::fs::symlink("..", room.at(link)).unwrap();
    }
    std::os::unix::fs::symlink(&elsewhere.root, room.at("elsewhere")).unwrap();
    let (status, code) = room.status(&["."]);
    assert_eq!((status["locks"].as_array().unwrap().len(), code), (0, Some(0)), "{status}");
    // In the place of sessions, a link is told.
    fs::create_dir_all(room.at("a/agents/linked")).unwrap();
    let target = elsewhere.at("agents/x/sessions");
    std::os::unix::fs::symlink(target, room.at("a/agents/linked/sessions")).unwrap();
    for path in [".", "a", "a/agents"] {
        let (status, code) = room.status(&[path]);
        assert_eq!((status["locks"].as_array().unwrap().len(), code), (0, Some(1)), "{status}");
        let (found, code) = room.doctor(&["--fix", path]);
        assert_eq!(code, Some(1), "{found}");
    }
    assert!(elsewhere.at("agents/x/sessions/s.jsonl.lock").exists());
}

#[test]
fn a_directory_that_does_not_answer_is_named_and_hides_nothing_before_it() {
    let room = Room::new();
    room.write("a/agents/main/sessions/s.jsonl.lock", STALE);
    let dead = room.write("b/c/agents/main/sessions/s.jsonl", HEADER);
    let dead = dead.parent().unwrap();
    let Some(tracer) = strace_at(dead, &["inject=openat,openat2:delay_enter=600s"]) else { return };
    let mut command = Command::new(&tracer[0]);
    command.args(&tracer[1..]).args([TURNLOCK, "status", "--json"]).arg(&room.root);
    let mut status = Running::start(command.env("HOME", &room.root));
    // The tracer keeps the process for longer than it takes to answer.
    let told = document(&status.line(), "turnlock.status/1");
    assert_eq!(told["locks"].as_array().unwrap().len(), 1, "{told}");
    let message = told["errors"][0]["message"].as_str().unwrap();
    assert!(message.starts_with(dead.to_str().unwrap()), "{told}");
    assert_eq!(told["errors"][0]["code"], "no-answer");
    status.kill();
}

#[test]
fn what_a_watch_shows_is_separated_and_says_when_it_is_empty() {
    let room = Room::new();
    let lock = room.write("a/s.jsonl.lock", STALE);
    room.write("a/s.jsonl", "{}\n");
    let mut watch = Running::start(room.command(&["status", "--watch", "a"]));
    let first = watch.line();
    assert!(first.starts_with("# 20") && first.ends_with(", 1 lock"), "{first}");
    assert!(watch.line().starts_with("a/s.jsonl\tstale"));
    assert_eq!(watch.line(), "");
    fs::remove_file(&lock).unwrap();
    assert!(watch.line().ends_with(", no locks"));
    assert_eq!(watch.line(), "");
    fs::write(&lock, STALE).unwrap();
    assert!(watch.line().ends_with(", 1 lock"));
}

#[test]
fn on_a_terminal_of_80_columns_each_lock_is_a_line_below_its_instance() {
    let room = Room::new();
    fifty(&room);
    let named = "opt/openclaw-multi/data/oc7/config/agents/a-long-name-of-an-agent/sessions";
    let record = json!({
        "pid": std::process::id(), "createdAt": "2026-01-02T03:04:05.678Z",
        "starttime": turnlock_testing::start_time_of(std::process::id()),
    });
    room.write(&format!("{named}/日本語の名前-0199d2f4-6a3e-7b11.jsonl.lock"), &record.to_string());
    let Some(shown) = on_80_columns(&room, "status opt") else { return };
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let lines: Vec<_> = shown.out.lines().map(str::trim_end).collect();
    for line in &lines {
        let width = unicode_width::UnicodeWidthStr::width(*line);
        assert!(width <= 80, "{width} columns: {line}");
    }
    let starting = |words: &str| lines.iter().filter(|line| line.starts_with(words)).count();
    assert_eq!(starting("opt/openclaw-multi/data/oc"), 11, "{shown:?}");
    assert_eq!(starting("  main/0199"), 10, "{shown:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("  stale  ")).count(), 10);
    assert_eq!(lines.iter().filter(|line| line.contains("  foreign  ")).count(), 1);
    assert!(shown.out.contains("no locks in 39 more instances"), "{shown:?}");
    // The details are what one line has no room for.
    let Some(details) = on_80_columns(&room, "status -l opt") else { return };
    for words in
        ["  state       stale (dead-pid, too-old)", "  instance    opt/", "  program     OpenClaw"]
    {
        assert!(details.out.contains(words), "{details:?}");
    }
}

#[test]
fn on_a_terminal_of_80_columns_findings_are_words_and_commands_are_whole() {
    let room = Room::new();
    let name = |n: u32| format!("a/agents/main/sessions/0199d2f4-6a3e-7b11-8000-00000000000{n}");
    room.write(&(name(1) + ".jsonl"), "{\"type\":\"session\",\"id\":\"s\"}\n{\"torn");
    room.write(&(name(1) + ".jsonl.lock"), STALE);
    room.write(&(name(2) + ".jsonl"), "{\n  \"type\": \"session\",\n  \"id\": \"s\"\n}\n");
    let cycle = "{\"type\":\"session\",\"id\":\"s\"}\n\
                 {\"type\":\"message\",\"id\":\"a\",\"parentId\":\"a\",\"message\":{}}\n";
    room.write(&(name(3) + ".jsonl"), cycle);
    let Some(shown) = on_80_columns(&room, "doctor a 2>/dev/null") else { return };
    assert_eq!(shown.code, Some(1), "{shown:?}");
    let command = format!(
        "      jq -c . < '{file}' > '{file}'.new && mv '{file}'.new '{file}'",
        file = name(2) + ".jsonl"
    );
    let lines: Vec<_> = shown.out.lines().map(str::trim_end).collect();
    for line in lines.iter().filter(|line| **line != command) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for line in [
        "a",
        "  main/0199d2f4-6a3e-7b11-8000-000000000001.jsonl",
        "  main/0199d2f4-6a3e-7b11-8000-000000000001.jsonl.lock",
        "    cycle of parents: 1 record that comes back to itself, in line 2: a",
        "      reported only: programs that follow it hang: a person must decide where it",
        "      begins, and set that parent to null",
        &command,
    ] {
        assert!(lines.contains(&line), "{line}: {shown:?}");
    }
    // The list of instances may be long.
    let at = |words: &str| shown.out.find(words).unwrap();
    assert!(at("Instances:") < at("cycle of parents") && at("cycle of parents") < at("Examined"));
    let file = room.root.join(name(2) + ".jsonl");
    let mut follow = Command::new("sh");
    follow.args(["-c", command.trim()]).current_dir(&room.root);
    assert_eq!(ended(follow).code, Some(0));
    assert_eq!(fs::read_to_string(file).unwrap(), "{\"type\":\"session\",\"id\":\"s\"}\n");
}

#[test]
fn a_named_directory_without_sessions_is_told_beside_healthy_ones() {
    let room = Room::new();
    room.write("good/s.jsonl", "{}\n");
    fs::create_dir_all(room.root.join("bad/deep")).unwrap();
    fs::create_dir_all(room.root.join("st/agents/main/sessions")).unwrap();
    fs::create_dir_all(room.root.join("new/agents")).unwrap();
    for command in ["status", "doctor"] {
        let told = ended(room.command(&[command, "good", "bad"]));
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!((told.out + &told.err).contains("No session found in bad."));
        let told = ended(room.command(&[command, "--json", "good", "bad"]));
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.out.contains("no-sessions"), "{told:?}");
        // A new instance has none yet, and a pattern matches what it does.
        for paths in [["good", "st"], ["good", "new"], ["good", "*d"]] {
            let told = ended(room.command(&[&[command][..], &paths].concat()));
            assert_eq!(told.code, Some(0), "{told:?}");
        }
    }
}

#[test]
fn status_and_doctor_agree_on_what_is_no_regular_file() {
    let room = Room::new();
    room.write("real/s.jsonl", "{}\n");
    fs::create_dir_all(room.root.join("a")).unwrap();
    std::os::unix::fs::symlink("../real/s.jsonl", room.root.join("a/link.jsonl")).unwrap();
    std::os::unix::fs::symlink("nowhere", room.root.join("a/lost.jsonl")).unwrap();
    let made = Command::new("mkfifo").arg(room.root.join("a/pipe.jsonl")).status();
    assert!(made.unwrap().success());
    for (path, why) in [
        ("a/link.jsonl", "it is a symbolic link; name the file itself"),
        ("a/lost.jsonl", "it is a symbolic link; name the file itself"),
        ("a/pipe.jsonl", ""),
    ] {
        for command in ["status", "doctor"] {
            let told = ended(room.command(&[command, path]));
            assert_eq!(told.code, Some(1), "{command}: {told:?}");
            assert!((told.out + &told.err).contains(why), "{command}");
        }
    }
}

/// The command on a terminal of 80 columns, without colours.
fn on_80_columns(room: &Room, line: &str) -> Option<Ended> {
    let there = Command::new("script").arg("--version").output();
    if there.is_err() {
        eprintln!("skipped: there is no `script` to make a terminal");
        return None;
    }
    let mut command = Command::new("script");
    command.args(["-qec", &format!("stty cols 80 rows 24; {TURNLOCK} {line}"), "/dev/null"]);
    command.current_dir(&room.root).env("HOME", &room.root).env("NO_COLOR", "1");
    command.env("TERM", "xterm").env("SHELL", "/bin/sh").env_remove("OPENCLAW_STATE_DIR");
    Some(ended(command))
}
