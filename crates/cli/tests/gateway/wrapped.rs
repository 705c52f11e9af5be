//! A gateway program behind a wrapper: it never outlives the locks, however turnlock ends, and the
//! next gateway never runs beside it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::process::{am_root, children_named, is_installed, signal, through};
use turnlock_testing::{Running, ended, kernel_waiters, until};

use crate::rig::*;

/// A state directory, and a gateway program that tells its process id in the file `pid`.
struct Wrapped {
    home: Home,
    program: PathBuf,
}

/// A user other than root.
const USER: u32 = 65534;

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
        let dir = it.home.dir.path();
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

impl Wrapped {
    fn new(deaf_to: &str) -> Self {
        let home = home();
        let program = home.dir.path().join("program");
        let dir = home.dir.path().display();
        let trap = if deaf_to.is_empty() { String::new() } else { format!("trap '' {deaf_to}; ") };
        let script = format!("{trap}echo $$ > {dir}/new; mv {dir}/new {dir}/pid; exec sleep 1000");
        std::fs::write(&program, script).unwrap();
        Self { home, program }
    }

    fn note(&self) -> PathBuf {
        self.home.dir.path().join("pid")
    }

    /// A gateway that runs the program behind a wrapper.
    fn start(&self, (_, _, line): Wrapper) -> (Running, Program) {
        let mut run = self.home.run(&["--"]);
        let running = ready(run.args(line(self)));
        (running, Program(pid_in(&self.note())))
    }

    /// The next gateway, which is to be the only one.
    fn next(&self) -> Command {
        self.home.run(&["--", "sleep", "1000"])
    }
}

/// A process that is killed when the test is done with it.
struct Program(u32);

impl Drop for Program {
    fn drop(&mut self) {
        if lives(self.0) {
            signal(self.0, Signal::KILL);
        }
    }
}

/// The processes between a gateway and its program that are turnlock's own.
fn helpers_of(gateway: &Running) -> Vec<u32> {
    children_named(gateway.pid(), "turnlock")
}

/// Kills all that is turnlock's at once: none of them can do anything about the end of another.
fn kill_turnlock(mut gateway: Running) {
    let helpers = helpers_of(&gateway);
    let all = || helpers.iter().copied().chain([gateway.pid()]);
    all().for_each(|pid| signal(pid, Signal::STOP));
    all().for_each(|pid| signal(pid, Signal::KILL));
    gateway.kill();
}

fn all_wrappers() -> impl Iterator<Item = Wrapper> {
    OPEN.into_iter().chain(CLOSED).filter(|(_, needs, _)| is_installed(needs))
}

#[test]
fn after_a_kill_the_next_gateway_does_not_run_beside_it() {
    for wrapper in all_wrappers() {
        for deaf_to in ["", "TERM INT HUP"] {
            let wrapped = Wrapped::new(deaf_to);
            let (mut running, program) = wrapped.start(wrapper);
            running.kill();
            let _next = ready(wrapped.next());
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
        assert!(!wrapped.home.state_lock().exists(), "{}: {:?}", wrapper.0, wrapped.home.files());
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
    let running = Running::start(wrapped.home.run(&["--", "sh", "-c", &script]));
    let program = Program(pid_in(&wrapped.note()));
    let answer = running.end();
    assert!(!lives(program.0));
    assert_eq!(answer.code, Some(3), "{answer:?}");
    assert!(answer.err.contains(&format!("pid {}", program.0)), "{answer:?}");
}

/// All of turnlock is killed, and nobody ends the program but the next gateway.
#[test]
fn the_next_gateway_names_what_is_left_and_ends_it() {
    let wrappers = OPEN.into_iter().filter(|(_, needs, _)| is_installed(needs));
    let deaf = [(OPEN[0], "TERM INT HUP")];
    for (wrapper, deaf_to) in wrappers.map(|wrapper| (wrapper, "")).chain(deaf) {
        let wrapped = Wrapped::new(deaf_to);
        let (running, program) = wrapped.start(wrapper);
        let gateway = running.pid();
        kill_turnlock(running);
        assert!(lives(program.0), "{}: nobody ends it", wrapper.0);
        let status = wrapped.home.ask("status", &[]);
        assert!(status.out.contains(&format!("pid {} (", program.0)), "{status:?}");
        let mut next = Running::start(wrapped.next());
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
    let mut next = Running::start(wrapped.home.run(&["--timeout", "1h", "--", "true"]));
    until("it waits", || kernel_waiters(&wrapped.home.state_lock()) == 1);
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
        assert!(!wrapped.home.state_lock().exists());
    }
}

/// Whoever has the file open, waits for the lock, or runs under a gateway that lives is nobody's
/// remainder.
#[test]
fn nobody_else_is_ended() {
    let wrapped = Wrapped::new("");
    let (running, program) = wrapped.start(OPEN[0]);
    assert_eq!(ended(wrapped.home.run_within("1500ms")).code, Some(75));
    assert!(lives(program.0) && lives(running.pid()));
    let read = format!("exec sleep 1000 3< {}", text(&wrapped.home.state_lock()));
    let mut reader = Running::start(Command::new("sh").args(["-c", &read]));
    until("it has the file open", || {
        std::fs::read_link(format!("/proc/{}/fd/3", reader.pid())).is_ok()
    });
    kill_turnlock(running);
    let mut next = ready(wrapped.next());
    assert!(!reader.has_ended(), "it only has the file open");
    assert!(!next.has_ended());
}

/// A record that names a process of another container tells nothing about who is gone.
#[test]
fn what_belongs_to_another_container_is_left_alone() {
    let Some(container) = pid_namespace() else { return };
    let wrapped = Wrapped::new("");
    let (running, program) = wrapped.start(OPEN[0]);
    kill_turnlock(running);
    let refused = ended(through(&container, &wrapped.home.run_within("1500ms")));
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(lives(program.0));
}

/// There, the kernel does not say by which process a lock was taken that is gone.
#[test]
fn in_a_container_what_is_left_is_ended_too() {
    let Some(container) = pid_namespace() else { return };
    if !is_installed("pgrep") {
        return;
    }
    let wrapped = Wrapped::new("");
    let first = wrapped.home.run(&["--", "sh", "-c", &format!("sh {}; :", text(&wrapped.program))]);
    let script = r#"
        "$0" "$@" & first=$!
        while ! [ -e "$NOTE" ]; do sleep 0.02; done
        helper=$(pgrep -P $first)
        kill -STOP $helper $first; kill -KILL $helper $first; wait $first
        kill -0 $(cat "$NOTE") || echo it was ended too early
        "$0" gateway run --state-dir "$STATE" --port "$PORT" -- \
            sh -c 'kill -0 $(cat "$NOTE") 2>/dev/null && echo two gateways || echo one gateway'"#;
    let mut inside = Command::new("sh");
    inside.args(["-c", script]).arg(first.get_program()).args(first.get_args());
    inside
        .env("NOTE", wrapped.note())
        .env("STATE", &wrapped.home.state)
        .env("PORT", wrapped.home.port.to_string());
    let answer = ended(through(&container, &inside));
    assert_eq!(answer.out, "one gateway\n", "{answer:?}");
    assert!(answer.err.contains("is gone, but not what it ran"), "{answer:?}");
}

/// In somebody's directory, root does nothing that this user could not do himself.
#[test]
fn root_ends_what_is_left_only_as_far_as_the_owner_of_the_directory_could() {
    if !am_root("has to mind whose directory it is") || !is_installed("setpriv") {
        return;
    }
    let user = USER.to_string();
    for (as_user, is_ended) in [(&[][..], false), (&["setpriv", "--reuid", &user][..], true)] {
        let wrapped = Wrapped::new("");
        chown(&wrapped.home.state, Some(USER), None).unwrap();
        std::fs::set_permissions(wrapped.home.dir.path(), Permissions::from_mode(0o777)).unwrap();
        let program = format!("{} sh {}; true", as_user.join(" "), text(&wrapped.program));
        let running = ready(wrapped.home.run(&["--", "sh", "-c", &program]));
        let program = Program(pid_in(&wrapped.note()));
        kill_turnlock(running);
        let answer = ended(wrapped.home.run(&["--", "true"]));
        let code = if is_ended { 0 } else { 75 };
        assert_eq!(answer.code, Some(code), "{answer:?}");
        assert!(answer.err.contains(&format!("pid {} (", program.0)), "{answer:?}");
        assert_eq!(lives(program.0), !is_ended, "{answer:?}");
    }
}

/// It answers, but nobody looks after it any more.
#[test]
fn a_healthy_program_without_its_gateway_is_no_healthy_gateway() {
    if !is_installed("node") {
        return;
    }
    let wrapped = Wrapped::new("");
    let server = wrapped.home.dir.path().join("server.js");
    let script = "const fs = require('fs'), [note, port] = process.argv.slice(2); \
                  require('http').createServer((_, answer) => answer.end('{\"ok\":true}')) \
                  .listen(port, '127.0.0.1', () => fs.writeFileSync(note, `${process.pid}`))";
    std::fs::write(&server, script).unwrap();
    let (note, port) = (wrapped.note(), wrapped.home.port);
    let line = format!("node {} {} {port}; true", text(&server), text(&note));
    let running = ready(wrapped.home.run(&["--", "sh", "-c", &line]));
    let program = Program(pid_in(&note));
    assert_eq!(wrapped.home.ask("status", &["--require-healthy"]).code, Some(0));
    let supervised = ["--supervised=systemd", "--timeout", "0s", "--", "true"];
    assert_eq!(ended(wrapped.home.run(&supervised)).code, Some(78));
    kill_turnlock(running);
    let answer = ended(wrapped.home.run(&supervised));
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(!lives(program.0));
}
