//! What is counted and measured, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Unit, counter, describe_gauge, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use turnlock::gateway::{self, Condition, GatewayBuilder, Layout, Observation};
use turnlock::{LockState, Sessions};

use crate::failure::Failure;

/// The upper bounds of the buckets of a histogram, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0];
const LOCK_STATES: [LockState; 7] = [
    LockState::Held,
    LockState::Foreign,
    LockState::Stale,
    LockState::Fresh,
    LockState::Remote,
    LockState::Unseen,
    LockState::Unreadable,
];
const CONDITIONS: [(&str, Condition); 5] = [
    ("healthy", Condition::Healthy),
    ("degraded", Condition::Degraded),
    ("locked-up", Condition::LockedUp),
    ("gone", Condition::Gone),
    ("unknown", Condition::Unknown),
];

/// Where the facts about gateways come from.
pub(super) enum Watched {
    /// The gateway of this process, which is looked at when it is asked for.
    Own(Box<Own>),
    /// What a monitor saw last.
    Last(LastSeen),
}

/// The gateway of this process.
pub(super) struct Own {
    pub(super) builder: GatewayBuilder,
    pub(super) layout: Layout,
}

impl Own {
    /// How many of its sessions are held.
    pub(super) fn held_sessions(&self) -> usize {
        let sessions = Sessions::new();
        let dirs = self.layout.session_dirs();
        let locks = dirs.iter().filter_map(|dir| sessions.status(dir).ok()).flatten();
        locks.filter(|lock| matches!(lock.state, LockState::Held | LockState::Foreign)).count()
    }

    fn look(&self) -> Seen {
        match gateway::observe(&self.builder, None) {
            Ok(seen) => Seen::of(&seen),
            Err(_) => Seen { condition: Condition::Unknown, locks: BTreeMap::new() },
        }
    }
}

/// What a monitor saw last, by target.
#[derive(Clone, Default)]
pub(super) struct LastSeen(Arc<Mutex<BTreeMap<String, Seen>>>);

impl LastSeen {
    pub(super) fn note(&self, target: String, seen: Seen) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(target, seen);
    }

    fn all(&self) -> BTreeMap<String, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a look at a gateway has seen.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) condition: Condition,
    /// The number of session locks, by state.
    pub(super) locks: BTreeMap<&'static str, usize>,
}

impl Seen {
    pub(super) fn of(seen: &Observation) -> Self {
        Self { condition: seen.condition, locks: seen.locks_by_state.clone() }
    }

    fn tell(&self, target: &str) {
        for state in LOCK_STATES {
            let number = self.locks.get(state.as_str()).copied().unwrap_or_default();
            let labels = [("target", target.to_owned()), ("state", state.as_str().to_owned())];
            gauge!("turnlock_session_locks", &labels).set(number as f64);
        }
        for (name, condition) in CONDITIONS {
            let labels = [("target", target.to_owned()), ("state", name.to_owned())];
            let is_so = f64::from(u8::from(self.condition == condition));
            gauge!("turnlock_gateways", &labels).set(is_so);
        }
    }
}

/// The recorder of this process.
pub(super) struct Metrics(PrometheusHandle);

impl Metrics {
    pub(super) fn install() -> Result<Self, Failure> {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(seconds, &BUCKETS)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|e| Failure::new(format!("cannot count anything: {e}")))?;
        describe();
        show_what_is_zero();
        gauge!("turnlock_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(Self(recorder))
    }

    /// The text, as of now.
    pub(super) fn text(&self, watched: &Watched, uptime: Duration) -> String {
        gauge!("turnlock_uptime_seconds").set(uptime.as_secs_f64());
        match watched {
            Watched::Own(own) => own.look().tell(&own.layout.state_dir().display().to_string()),
            Watched::Last(last) => {
                last.all().iter().for_each(|(target, seen)| seen.tell(target));
            }
        }
        self.0.run_upkeep();
        self.0.render()
    }
}

fn describe() {
    turnlock::describe_metrics();
    describe_gauge!(
        "turnlock_session_locks",
        Unit::Count,
        "Locks of sessions that exist now, by gateway and state, whoever made them."
    );
    describe_gauge!(
        "turnlock_gateways",
        Unit::Count,
        "1 for the state that a gateway is in, and 0 for the others."
    );
    describe_gauge!(
        "turnlock_build_info",
        Unit::Count,
        "Always 1; the version of turnlock is the label."
    );
    describe_gauge!(
        "turnlock_uptime_seconds",
        Unit::Seconds,
        "How long this process has been serving metrics."
    );
}

/// A name that appears with its first event cannot be told from one that does not exist.
fn show_what_is_zero() {
    for name in [
        "turnlock_turns_total",
        "turnlock_timeouts_total",
        "turnlock_takeovers_total",
        "turnlock_revocations_total",
        "turnlock_lost_locks_total",
    ] {
        drop(counter!(name));
    }
    for name in ["turnlock_wait_seconds", "turnlock_hold_seconds"] {
        drop(histogram!(name));
    }
}
