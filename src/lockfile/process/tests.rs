use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::linux::Stat;
use super::*;

/// A child that sleeps, killed and waited for at the end.
pub(crate) struct Sleeper(pub(crate) Child);

impl Sleeper {
    pub(crate) fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// Killed, and not waited for.
    pub(crate) fn zombie(mut self) -> Self {
        self.0.kill().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while state(self.pid()) == ProcessState::Alive {
            assert!(Instant::now() < deadline, "the killed child is still alive");
            std::thread::sleep(Duration::from_millis(1));
        }
        self
    }

    /// Killed and waited for: its id belongs to nobody.
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

fn me() -> i32 {
    rustix::process::getpid().as_raw_pid()
}

#[test]
fn stat_lines_are_parsed_whatever_the_name() {
    let tail = "S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 13 0 987654321 1 2 3";
    let expected = Stat {
        state: b'S',
        threads: 13,
        start_time: 987_654_321,
    };
    for name in [
        "node",
        "my prog",
        "a) R 1 2 3 (b",
        ")",
        "",
        "( ) 5 5 5",
        "x\ny",
    ] {
        let line = format!("42 ({name}) {tail}\n");
        assert_eq!(
            Stat::parse(line.as_bytes()).as_ref(),
            Some(&expected),
            "{line}"
        );
    }
    // The kernel cuts names at 15 bytes, also in the middle of a character.
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
        "42 (node) S a a a a a a a a a a a a a a a a a a a a",
    ] {
        assert_eq!(Stat::parse(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn a_main_thread_that_ended_before_the_others_is_no_zombie() {
    let stat = |state, threads| Stat {
        state,
        threads,
        start_time: 1,
    };
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
fn the_portable_fall_backs_agree_with_proc() {
    let child = Sleeper::new();
    let close =
        |a: Timestamp, b: Timestamp| a.duration_since(b).abs() < SignedDuration::from_secs(2);
    assert!(close(portable::boot_time().unwrap(), boot_time().unwrap()));
    assert!(close(
        portable::started_at(child.pid()).unwrap(),
        started_at(child.pid()).unwrap()
    ));
    assert!(!portable::is_zombie(child.pid()));
    assert!(portable::start_time(child.pid()).is_err());
    assert_eq!(
        (portable::own_start_time(), portable::pid_namespace()),
        (None, None)
    );
    assert_eq!(portable::boot_id(), portable::boot_id());
    let child = child.zombie();
    assert!(portable::is_zombie(child.pid()));
    assert_eq!(portable::started_at(Sleeper::gone()), None);
}

/// What a process of nobody's may learn of the process in `TURNLOCK_TEST_LOOK_AT`. Started by the test below.
#[test]
#[ignore = "the child of another_users_process_is_alive"]
fn look_as_another_user() {
    let pid: i32 = std::env::var("TURNLOCK_TEST_LOOK_AT")
        .unwrap()
        .parse()
        .unwrap();
    let id = Pid::from_raw(pid).unwrap();
    assert_eq!(test_kill_process(id), Err(Errno::PERM));
    assert_eq!(state(pid), ProcessState::Alive);
    assert!(start_time(pid).unwrap().is_some());
}

#[test]
fn another_users_process_is_alive() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root may become somebody else.
    }
    let owner = Sleeper::new();
    let status = Command::new("/proc/self/exe")
        .args([
            "--exact",
            "lockfile::process::tests::look_as_another_user",
            "--ignored",
        ])
        .env("TURNLOCK_TEST_LOOK_AT", owner.pid().to_string())
        .current_dir("/")
        .stdout(Stdio::null())
        .uid(65534)
        .gid(65534)
        .status();
    match status {
        Ok(status) => assert!(status.success()),
        // Built under a strict umask.
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
    }
}
