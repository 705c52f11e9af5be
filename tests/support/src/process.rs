//! Processes that end with their test, and the lines that they write.

use std::io::{BufRead, BufReader, Read};
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::kernel::parent_of;

/// A process that is killed, and waited for, when the test is done with it.
pub struct Doomed(pub Child);

impl Doomed {
    /// SIGKILL; when this returns, the process is gone.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, which: Signal) {
        signal(self.pid(), which);
    }
}

impl Deref for Doomed {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Doomed {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that does nothing, under a name of the test's choice.
pub struct Sleeper(Doomed);

impl Sleeper {
    /// Starts one. Other programs see `name` as its first argument.
    pub fn new(name: &str) -> Self {
        Self::of(Command::new("sleep").arg0(name).arg("1000").spawn().unwrap())
    }

    /// One that was started in another way.
    pub fn of(process: Child) -> Self {
        Self(Doomed(process))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// SIGKILL; when this returns, the process is gone.
    pub fn kill(&mut self) {
        self.0.kill();
    }
}

/// To be called in a child process: it dies with the thread that started it, whatever happens
/// there.
pub fn die_with_parent() {
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
}

/// Sends a signal to a process.
pub fn signal(pid: u32, which: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("the pid of one process");
    kill_process(pid, which).unwrap();
}

/// The lines of a pipe, as they come. What is no UTF-8 in them is replaced.
pub fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let text = |line: Vec<u8>| String::from_utf8_lossy(&line).into_owned();
        let lines = BufReader::new(pipe).split(b'\n').map_while(Result::ok);
        lines.map(text).all(|line| sender.send(line).is_ok())
    });
    lines
}

/// A command, started by another program, given with its arguments.
pub fn through(program: &[String], command: &Command) -> Command {
    let Some((first, arguments)) = program.split_first() else {
        panic!("no program is given");
    };
    let mut through = Command::new(first);
    through.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => through.env(name, value),
            None => through.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        through.current_dir(dir);
    }
    through
}

/// Whether this process is root's; if it is not, the test says that it is skipped, and why.
pub fn am_root(why: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root {why}");
    }
    root
}

/// Whether a program that only makes conditions for a test can be run here.
pub fn is_allowed(through: &[String]) -> bool {
    let mut command = Command::new(&through[0]);
    command.args(&through[1..]).arg("true");
    command.output().is_ok_and(|output| output.status.success())
}

/// Whether there is such a program; if there is none, the test says that it is skipped.
pub fn is_installed(program: &str) -> bool {
    let mut look = Command::new("sh");
    look.args(["-c", "command -v \"$0\"", program]);
    let found = look.output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}

/// The children of a process that run under this name, by their own account.
pub fn children_named(parent: u32, name: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_named = |pid: u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).next() == Some(name.as_bytes())
    };
    pids.filter(|pid| parent_of(*pid) == Some(parent) && is_named(*pid)).collect()
}
