//! A gateway program behind a wrapper: it never outlives the locks, however turnlock ends, and the
//! next gateway never runs beside it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::rig::*;

/// A state directory, and a gateway program that tells its process id in the file `pid`.
struct Wrapped {
    room: Room,
    program: PathBuf,
}

/// A wrapper: a name, what it needs, and its command line.
type Wrapper = (&'static str, &'static str, fn(&Wrapped) -> Vec<String>);

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Those whose children inherit what they were given themselves.
const OPEN: [Wrapper; 6] = [
    ("sh", "sh", |it| words(&["sh", "-c", &format!("sh {}; true", text(&it.program))])),
    ("a daemon", "setsid", |it| {
        words(&["sh", "-c", &format!("setsid sh {} & wait", text(&it.program))])
    }),
    ("low descriptors", "bash", |it| {
        let close: String = (3..=20).map(|fd| format!("exec {fd}>&-; ")).collect();
        words(&["bash", "-c", &format!("{close} sh {}; true", text(&it.program))])
    }),
    ("node", "node", |it| {
        let script = "require('child_process').spawn('sh', [process.argv[1]], {stdio: 'inherit'})";
        words(&["node", "-e", script, &text(&it.program)])
    }),
    ("a detached child of node", "node", |it| {
        let script = "require('child_process').spawn('sh', [process.argv[1]], \
                      {stdio: 'ignore', detached: true}); setInterval(() => {}, 1000)";
        words(&["node", "-e", script, &text(&it.program)])
    }),
    ("npm", "npm", |it| {
        let dir = it.room.dir.path();
        let start = format!("sh {}; true", text(&it.program));
        let package = serde_json::json!({"name": "wrapped", "scripts": {"start": start}});
        std::fs::write(dir.join("package.json"), package.to_string()).unwrap();
        words(&["npm", "start", "--silent", "--prefix", &text(dir)])
    }),
];

/// Those that close all descriptors that they do not know.
const CLOSED: [Wrapper; 1] = [("python", "python3", |it| {
    words(&["python3", "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", "sh"])
        .into_iter()
        .chain([text(&it.program)])
        .collect()
})];

/// Whether there is such a program.
fn is_there(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}

impl Wrapped {
    fn new(deaf_to: &str) -> Self {
        let room = room();
        let program = room.dir.path().join("program");
        let dir = room.dir.path().display();
        let trap = if deaf_to.is_empty() { String::new() } else { format!("trap '' {deaf_to}; ") };
        let script = format!("{trap}echo $$ > {dir}/new; mv {dir}/new {dir}/pid; exec sleep 1000");
        std::fs::write(&program, script).unwrap();
        Self { room, program }
    }

    fn note(&self) -> PathBuf {
        self.room.dir.path().join("pid")
    }

    /// A gateway that runs the program behind a wrapper.
    fn start(&self, (_, _, line): Wrapper) -> (Running, Program) {
        let mut run = self.room.run(&["--"]);
        let running = Running::ready(run.args(line(self)));
        (running, Program(pid_in(&self.note())))
    }

    /// The next gateway, which is to be the only one.
    fn next(&self) -> Command {
        self.room.run(&["--", "sleep", "1000"])
    }
}

/// A process that is killed when the test is done with it.
struct Program(i32);

impl Drop for Program {
    fn drop(&mut self) {
        if lives(self.0) {
            signal(self.0, Signal::KILL);
        }
    }
}

/// The processes between a gateway and its program that are turnlock's own.
fn helpers_of(gateway: &Running) -> Vec<i32> {
    let own = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"turnlock\0")
    };
    children_of(gateway.pid()).into_iter().filter(own).collect()
}

fn children_of(pid: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let stat = |child: &i32| std::fs::read_to_string(format!("/proc/{child}/stat")).ok();
    let is_child = |child: &i32| {
        let parent = stat(child)
            .and_then(|stat| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok());
        parent == Some(pid)
    };
    pids.filter(is_child).collect()
}

/// Kills all that is turnlock's at once: none of them can do anything about the end of another.
fn kill_turnlock(gateway: Running) {
    let helpers = helpers_of(&gateway);
    let all = || helpers.iter().copied().chain([gateway.pid()]);
    all().for_each(|pid| signal(pid, Signal::STOP));
    all().for_each(|pid| signal(pid, Signal::KILL));
    gateway.kill();
}

fn all_wrappers() -> impl Iterator<Item = Wrapper> {
    OPEN.into_iter().chain(CLOSED).filter(|(_, needs, _)| is_there(needs))
}

#[test]
fn after_a_kill_the_next_gateway_does_not_run_beside_it() {
    for wrapper in all_wrappers() {
        for deaf_to in ["", "TERM INT HUP"] {
            let wrapped = Wrapped::new(deaf_to);
            let (running, program) = wrapped.start(wrapper);
            running.kill();
            let _next = Running::ready(&mut wrapped.next());
            assert!(!lives(program.0), "{}: two gateways", wrapper.0);
        }
    }
}

#[test]
fn when_it_is_told_to_end_the_program_ends_too() {
    for wrapper in all_wrappers() {
        let wrapped = Wrapped::new("");
        let (mut running, program) = wrapped.start(wrapper);
        running.signal(Signal::TERM);
        running.wait();
        assert!(!lives(program.0), "{}: it outlives its gateway", wrapper.0);
        assert!(!wrapped.room.state_lock().exists(), "{}: {:?}", wrapper.0, wrapped.room.files());
    }
}

#[test]
fn what_is_deaf_is_killed_when_the_wrapper_has_ended() {
    let wrapped = Wrapped::new("TERM INT HUP");
    let (mut running, program) = wrapped.start(OPEN[0]);
    running.signal(Signal::TERM);
    let said = running.until_it_says("ended too");
    assert!(said.contains(&format!("pid {}", program.0)), "{said}");
    running.wait();
    assert!(!lives(program.0));
}

#[test]
fn a_program_that_goes_into_the_background_is_ended() {
    let wrapped = Wrapped::new("");
    let script = format!(
        "setsid sh {} & while ! [ -e {} ]; do sleep 0.02; done; exit 3",
        text(&wrapped.program),
        text(&wrapped.note())
    );
    let running = Running::start(&mut wrapped.room.run(&["--", "sh", "-c", &script]));
    let program = Program(pid_in(&wrapped.note()));
    let ended = running.ended();
    assert!(!lives(program.0));
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.err.contains(&format!("pid {}", program.0)), "{ended:?}");
}

/// All of turnlock is killed, and nobody ends the program but the next gateway.
#[test]
fn the_next_gateway_names_what_is_left_and_ends_it() {
    let wrappers = OPEN.into_iter().filter(|(_, needs, _)| is_there(needs));
    let deaf = [(OPEN[0], "TERM INT HUP")];
    for (wrapper, deaf_to) in wrappers.map(|wrapper| (wrapper, "")).chain(deaf) {
        let wrapped = Wrapped::new(deaf_to);
        let (running, program) = wrapped.start(wrapper);
        let gateway = running.pid();
        kill_turnlock(running);
        assert!(lives(program.0), "{}: nobody ends it", wrapper.0);
        let status = wrapped.room.ask("status", &[]);
        assert!(status.out.contains(&format!("pid {} (", program.0)), "{status:?}");
        let mut next = Running::start(&mut wrapped.next());
        let said = next.until_it_says("is gone");
        assert!(
            said.contains(&format!("pid {gateway} ")) && said.contains("sleep 1000"),
            "{}: {said}",
            wrapper.0
        );
        next.until_it_says("gateway on ws://");
        assert!(!lives(program.0), "{}: two gateways", wrapper.0);
    }
}

/// One that has been waiting since before the kill does the same.
#[test]
fn a_gateway_that_waits_ends_what_is_left() {
    let wrapped = Wrapped::new("");
    let (running, program) = wrapped.start(OPEN[0]);
    let mut next = Running::start(&mut wrapped.room.run(&["--timeout", "1h", "--", "true"]));
    eventually("it waits", || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", next.pid())).ok()?;
        (threads.count() > 2).then_some(())
    });
    kill_turnlock(running);
    next.until_it_says("gateway on ws://");
    assert!(!lives(program.0));
    assert!(next.wait().success());
}

/// The process between the two is killed alone: turnlock ends the rest, and then itself.
#[test]
fn a_gateway_whose_helper_is_killed_ends_with_all_that_it_ran() {
    for wrapper in all_wrappers() {
        let wrapped = Wrapped::new("TERM INT HUP");
        let (mut running, program) = wrapped.start(wrapper);
        for helper in helpers_of(&running) {
            signal(helper, Signal::KILL);
        }
        assert_eq!(running.wait().code(), Some(128 + 9));
        assert!(!lives(program.0), "{}", wrapper.0);
        assert!(!wrapped.room.state_lock().exists());
    }
}

/// Whoever has the file open, waits for the lock, or runs under a gateway that lives is nobody's
/// remainder.
#[test]
fn nobody_else_is_ended() {
    let wrapped = Wrapped::new("");
    let (running, program) = wrapped.start(OPEN[0]);
    assert_eq!(end(&mut wrapped.room.run_within("1500ms")).code, Some(75));
    assert!(lives(program.0) && lives(running.pid()));
    let read = format!("exec sleep 1000 3< {}", text(&wrapped.room.state_lock()));
    let mut reader = Running::start(Command::new("sh").args(["-c", &read]));
    eventually("it has the file open", || {
        std::fs::read_link(format!("/proc/{}/fd/3", reader.pid())).ok()
    });
    kill_turnlock(running);
    let mut next = Running::ready(&mut wrapped.next());
    assert!(reader.child.try_wait().unwrap().is_none(), "it only has the file open");
    assert!(next.child.try_wait().unwrap().is_none());
}

/// A record that names a process of another container tells nothing about who is gone.
#[test]
fn what_belongs_to_another_container_is_left_alone() {
    if !may_unshare() {
        return;
    }
    let wrapped = Wrapped::new("");
    let (running, program) = wrapped.start(OPEN[0]);
    kill_turnlock(running);
    let next = wrapped.room.run_within("1500ms");
    let mut inside = Command::new("unshare");
    inside.args(["--pid", "--fork", "--mount-proc"]).arg(next.get_program()).args(next.get_args());
    let refused = end(&mut inside);
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(lives(program.0));
}

/// There, the kernel does not say by which process a lock was taken that is gone.
#[test]
fn in_a_container_what_is_left_is_ended_too() {
    if !may_unshare() || !is_there("pgrep") {
        return;
    }
    let wrapped = Wrapped::new("");
    let first = wrapped.room.run(&["--", "sh", "-c", &format!("sh {}; :", text(&wrapped.program))]);
    let script = r#"
        "$0" "$@" & first=$!
        while ! [ -e "$NOTE" ]; do sleep 0.02; done
        helper=$(pgrep -P $first)
        kill -STOP $helper $first; kill -KILL $helper $first; wait $first
        kill -0 $(cat "$NOTE") || echo it was ended too early
        "$0" gateway run --state-dir "$STATE" --port "$PORT" -- \
            sh -c 'kill -0 $(cat "$NOTE") 2>/dev/null && echo two gateways || echo one gateway'"#;
    let mut inside = Command::new("unshare");
    inside
        .args(["--pid", "--fork", "--mount-proc", "sh", "-c", script])
        .arg(first.get_program())
        .args(first.get_args())
        .env("NOTE", wrapped.note())
        .env("STATE", &wrapped.room.state)
        .env("PORT", wrapped.room.port.to_string());
    let ended = end(&mut inside);
    assert_eq!(ended.out, "one gateway\n", "{ended:?}");
    assert!(ended.err.contains("is gone, but not what it ran"), "{ended:?}");
}

/// It answers, but nobody looks after it any more.
#[test]
fn a_healthy_program_without_its_gateway_is_no_healthy_gateway() {
    if !is_there("node") {
        return;
    }
    let wrapped = Wrapped::new("");
    let server = wrapped.room.dir.path().join("server.js");
    let script = "const fs = require('fs'), [note, port] = process.argv.slice(2); \
                  require('http').createServer((_, answer) => answer.end('{\"ok\":true}')) \
                  .listen(port, '127.0.0.1', () => fs.writeFileSync(note, `${process.pid}`))";
    std::fs::write(&server, script).unwrap();
    let (note, port) = (wrapped.note(), wrapped.room.port);
    let line = format!("node {} {} {port}; true", text(&server), text(&note));
    let running = Running::ready(&mut wrapped.room.run(&["--", "sh", "-c", &line]));
    let program = Program(pid_in(&note));
    assert_eq!(wrapped.room.ask("status", &["--require-healthy"]).code, Some(0));
    let supervised = ["--supervised=systemd", "--timeout", "0s", "--", "true"];
    assert_eq!(end(&mut wrapped.room.run(&supervised)).code, Some(78));
    kill_turnlock(running);
    let ended = end(&mut wrapped.room.run(&supervised));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!lives(program.0));
}
