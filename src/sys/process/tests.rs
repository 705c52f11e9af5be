use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::linux::Stat;
use super::*;

/// A sleeping child. It is killed and waited for when dropped.
pub(crate) struct Sleeper(Child);

impl Sleeper {
    pub(crate) fn new() -> Self {
        Self::start(Command::new("sleep").arg("1000"))
    }

    /// Waits for the exec to be done: in the middle of it a process has an empty command line,
    /// which counts as unreadable.
    pub(crate) fn start(command: &mut Command) -> Self {
        let sleeper = Self(command.spawn().unwrap());
        within_10_s("exec", || command_line(sleeper.pid()).is_some());
        sleeper
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// Kills it and does not wait for it.
    pub(crate) fn zombie(mut self) -> Self {
        self.0.kill().unwrap();
        within_10_s("death", || state(self.pid()) != ProcessState::Alive);
        self
    }

    /// Returns the id of a child that was killed and waited for, so that no process has it.
    pub(crate) fn gone() -> i32 {
        let sleeper = Self::new();
        sleeper.pid()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn within_10_s(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "no {what} in 10 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn me() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

#[test]
fn stat_lines_are_parsed_whatever_the_name() {
    let tail = "S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 13 0 987654321 1 2 3";
    let expected =
        Stat { state: b'S', parent: 1, flags: 4_194_560, threads: 13, start_time: 987_654_321 };
    for name in ["node", "my prog", "a) R 1 2 3 (b", ")", "", "( ) 5 5 5", "x\ny"] {
        let line = format!("42 ({name}) {tail}\n");
        assert_eq!(Stat::parse(line.as_bytes()).as_ref(), Some(&expected), "{line}");
    }
    // The kernel cuts names after 15 bytes, even in the middle of a character.
    let mut line = b"42 (na\xc3) ".to_vec();
    line.extend_from_slice(tail.as_bytes());
    assert_eq!(Stat::parse(&line), Some(expected));
}

#[test]
fn stat_lines_of_another_form_are_refused() {
    for line in [
        "",
        "42 node S 1",
        "42 (node)",
        "42 (node) S 1 1 1",
        "42 (node) S 1 a a a a a a a a a a a a a a a a a a a",
    ] {
        assert_eq!(Stat::parse(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn a_command_line_is_split_into_words_that_are_not_empty() {
    assert_eq!(linux::words(b"node\0my app.js\0\0--x=1\0"), ["node", "my app.js", "--x=1"]);
    // A title that overwrote the arguments.
    assert_eq!(linux::words(b"nginx: master process\0\0\0\0"), ["nginx: master process"]);
    assert_eq!(linux::words(b"a\0\xff"), [OsStr::new("a"), OsStr::from_bytes(b"\xff")]);
    assert!(linux::words(b"").is_empty() && linux::words(b"\0\0").is_empty());
}

#[test]
fn a_main_thread_that_ended_before_the_others_is_no_zombie() {
    let stat = |state, threads| Stat { state, parent: 1, flags: 0, threads, start_time: 1 };
    assert!(stat(b'Z', 1).is_zombie());
    assert!(stat(b'X', 0).is_zombie());
    assert!(!stat(b'Z', 2).is_zombie());
    assert!(!stat(b'S', 1).is_zombie());
    assert!(!stat(b'T', 1).is_zombie());
}

#[test]
fn ids_that_no_process_can_have_are_gone() {
    for pid in [0, -1, -me(), i32::MIN, i32::MAX, 1 << 30] {
        assert_eq!(state(pid), ProcessState::Gone, "{pid}");
        assert_eq!(start_time(pid).unwrap(), None, "{pid}");
        assert_eq!(started_at(pid), None, "{pid}");
        assert_eq!(command_line(pid), None, "{pid}");
    }
}

#[test]
fn a_living_child_is_seen() {
    let before = Timestamp::now();
    let child = Sleeper::new();
    assert_eq!(state(child.pid()), ProcessState::Alive);
    assert!(start_time(child.pid()).unwrap() >= own().start_time);
    let started = started_at(child.pid()).unwrap();
    let late = started.duration_since(before);
    assert!(late.abs() < SignedDuration::from_secs(2), "{late}");
    assert_eq!(command_line(child.pid()).unwrap(), ["sleep", "1000"]);
}

#[test]
fn a_kernel_thread_is_known() {
    // In a container there is none.
    if linux::stat(2).is_ok_and(|stat| stat.is_kernel_thread()) {
        assert_eq!(command_line(2).unwrap(), ["[kernel thread]"]);
    }
}

#[test]
fn a_zombie_and_a_killed_child_are_told_apart() {
    let zombie = Sleeper::new().zombie();
    assert_eq!(state(zombie.pid()), ProcessState::Zombie);
    assert!(start_time(zombie.pid()).unwrap().is_some());
    assert_eq!(command_line(zombie.pid()), None);
    let pid = zombie.pid();
    drop(zombie);
    assert_eq!(state(pid), ProcessState::Gone);
    assert_eq!(start_time(pid).unwrap(), None);
}

#[test]
fn a_stopped_process_is_alive() {
    let child = Sleeper::new();
    let id = Pid::from_raw(child.pid()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::STOP).unwrap();
    assert_eq!(state(child.pid()), ProcessState::Alive);
}

#[test]
fn own_facts_are_those_of_this_process() {
    let own = own();
    assert_eq!(own.pid, me());
    assert_eq!(own.start_time, start_time(me()).unwrap());
    assert_eq!(own.boot_id.as_ref().unwrap().len(), 36);
    assert!(own.pid_namespace.is_some());
    assert!(!own.host.is_empty());
    assert_eq!(*super::own(), *own);
}

#[test]
fn the_portable_facts_agree_with_proc() {
    let child = Sleeper::new();
    let close =
        |a: Timestamp, b: Timestamp| a.duration_since(b).abs() < SignedDuration::from_secs(2);
    assert!(close(portable::boot_time().unwrap(), boot_time().unwrap()));
    assert!(close(portable::started_at(child.pid()).unwrap(), started_at(child.pid()).unwrap()));
    assert_eq!(portable::command_line(child.pid()), command_line(child.pid()));
    assert!(!portable::is_zombie(child.pid()));
    assert!(!portable::clock_unseen(child.pid()));
    assert!(portable::start_time(child.pid()).is_err());
    assert_eq!((portable::own_start_time(), portable::pid_namespace()), (None, None));
    assert_eq!(portable::boot_id(), portable::boot_id());
    let child = child.zombie();
    assert!(portable::is_zombie(child.pid()));
    assert_eq!(portable::started_at(Sleeper::gone()), None);
}

/// Set for tests that run in a child process of another test. Without it they pass at once.
const LOOK_AT: &str = "TURNLOCK_TEST_LOOK_AT";

/// Runs one test of this file in a child process. `command` starts this same test program.
fn run_in(mut command: Command, test: &str, look_at: i32) -> io::Result<()> {
    let name = format!("sys::process::tests::{test}");
    let command = command.args(["--exact", &name]).env(LOOK_AT, look_at.to_string());
    let output = command.current_dir("/").output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// What a process of the user `nobody` can learn about another user's process.
#[test]
fn look_as_another_user() {
    let Ok(pid) = std::env::var(LOOK_AT) else {
        return;
    };
    let pid = pid.parse().unwrap();
    assert_eq!(test_kill_process(id(pid).unwrap()), Err(Errno::PERM));
    assert_eq!(state(pid), ProcessState::Alive);
    // With `hidepid` it cannot be read. It is never "no such process".
    assert_ne!(start_time(pid).ok(), Some(None));
}

#[test]
fn another_users_process_is_alive() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can become another user.
    }
    let owner = Sleeper::new();
    let mut command = Command::new("/proc/self/exe");
    command.uid(65534).gid(65534);
    if let Err(error) = run_in(command, "look_as_another_user", owner.pid()) {
        // The test program was built under a strict umask.
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}

/// Runs as the first process of a new PID namespace, with the `/proc` of the old one.
#[test]
fn look_from_a_new_namespace() {
    if std::env::var_os(LOOK_AT).is_none() {
        return;
    }
    assert_eq!(me(), 1);
    // There is a /proc/1, and it is another process.
    assert!(std::fs::read("/proc/1/stat").is_ok());
    assert_eq!(state(1), ProcessState::Alive);
    assert_eq!(start_time(1).unwrap_err().kind(), io::ErrorKind::Unsupported);
    assert_eq!(started_at(1), None);
    assert_eq!(command_line(1), None);
    assert!(own().start_time.is_some());
    // That a process is gone is told by the kernel, not by /proc.
    assert_eq!(start_time(1 << 30).unwrap(), None);
}

#[test]
fn a_proc_of_another_namespace_is_not_believed() {
    let unshare = |program: &OsStr| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork"]).arg(program);
        command
    };
    let allowed = unshare("true".as_ref()).stderr(Stdio::null()).status();
    if allowed.is_ok_and(|status| status.success()) {
        let command = unshare(std::env::current_exe().unwrap().as_os_str());
        run_in(command, "look_from_a_new_namespace", 1).unwrap();
    }
}
