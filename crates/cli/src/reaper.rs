//! The process between turnlock and the program that it runs.
//!
//! It has the locks as long as anything lives that the program started, since it adopts what the
//! program leaves behind. turnlock itself may be killed; then this process sees to the rest. If it
//! is killed, turnlock does, which would adopt the rest in its place. If both are, the kernel still
//! signals the program, and those who inherited the descriptors keep the locks.

mod heard;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitStatus, getppid, kill_process};
use signal_hook::consts::SIGCHLD;

use crate::children::{self, Waited};
use crate::failure::Failure;
use crate::signals::Caught;
use crate::{exec, inherited, output, signals};
use heard::Heard;

pub(crate) const NAME: &str = "__reap";

/// How long a gateway program's processes may take to end after they were asked to.
const GRACE: Duration = Duration::from_secs(5);

/// What a program is run for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To work on a session. What it leaves behind is its own affair, unless turnlock was killed:
    /// then it is asked to end, and keeps the session until it has.
    Turn,
    /// To be a gateway. Nothing of it outlives the locks.
    Gateway,
}

impl Purpose {
    const ALL: [(&str, Self); 2] = [("turn", Self::Turn), ("gateway", Self::Gateway)];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, purpose)| *purpose == self).map_or("", |(name, _)| name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, purpose)| *purpose)
    }

    /// What the program gets when the process that started it dies.
    fn last_signal(self) -> Signal {
        match self {
            Self::Turn => Signal::TERM,
            Self::Gateway => Signal::KILL,
        }
    }
}

/// `turnlock __reap PARENT PURPOSE CMD ARGS…`. Spawn it from the main thread: the kernel says when
/// that thread ends.
pub(crate) fn command(purpose: Purpose, program: &[OsString]) -> Result<Command, Failure> {
    let mut reaper = Command::new(exec::own_program()?);
    let parent = std::process::id().to_string();
    reaper.arg0("turnlock").args([NAME, &parent, purpose.name()]).args(program);
    if purpose == Purpose::Gateway && !has_terminal() {
        // A signal to turnlock's group then reaches turnlock alone, and is forwarded once. A
        // program on a terminal has to be in the foreground group. The command of a turn stays in
        // the group too, so that whoever kills the group kills it.
        reaper.process_group(0);
    }
    Ok(reaper)
}

/// Whether this process has a controlling terminal.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Waits for what a reaper has left to this process, since it was killed.
pub(crate) fn succeed(purpose: Purpose) {
    match purpose {
        Purpose::Turn => children::see_out(None, || false),
        Purpose::Gateway => children::see_out(Some(Duration::ZERO), || true),
    }
}

pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> Result<ExitCode, Failure> {
    let parent = arguments.next().and_then(|number| Pid::from_raw(number.to_str()?.parse().ok()?));
    let purpose = arguments.next().and_then(|name| Purpose::named(name.to_str()?));
    let (Some(parent), Some(purpose)) = (parent, purpose) else {
        return Err(Failure::new("bad arguments of an internal step"));
    };
    let failed = |e: io::Error| Failure::new(format!("cannot start the command: {e}"));
    output::aside::start();
    let mut signals = signals::catch(&[SIGCHLD]).map_err(failed)?;
    children::adopt_orphans()?;
    // Never ignored, and no signal that anybody forwards.
    exec::die_with_parent(Some(parent), Some(Signal::CHILD))?;
    let program: Vec<_> = arguments.collect();
    let mut step = exec::command(purpose.last_signal(), &program)?;
    inherited::pass_on_pid_variables(&mut step, parent.as_raw_pid(), std::process::id());
    let child = step.spawn().map_err(failed)?;
    let mut reaper = Reaper { purpose, parent, program: Pid::from_child(&child), ended: None };
    reaper.attend(&mut signals).map_err(failed)?;
    reaper.see_out();
    Ok(ExitCode::from(reaper.ended.map_or(1, code)))
}

struct Reaper {
    purpose: Purpose,
    parent: Pid,
    program: Pid,
    ended: Option<WaitStatus>,
}

impl Reaper {
    /// Whether turnlock was killed.
    fn is_alone(&self) -> bool {
        getppid() != Some(self.parent)
    }

    /// Forwards signals until the program has ended, or is to be killed.
    fn attend(&mut self, signals: &mut Caught) -> io::Result<()> {
        let running = children::watch(self.program);
        let mut heard = Heard::default();
        let mut asked = false;
        loop {
            while let Waited::Ended(child, status) = children::reap() {
                if child == self.program {
                    self.ended = Some(status);
                }
            }
            if self.ended.is_some() {
                return Ok(());
            }
            if self.is_alone() {
                match self.purpose {
                    Purpose::Gateway => {
                        let _ = kill_process(self.program, Signal::KILL);
                        return Ok(());
                    }
                    Purpose::Turn if !asked => {
                        let _ = kill_process(self.program, Signal::TERM);
                        asked = true;
                    }
                    Purpose::Turn => {}
                }
            }
            for origin in signals.wait(running.as_ref())? {
                if heard.is_for(self.program, &origin, self.parent) {
                    signals::pass_on(&origin, self.program);
                }
            }
        }
    }

    /// Waits for what is left, as far as that is this process's affair.
    fn see_out(&self) {
        match (self.purpose, self.is_alone()) {
            (Purpose::Turn, false) => {}
            (Purpose::Turn, true) => children::see_out(None, || false),
            (Purpose::Gateway, true) => children::see_out(Some(Duration::ZERO), || true),
            (Purpose::Gateway, false) => {
                let left = children::describe();
                if !left.is_empty() {
                    output::tell(&format!(
                        "the program has ended; what it left is ended too: {left}"
                    ));
                }
                children::see_out(Some(GRACE), || self.is_alone());
            }
        }
    }
}

/// The program's exit code, or 128 + N if signal N ended it, as in shells.
fn code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| Some(128 + status.terminating_signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
