//! Locks of foreign programs across PID namespaces: looked at from outside a container, and from
//! inside.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::process::{is_allowed, through};
use turnlock_testing::strace::strace_into;
use turnlock_testing::{
    Contained, Ended, NOBODY, Room, Sleeper, am_root, ended, foreign_record, foreign_record_of,
    room, start_time_of, until,
};

use crate::program::{TURNLOCK, turnlock};
use crate::status::status;

/// Runs `turnlock` in a PID namespace of its own; `None` where that is not allowed.
fn inside(arguments: &[&str]) -> Option<Ended> {
    Some(ended(through(&pid_namespace()?, &turnlock(arguments))))
}

/// The arguments of a run that prints a line if it has the turn soon.
fn run_soon(room: &Room) -> [&str; 6] {
    let session = room.session.to_str().unwrap();
    ["run", "--timeout=100ms", session, "--", "echo", "ran"]
}

#[test]
fn a_host_respects_the_lock_of_an_owner_in_a_container() {
    let room = room();
    let Some(owner) = Contained::new("sleep") else { return };
    let record = foreign_record(owner.inside(), Some(start_time_of(owner.outside())));
    room.put_lock(&record);
    let dir = room.dir.to_str().unwrap();

    for options in [&["--fix"][..], &["--fix", "--assume-local"]] {
        let answer = ended(turnlock(["doctor"]).args(options).arg(dir));
        assert_eq!(answer.code, Some(0), "{answer:?}");
        let process = format!("pid={} (alive)", owner.outside());
        assert!(answer.out.contains(&process), "{answer:?}");
        assert!(answer.out.contains(&format!("pid {} there", owner.inside())), "{answer:?}");
    }
    let answer = ended(turnlock(run_soon(&room)));
    assert_eq!((answer.code, answer.out.as_str()), (Some(75), ""), "{answer:?}");

    let told = status(&room.session);
    assert_eq!(told["state"], "foreign");
    assert_eq!(told["holder"]["pid"], owner.inside());
    assert_eq!(told["holder"]["hostPid"], owner.outside());
    let line = ended(turnlock(["status", dir])).out;
    let fields: Vec<_> = line.split('\t').collect();
    assert_eq!(fields[1..3], ["foreign", &owner.outside().to_string()], "{line}");
    assert_eq!(fs::read_to_string(&room.lock).unwrap(), record, "it was not touched");
}

/// A process in a control group such as Docker makes for a container.
struct Grouped {
    owner: Option<Contained>,
    group: PathBuf,
}

impl Grouped {
    fn new(owner: Contained, name: &str) -> Option<Self> {
        let pid = owner.outside().to_string();
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids"];
        let roots = roots.into_iter().map(Path::new);
        let mut groups = roots.filter(|root| root.join("cgroup.procs").exists());
        let made = groups.find_map(|root| {
            let group = root.join(name);
            fs::create_dir(&group).ok()?;
            let joined = fs::write(group.join("cgroup.procs"), &pid);
            if joined.is_err() {
                fs::remove_dir(&group).unwrap();
            }
            joined.is_ok().then_some(group)
        });
        if made.is_none() {
            eprintln!("skipped: no right to make a control group");
        }
        Some(Self { owner: Some(owner), group: made? })
    }
}

impl Drop for Grouped {
    fn drop(&mut self) {
        drop(self.owner.take());
        until("the control group is empty", || fs::remove_dir(&self.group).is_ok());
    }
}

#[test]
fn the_container_of_an_owner_is_named() {
    let room = room();
    let Some(owner) = Contained::new("sleep") else { return };
    let id = format!("{:0>12x}{}", std::process::id(), "5".repeat(52));
    let (inside, outside) = (owner.inside(), owner.outside());
    let Some(_grouped) = Grouped::new(owner, &format!("docker-{id}.scope")) else { return };
    room.put_lock(foreign_record(inside, Some(start_time_of(outside))));
    let name = format!("docker-{}", &id[..12]);
    assert_eq!(status(&room.session)["holder"]["container"], name);
    let line = ended(turnlock(["status"]).arg(&room.dir)).out;
    assert_eq!(line.split('\t').nth(3), Some(name.as_str()), "{line}");
    let answer = ended(turnlock(["doctor"]).arg(&room.dir));
    let process = format!("in {name} (pid {inside} there)");
    assert!(answer.out.contains(&process), "{answer:?}");
    let answer = ended(turnlock(run_soon(&room)));
    assert!(answer.err.contains(&format!("pid {inside} in {name}")), "{answer:?}");
}

#[test]
fn a_container_respects_and_tells_of_a_lock_whose_owner_it_cannot_see() {
    let room = room();
    let owner = Sleeper::new("sleep");
    let record = foreign_record(owner.pid(), Some(start_time_of(owner.pid())));
    room.put_lock(&record);
    let dir = room.dir.to_str().unwrap();

    let Some(answer) = inside(&["doctor", "--fix", dir]) else { return };
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.out.contains("(unknown)"), "{answer:?}");
    assert!(answer.out.contains("unseen-namespace"), "{answer:?}");
    assert!(answer.out.contains("left alone") && answer.out.contains("--assume-local"));
    let answer = inside(&run_soon(&room)).unwrap();
    assert_eq!((answer.code, answer.out.as_str()), (Some(75), ""), "{answer:?}");
    assert!(answer.err.contains("--assume-local"), "{answer:?}");
    let answer = inside(&["status", dir]).unwrap();
    let fields: Vec<_> = answer.out.split('\t').collect();
    assert_eq!(fields[1..3], ["unseen (unseen-namespace)", &owner.pid().to_string()]);
    assert_eq!(fs::read_to_string(&room.lock).unwrap(), record, "it was not touched");

    // The operator knows better.
    let answer = inside(&["status", "--assume-local", "--json", dir]).unwrap();
    let told: Value = serde_json::from_str(&answer.out).unwrap();
    let told = &told["locks"][0];
    assert_eq!((&told["state"], &told["reasons"][0]), (&"stale".into(), &"dead-pid".into()));
    let answer = inside(&["doctor", "--fix", "--assume-local", dir]).unwrap();
    assert!(answer.code == Some(0) && !room.lock.exists(), "{answer:?}");
}

/// Where `/proc` hides the processes of other users, one's own are seen, in all PID namespaces. Who
/// left one's own lock file was one of those.
#[test]
fn with_hidden_processes_the_locks_of_others_are_respected() {
    const USER: u32 = 65534;
    if !am_root("becomes another user") {
        return;
    }
    let script = "mount -t proc -o hidepid=invisible proc /proc && exec \
                  setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";
    let hidden = ["unshare", "--mount", "sh", "-c", script, "sh"].map(String::from);
    if !is_allowed(&[&hidden[..], &[TURNLOCK.into(), "--version".into()]].concat()) {
        return eprintln!("skipped: no right to mount, or the program is out of reach");
    }
    let room = room();
    chown(&room.dir, Some(USER), Some(USER)).unwrap();
    for (owner, removed) in [(USER, true), (0, false)] {
        room.put_lock(foreign_record(NOBODY, Some(1)));
        chown(&room.lock, Some(owner), None).unwrap();
        fs::set_permissions(&room.lock, Permissions::from_mode(0o666)).unwrap();
        let answer = ended(through(&hidden, turnlock(["doctor", "--fix"]).arg(&room.dir)));
        assert_eq!(room.lock.exists(), !removed, "{answer:?}");
        assert_eq!(answer.out.contains("unseen-namespace"), !removed, "{answer:?}");
    }
}

/// The list of all processes is made once, however many locks name processes that are not here.
#[test]
fn a_sweep_looks_through_all_processes_once() {
    let (room, other) = (room(), room());
    let log = other.dir.join("log");
    let Some(strace) = strace_into(&log, &["trace=openat"]) else { return };
    for n in 0..100 {
        let record = foreign_record_of(NOBODY - n, Some(1), Duration::from_secs(3600));
        fs::write(room.dir.join(format!("{n}.jsonl.lock")), record).unwrap();
    }
    let mut doctor = turnlock(["doctor", "--fix"]);
    let answer = ended(through(&strace, doctor.arg(&room.dir)));
    assert!(answer.code == Some(0) && room.names().is_empty(), "{answer:?}");
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("\"/proc/1/status\"").count(), 1);
}

/// As an operator's one-off container beside that of an agent: both have a pid 1.
#[test]
fn a_container_takes_nothing_from_the_first_process_of_an_older_one() {
    let room = room();
    let Some(owner) = Contained::first("node") else { return };
    for start_time in [None, Some(start_time_of(owner.outside()))] {
        let record = foreign_record(owner.inside(), start_time);
        room.put_lock(&record);
        let answer = inside(&["doctor", "--fix", room.dir.to_str().unwrap()]).unwrap();
        assert!(answer.out.contains("unseen-namespace"), "{answer:?}");
        assert_eq!(inside(&run_soon(&room)).unwrap().code, Some(75));
        assert_eq!(fs::read_to_string(&room.lock).unwrap(), record, "it was not touched");
    }
}

/// What an image sets for all commands in its containers.
#[test]
fn a_container_that_shares_nothing_can_say_so_in_its_environment() {
    let room = room();
    let owner = Sleeper::new("sleep");
    room.put_lock(foreign_record(owner.pid(), Some(start_time_of(owner.pid()))));
    let Some(namespace) = pid_namespace() else { return };
    let mut command = turnlock(run_soon(&room));
    command.env("TURNLOCK_ASSUME_LOCAL", "true");
    let answer = ended(through(&namespace, &command));
    assert_eq!((answer.code, answer.out.as_str()), (Some(0), "ran\n"), "{answer:?}");
}
