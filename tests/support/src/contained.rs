//! A process in a PID namespace of its own, as in a container.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::kernel::state_of;
use crate::namespace::pid_namespace;
use crate::process::{signal, through};
use crate::running::Running;
use crate::wait::until;

/// A process that does nothing, in a PID namespace of its own. It goes with the test.
pub struct Contained {
    _namespace: Running,
    inside: u32,
    outside: u32,
}

impl Contained {
    /// Starts one. Other programs see `name` as its first argument. `None`, said aloud, where that
    /// is not allowed.
    pub fn new(name: &str) -> Option<Self> {
        // Some processes come before it, so that its id is one that containers are known for.
        let script = r#"for n in 1 2 3; do /bin/true; done
                        (exec -a "$0" sleep 1000) & echo $!; wait; read end"#;
        Self::by(script, name)
    }

    /// The first process of its namespace.
    pub fn first(name: &str) -> Option<Self> {
        Self::by(r#"echo $$; exec -a "$0" sleep 1000"#, name)
    }

    fn by(script: &str, name: &str) -> Option<Self> {
        let program = pid_namespace()?;
        let mut command = Command::new("bash");
        command.args(["-c", script, name]);
        let mut namespace = Running::start(through(&program, &command));
        let inside = namespace.line().parse().unwrap();
        let mut outside = None;
        until("the contained process runs", || {
            outside = find(namespace.pid(), inside, name);
            outside.is_some()
        });
        Some(Self { inside, outside: outside?, _namespace: namespace })
    }

    /// Its process id in its own PID namespace.
    pub fn inside(&self) -> u32 {
        self.inside
    }

    /// Its process id in the PID namespace of the test.
    pub fn outside(&self) -> u32 {
        self.outside
    }

    /// SIGKILL; when this returns, the process is gone.
    pub fn kill(&mut self) {
        signal(self.outside, Signal::KILL);
        until("it is gone", || state_of(self.outside).is_none());
    }
}

/// The process below `unshare` that has this id inside and this name.
fn find(unshare: u32, inside: u32, name: &str) -> Option<u32> {
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let parent = |pid| numbers(pid, "PPid:").and_then(|ids| ids.first().copied());
    let is_it = |pid: &u32| {
        let above = parent(*pid);
        numbers(*pid, "NSpid:").is_some_and(|ids| ids.len() > 1 && ids.last() == Some(&inside))
            && (above == Some(unshare) || above.and_then(parent) == Some(unshare))
            && fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.starts_with(format!("{name}\0").as_bytes()))
    };
    pids.into_iter().find(is_it)
}

/// The numbers in a line of a process's `status`.
fn numbers(pid: u32, line: &str) -> Option<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = status.lines().find_map(|it| it.strip_prefix(line))?;
    numbers.split_whitespace().map(|number| number.parse().ok()).collect()
}
