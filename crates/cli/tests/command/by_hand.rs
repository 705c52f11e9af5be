//! The page `docs/from-rm-to-turnlock.md`: every command block of it is run, in a home where it has
//! something to do.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use turnlock_testing::advice::follower;
use turnlock_testing::port::free_port;
use turnlock_testing::process::is_installed;
use turnlock_testing::{Ended, NOBODY, Running, ended, foreign_record, until};

use crate::program::{TURNLOCK, turnlock};

const PAGE: &str = include_str!("../../../../docs/from-rm-to-turnlock.md");

const HEADER: &str = concat!(
    r#"{"type":"session","version":3,"id":"4f2c","timestamp":"2026-04-15T10:00:00.000Z","#,
    r#""cwd":"/"}"#
);
const LINE: &str = r#"{"type":"custom","id":"a","parentId":null}"#;

/// A gateway that serves its health at the port that it is told.
const GATEWAY: &str = "import http from 'node:http';
http.createServer((_, answer) => answer.end('{\"ok\":true}'))
    .listen(+process.env.OPENCLAW_GATEWAY_PORT, '127.0.0.1');
";

/// A home with a state directory, a session and a config.
struct Home {
    dir: tempfile::TempDir,
    sessions: PathBuf,
    session: PathBuf,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sessions = dir.path().join(".openclaw/agents/main/sessions");
        fs::create_dir_all(&sessions).unwrap();
        let session = sessions.join("4f2c.jsonl");
        fs::write(&session, format!("{HEADER}\n{LINE}\n")).unwrap();
        let home = Self { sessions, session, dir };
        home.write(".openclaw/openclaw.json", &format!("{{gateway: {{port: {}}}}}", free_port()));
        home.write("gateway.mjs", GATEWAY);
        home
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A shell in this home, which finds turnlock.
    fn shell(&self, script: &str) -> Command {
        let mut command = follower(TURNLOCK, &format!("set -e\n{script}"));
        for name in
            ["OPENCLAW_STATE_DIR", "OPENCLAW_CONFIG_PATH", "OPENCLAW_GATEWAY_PORT", "TURNLOCK_TURN"]
        {
            command.env_remove(name);
        }
        for name in ["OPENCLAW_PROFILE", "OPENCLAW_GATEWAY_TOKEN", "INVOCATION_ID"] {
            command.env_remove(name);
        }
        command.env("HOME", self.dir.path()).current_dir(self.dir.path());
        command
    }

    fn run(&self, script: &str) -> Ended {
        ended(self.shell(script))
    }

    fn lock(&self) -> PathBuf {
        self.sessions.join("4f2c.jsonl.lock")
    }

    /// A lock that a dead program has left.
    fn stale_lock(&self) -> PathBuf {
        fs::write(self.sessions.join("old.jsonl"), format!("{HEADER}\n")).unwrap();
        let lock = self.sessions.join("old.jsonl.lock");
        fs::write(&lock, foreign_record(NOBODY, Some(1))).unwrap();
        lock
    }

    /// A turn on the session, until it is dropped.
    fn held(&self) -> Running {
        let mut command = turnlock(["run"]);
        command.arg(&self.session).args(["--", "sh", "-c", "echo ready; read go"]);
        let mut holder = Running::start(command);
        assert_eq!(holder.line(), "ready");
        holder
    }

    fn is_healthy(&self) -> bool {
        self.run("turnlock gateway status --require-healthy").code == Some(0)
    }

    /// A gateway that runs in the background, as the page starts it.
    fn gateway(&self) -> Running {
        let running = Running::start(self.shell("exec turnlock gateway run -- node gateway.mjs"));
        until("it is healthy", || self.is_healthy());
        running
    }

    fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.session).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The blocks of commands below a heading.
fn blocks(heading: &str) -> Vec<String> {
    let (_, rest) = PAGE
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("there is no {heading:?} on the page"));
    let section = rest.split("\n## ").next().unwrap();
    let blocks = section.split("\n```sh\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

/// The one block below a heading.
fn block(heading: &str) -> String {
    let mut blocks = blocks(heading);
    assert_eq!(blocks.len(), 1, "{heading}");
    blocks.remove(0)
}

fn has_node() -> bool {
    is_installed("node") || {
        eprintln!("skipped: there is no node");
        false
    }
}

/// Every heading with a block has a test here.
#[test]
fn no_block_of_the_page_is_forgotten() {
    let tested = include_str!("by_hand.rs");
    for section in PAGE.split("\n## ").skip(1) {
        let heading = section.lines().next().unwrap();
        assert!(section.contains("\n```text\n") && section.contains("\n```sh\n"), "{heading}");
        assert!(tested.contains(&format!("\"{heading}\"")), "{heading}");
    }
}

#[test]
fn locks_that_were_left_behind() {
    let home = Home::new();
    let stale = home.stale_lock();
    let _holder = home.held();
    let answer = home.run(&block("Remove locks that were left behind"));
    assert!(answer.code == Some(0) && !stale.exists() && home.lock().exists(), "{answer:?}");
}

#[test]
fn who_holds_a_session() {
    let home = Home::new();
    home.stale_lock();
    let holder = home.held();
    let answer = home.run(&block("See who holds a session"));
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let pid = format!("\t{}\t", holder.pid());
    assert!(answer.out.contains(&pid) && answer.out.contains("stale"), "{answer:?}");
}

#[test]
fn a_session_of_a_process_that_hangs() {
    let home = Home::new();
    let holder = home.held();
    holder.signal(rustix::process::Signal::STOP);
    let answer = home.run(&block("Take a session from a process that hangs"));
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(!home.lock().exists() && answer.out.contains("taken from"), "{answer:?}");
}

#[test]
fn a_line_more() {
    let home = Home::new();
    let blocks = blocks("Wait until a session is free, and add a line");
    let mut holder = home.held();
    let append = Running::start(home.shell(&blocks[0]));
    let posted = home.run(&blocks[1]);
    assert_eq!(posted.code, Some(0), "{posted:?}");
    holder.say("go\n");
    assert_eq!(append.end().code, Some(0));
    let records = home.records();
    let kinds: Vec<_> = records[2..].iter().map(|record| &record["customType"]).collect();
    assert_eq!(kinds, ["cron", "note"]);
    assert_eq!(holder.end().code, Some(0));
}

#[test]
fn a_script_that_works_on_a_session() {
    let home = Home::new();
    let script = home.sessions.join("compact.sh");
    fs::write(&script, "#!/bin/sh\ntest -e \"$1.lock\" && echo \"$1 is held\"\n").unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&script).status().unwrap().success());
    let answer = home.run(&block("Work on a session in a script"));
    assert_eq!((answer.code, &*answer.out), (Some(0), "4f2c.jsonl is held\n"), "{answer:?}");
    assert!(!home.lock().exists());
}

#[test]
fn the_end_of_a_session() {
    let home = Home::new();
    let torn = format!("{HEADER}\n{{\"torn\":\n{LINE}\n");
    fs::write(&home.session, torn).unwrap();
    let answer = home.run(&block("Look at the end of a session"));
    assert!(answer.out.contains(HEADER) && answer.out.contains(LINE), "{answer:?}");
}

#[test]
fn a_session_that_no_longer_loads() {
    let home = Home::new();
    let damaged = format!("{HEADER}\n{LINE}\n{{\"type\":\"cus\0\0\0\n");
    fs::write(&home.session, &damaged).unwrap();
    let blocks = blocks("Repair a session that no longer loads");
    let looked = home.run(&blocks[0]);
    assert_eq!(looked.code, Some(1), "{looked:?}");
    assert_eq!(fs::read_to_string(&home.session).unwrap(), damaged);
    let fixed = home.run(&blocks[1]);
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert_eq!(home.records().len(), 2);
    let undone = home.run(&blocks[2]);
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(fs::read_to_string(&home.session).unwrap(), damaged);
}

#[test]
fn whether_the_gateway_runs_and_how_it_is_stopped() {
    if !has_node() {
        return;
    }
    let home = Home::new();
    let none = home.run(&block("See whether the gateway runs"));
    assert_eq!(none.code, Some(1), "{none:?}");
    let mut gateway = home.gateway();
    let answer = home.run(&block("See whether the gateway runs"));
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.out.contains("(a process of the owner)"), "{answer:?}");
    assert!(answer.out.contains("is healthy"), "{answer:?}");
    let stopped = home.run(&block("Stop the gateway"));
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    // By the signal, for which the program has no handler.
    assert_eq!(gateway.wait().code(), Some(128 + 15));
}

#[test]
fn how_the_gateway_is_started_and_restarted() {
    if !has_node() {
        return;
    }
    let home = Home::new();
    let in_background = |heading: &str| {
        let script = format!("{} wait $!", block(heading));
        Running::start(home.shell(&script.replace("& wait", "&\nwait")))
    };
    let first = in_background("Start the gateway");
    until("it is healthy", || home.is_healthy());
    // Where one runs already, there is nothing to do.
    let again = in_background("Start the gateway").end();
    assert!(again.code == Some(0) && again.err.contains("nothing to do"), "{again:?}");
    let second = in_background("Restart the gateway");
    assert_eq!(first.end().code, Some(128 + 15));
    until("it is healthy again", || home.is_healthy());
    let stopped = home.run(&block("Stop the gateway"));
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert_eq!(second.end().code, Some(128 + 15));
}

#[test]
fn a_gateway_that_is_ill() {
    if !has_node() {
        return;
    }
    let home = Home::new();
    let script = block("Restart it from cron when it is ill");
    let gone = home.run(&script);
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(gone.err.contains(".openclaw: refused"), "{gone:?}");
    let mut gateway = home.gateway();
    let well = home.run(&script);
    assert!(well.code == Some(0) && well.err.is_empty(), "{well:?}");
    gateway.kill();
}

#[test]
fn what_an_interrupted_start_left() {
    let home = Home::new();
    let reclaim = home.dir.path().join(".openclaw/gateway.0a0b0c0d.lock.reclaim");
    fs::create_dir(&reclaim).unwrap();
    let old = SystemTime::now() - Duration::from_secs(3600);
    File::open(&reclaim).unwrap().set_modified(old).unwrap();
    let lock = home.dir.path().join(".openclaw/gateway.state.lock");
    fs::write(&lock, foreign_record(NOBODY, Some(1))).unwrap();
    let answer = home.run(&block("Remove what an interrupted start left"));
    assert!(answer.code == Some(0) && !reclaim.exists() && !lock.exists(), "{answer:?}");
}

#[test]
fn two_gateways_that_keep_apart_or_not() {
    let home = Home::new();
    let script = block("Check that two gateways keep apart");
    home.write(".openclaw/openclaw.json", "{gateway: {port: 20000}}");
    let workspace = "agents: {defaults: {workspace: '~/work'}}";
    for (port, code) in [(20000, 1), (20001, 1), (20200, 0)] {
        let config = format!("{{gateway: {{port: {port}}}, {workspace}}}");
        home.write(".openclaw-work/openclaw.json", &config);
        let answer = home.run(&script);
        assert_eq!(answer.code, Some(code), "{port}: {answer:?}");
    }
}
