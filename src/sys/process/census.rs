//! The processes of other PID namespaces, found by the ids that they have there.
//!
//! A container's process has one id in each namespace from its own up to that of the observer.
//! `/proc` tells all of them. It never tells of processes outside the observer's own namespace.

#[cfg_attr(target_os = "linux", path = "census/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "census/portable.rs")]
mod system;

#[cfg(target_os = "linux")]
mod cgroup;

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

pub(crate) use system::container;

/// A list of the processes in other PID namespaces, as they were at one moment.
#[derive(Debug)]
pub(crate) struct Census {
    began: Moment,
    /// Ids in our PID namespace, by each id that the process has in another one.
    namesakes: HashMap<i32, Vec<i32>>,
    sight: Sight,
}

/// Whose processes were seen, in all PID namespaces of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    All,
    /// Those of this user.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "/proc alone hides processes"))]
    OfUser(u32),
    /// There may be others, of anybody.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "/proc alone hides processes"))]
    Part,
}

impl Census {
    /// Lists the processes of this moment.
    ///
    /// Costs some 15 µs for each process of the machine.
    pub(crate) fn take() -> Self {
        // The time comes first: what began before it and still lives is in the list.
        let began = Moment::now();
        let (namesakes, sight) = system::list();
        Self { began, namesakes, sight }
    }

    /// Returns the processes that have this id in another PID namespace, by their ids in ours.
    pub(crate) fn namesakes(&self, pid: i32) -> &[i32] {
        self.namesakes.get(&pid).map_or(&[], Vec::as_slice)
    }

    /// Whether all living processes were seen that may have written a file of user `owner`.
    pub(crate) fn has_seen_all(&self, owner: Option<u32>) -> bool {
        match self.sight {
            Sight::All => true,
            Sight::OfUser(user) => owner == Some(user),
            Sight::Part => false,
        }
    }

    /// How long ago it was taken.
    pub(crate) fn age(&self) -> Duration {
        self.began.instant.elapsed()
    }

    /// Whether a process that was started at this time, or wrote this date, was in the list if it
    /// lived then. One that is younger than the list is not in it.
    pub(crate) fn covers(&self, start_time: Option<u64>, written: Option<Timestamp>) -> bool {
        match (start_time, written) {
            (Some(ticks), _) => self.began.is_well_after_ticks(ticks),
            (None, Some(written)) => self.began.is_well_after(written),
            (None, None) => false,
        }
    }
}

/// A moment by three clocks.
#[derive(Debug)]
struct Moment {
    instant: Instant,
    wall: SystemTime,
    /// Clock ticks since boot.
    ticks: Option<u64>,
}

/// Clocks are read one after the other, and a process gets its start time before it is listed.
const MARGIN: Duration = Duration::from_secs(2);

impl Moment {
    fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now(), ticks: system::ticks_now() }
    }

    fn is_well_after_ticks(&self, ticks: u64) -> bool {
        let margin = MARGIN.as_secs().saturating_mul(system::ticks_per_second());
        self.ticks.is_some_and(|now| ticks.saturating_add(margin) < now)
    }

    /// By the wall clock, if it was not set since.
    fn is_well_after(&self, time: Timestamp) -> bool {
        let passed = SystemTime::now().duration_since(self.wall).unwrap_or_default();
        let was_set = passed.abs_diff(self.instant.elapsed()) > MARGIN / 2;
        let age = self.wall.duration_since(SystemTime::from(time)).unwrap_or_default();
        !was_set && age > MARGIN
    }
}
