//! What a judge may ask about processes. A trait, so that tests can set up any state of affairs.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::{Claim, Known, PidClaim};
use crate::sys::process::{self, Census, ProcessState};

/// The questions of [`judge`](super::judge). Functions of the same names in [`process`] describe
/// the answers.
pub(crate) trait Facts {
    fn own_pid(&self) -> i32;
    /// The start time of this process, as it records it itself.
    fn own_start_time(&self) -> Option<u64>;
    /// Whether a turn of this process holds the session in question.
    fn held_here(&self) -> bool;
    fn state(&self, pid: i32) -> ProcessState;
    fn start_time(&self, pid: i32) -> io::Result<Option<u64>>;
    /// Whether the process may have another clock than this one. It may then have recorded another
    /// start time for itself than this process reads.
    fn clock_unseen(&self, pid: i32) -> bool;
    fn started_at(&self, pid: i32) -> Option<Timestamp>;
    fn command_line(&self, pid: i32) -> Option<Vec<OsString>>;
    fn boot_time(&self) -> Option<Timestamp>;
    /// Looks in other PID namespaces for a process with the id that `claim` names, and of which
    /// `lives` is true by its id in ours.
    fn elsewhere(&self, claim: &Claim, lives: &dyn Fn(i32) -> bool) -> Elsewhere;
}

/// What a look into other PID namespaces showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// The owner lives there. It has this id in our namespace.
    Lives(i32),
    /// It lives nowhere on this machine.
    Nowhere,
    /// It was not seen, and there may be namespaces that cannot be seen from here.
    Unseen,
}

impl Elsewhere {
    fn of(
        census: &Census,
        claim: &Claim,
        writer: Option<u32>,
        lives: &dyn Fn(i32) -> bool,
    ) -> Self {
        let PidClaim::Pid(pid) = claim.pid else { return Self::Nowhere };
        match census.namesakes(pid).iter().find(|pid| lives(**pid)) {
            Some(pid) => Self::Lives(*pid),
            None if census.has_seen_all(writer) => Self::Nowhere,
            None => Self::Unseen,
        }
    }
}

/// The processes of this machine.
#[derive(Clone, Copy)]
pub(crate) struct Processes<'a> {
    /// The answer to [`Facts::held_here`]. A contender for the session knows that it is not.
    pub(super) held_here: bool,
    /// The user that the lock file belongs to, if known.
    pub(super) writer: Option<u32>,
    /// Who remembers the census of a sweep. Without it, one is taken for each judgement that needs
    /// it.
    pub(super) known: Option<&'a Known>,
}

impl Processes<'static> {
    /// The facts for one lock file, which belongs to the user `writer`.
    pub(crate) fn of_lock(held_here: bool, writer: Option<u32>) -> Self {
        Self { held_here, writer, known: None }
    }
}

impl Facts for Processes<'_> {
    fn own_pid(&self) -> i32 {
        process::own().pid
    }

    fn own_start_time(&self) -> Option<u64> {
        process::own().start_time
    }

    fn held_here(&self) -> bool {
        self.held_here
    }

    fn state(&self, pid: i32) -> ProcessState {
        process::state(pid)
    }

    fn start_time(&self, pid: i32) -> io::Result<Option<u64>> {
        process::start_time(pid)
    }

    fn clock_unseen(&self, pid: i32) -> bool {
        process::clock_unseen(pid)
    }

    fn started_at(&self, pid: i32) -> Option<Timestamp> {
        process::started_at(pid)
    }

    fn command_line(&self, pid: i32) -> Option<Vec<OsString>> {
        process::command_line(pid)
    }

    fn boot_time(&self) -> Option<Timestamp> {
        process::boot_time()
    }

    fn elsewhere(&self, claim: &Claim, lives: &dyn Fn(i32) -> bool) -> Elsewhere {
        let look = |census: &Census| Elsewhere::of(census, claim, self.writer, lives);
        if let Some(known) = self.known {
            return look(&known.census_for(claim));
        }
        // A waiter asks the same question every few milliseconds.
        if let Some(census) = recent_census() {
            let found = look(&census);
            // That an owner lives nowhere counts only by a list that is younger than its record.
            if found != Elsewhere::Nowhere {
                return found;
            }
        }
        look(&remember(Census::take()))
    }
}

static RECENT: Mutex<Option<Arc<Census>>> = Mutex::new(None);
/// How long a census is used for a waiter.
const RECENTLY: Duration = Duration::from_secs(1);

/// The mutex is only ever *tried*: in a fork, nobody may ever release it.
fn recent_census() -> Option<Arc<Census>> {
    let census = RECENT.try_lock()?.clone()?;
    (census.age() < RECENTLY).then_some(census)
}

fn remember(census: Census) -> Arc<Census> {
    let census = Arc::new(census);
    if let Some(mut recent) = RECENT.try_lock() {
        *recent = Some(Arc::clone(&census));
    }
    census
}
