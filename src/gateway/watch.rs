//! Watches a gateway: its state, and changes of its state.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Result;
use super::report::PROBE;
use super::{GatewayBuilder, GatewayReport, Health, probe, status};
use crate::sessions::Sessions;
use crate::sessions::sweep::LockState;

/// A session that is held longer than this is reported.
const LONG_HOLD: Duration = Duration::from_secs(5 * 60);

/// The state of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Condition {
    /// It answers that it is healthy, its owner lives, and no session lock is stale, unreadable or
    /// held for more than 5 minutes.
    Healthy,
    /// It runs, and something is wrong with it.
    Degraded,
    /// It accepts connections and does not answer: it is stopped, or its event loop is blocked.
    LockedUp,
    /// Nobody listens on its port, and its locks have no known living owner.
    Gone,
    /// It cannot be seen: a file may not be read, or no connection can be made from here.
    Unknown,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::LockedUp => "locked up",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        })
    }
}

/// One look at a gateway.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Observation {
    /// Its state.
    pub condition: Condition,
    /// What is wrong, one sentence per cause.
    pub reasons: Vec<String>,
    /// The address that was looked at.
    pub address: SocketAddr,
    /// What `/healthz` answered.
    pub health: Health,
    /// The id of the process that its lock names.
    pub pid: Option<i32>,
    /// The number of its sessions that are held.
    pub held_sessions: usize,
    /// The number of its sessions whose lock is stale.
    pub stale_sessions: usize,
    /// The number of its session locks in each [state](LockState), by the name of the state. States
    /// without a lock are missing.
    pub locks_by_state: BTreeMap<&'static str, usize>,
}

/// Looks at an address only, and not at any lock.
///
/// **Blocking**, for at most a second.
#[must_use]
pub fn observe_address(address: SocketAddr) -> Observation {
    let health = probe(address, PROBE);
    let (condition, reasons) = weigh(&health, true);
    Observation {
        condition,
        reasons,
        address,
        health,
        pid: None,
        held_sessions: 0,
        stale_sessions: 0,
        locks_by_state: BTreeMap::new(),
    }
}

/// Looks at a gateway and at the locks of its sessions. Changes nothing.
///
/// The port is the one that the owner recorded, or that of `gateway`, unless `port` names another.
///
/// **Blocking**, for a second or so.
///
/// # Errors
/// [`Error::Lock`](super::Error::Lock) if there is no such state directory.
pub fn observe(gateway: &GatewayBuilder, port: Option<u16>) -> Result<Observation> {
    let report = status(gateway, port)?;
    let (condition, reasons) = judge(&report);
    let owner = report.locks().find_map(|lock| lock.process.as_ref());
    let pid = owner.map(|owner| owner.pid_here.unwrap_or(owner.pid));
    let mut seen = Observation {
        condition,
        reasons,
        address: report.address,
        health: report.health,
        pid,
        held_sessions: 0,
        stale_sessions: 0,
        locks_by_state: BTreeMap::new(),
    };
    for dir in gateway.layout(false)?.session_dirs() {
        seen.add_sessions_of(&dir);
    }
    if seen.condition == Condition::Healthy && !seen.reasons.is_empty() {
        seen.condition = Condition::Degraded;
    }
    Ok(seen)
}

fn judge(report: &GatewayReport) -> (Condition, Vec<String>) {
    let lives = report.owner_lives();
    match &report.health {
        Health::Refused if lives => (
            Condition::Degraded,
            vec![format!("its owner lives, and nobody listens on {}", report.address)],
        ),
        Health::Refused => match report.locks().find_map(|lock| lock.error.clone()) {
            // Its owner may live.
            Some(unseen) => (Condition::Unknown, vec![unseen]),
            None => weigh(&report.health, lives),
        },
        health => weigh(health, lives),
    }
}

fn weigh(health: &Health, lives: bool) -> (Condition, Vec<String>) {
    match health {
        Health::Healthy if lives => (Condition::Healthy, Vec::new()),
        Health::Healthy => {
            (Condition::Degraded, vec!["it answers, and nobody has the gateway's lock".into()])
        }
        Health::Unhealthy(reason) => (Condition::Degraded, vec![reason.clone()]),
        Health::Silent => (Condition::LockedUp, vec![health.to_string()]),
        Health::Refused => (Condition::Gone, vec![health.to_string()]),
        Health::Unknown(reason) => (Condition::Unknown, vec![reason.clone()]),
    }
}

impl Observation {
    fn add_sessions_of(&mut self, dir: &std::path::Path) {
        let locks = match Sessions::new().status(dir) {
            Ok(locks) => locks,
            Err(error) => return self.reasons.push(error.to_string()),
        };
        for lock in locks {
            *self.locks_by_state.entry(lock.state.as_str()).or_default() += 1;
            match lock.state {
                LockState::Held | LockState::Foreign => {
                    self.held_sessions += 1;
                    let age = lock.holder.as_ref().and_then(|holder| holder.age());
                    if let Some(age) = age.filter(|age| *age > LONG_HOLD) {
                        let minutes = age.as_secs() / 60;
                        self.reasons.push(format!(
                            "{} has been held for {minutes} minutes",
                            lock.session().display()
                        ));
                    }
                }
                LockState::Stale => {
                    self.stale_sessions += 1;
                    self.reasons.push(format!("{} has a stale lock", lock.session().display()));
                }
                LockState::Unreadable => self.reasons.extend(lock.error),
                LockState::Fresh | LockState::Remote | LockState::Unseen => {}
            }
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The state before; `None` for the first state.
    pub from: Option<Condition>,
    /// The state now.
    pub to: Condition,
    /// When it was reported.
    #[serde(serialize_with = "iso")]
    pub at: SystemTime,
}

fn iso<S: serde::Serializer>(
    at: &SystemTime,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::error::iso(*at).unwrap_or_default())
}

/// Reports each change of state once, when enough looks in a row have seen it.
///
/// From healthy it is also a change when twice as many looks in a row have not seen it healthy,
/// whatever they have seen: a gateway that crashes and is restarted again and again is in turn gone
/// and degraded.
#[derive(Debug)]
pub struct Watch {
    after: u32,
    reported: Option<Condition>,
    seen: Option<(Condition, u32)>,
    /// How many looks in a row have not seen it healthy.
    unwell: u32,
}

impl Watch {
    /// Reports a change when `after` looks in a row have seen it, and the first state at once.
    #[must_use]
    pub fn new(after: u32) -> Self {
        Self { after, reported: None, seen: None, unwell: 0 }
    }

    /// Takes one look into account, and returns the change that it completes, if any.
    pub fn see(&mut self, now: Condition) -> Option<Change> {
        let times = match self.seen {
            Some((before, times)) if before == now => times.saturating_add(1),
            _ => 1,
        };
        self.seen = Some((now, times));
        self.unwell = if now == Condition::Healthy { 0 } else { self.unwell.saturating_add(1) };
        let lasts = match self.reported {
            None => true,
            Some(Condition::Healthy) => {
                times >= self.after || self.unwell >= self.after.saturating_mul(2)
            }
            Some(_) => times >= self.after,
        };
        if self.reported == Some(now) || !lasts {
            return None;
        }
        let change = Change { from: self.reported, to: now, at: SystemTime::now() };
        self.reported = Some(now);
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::Condition::{Degraded, Gone, Healthy, LockedUp, Unknown};
    use super::*;

    fn reported(after: u32, looks: &[Condition]) -> Vec<(Option<Condition>, Condition)> {
        let mut watch = Watch::new(after);
        looks
            .iter()
            .filter_map(|look| watch.see(*look))
            .map(|change| (change.from, change.to))
            .collect()
    }

    #[test]
    fn the_first_state_is_reported_at_once_and_a_change_once_when_it_lasts() {
        let looks = [
            Healthy, Healthy, LockedUp, Healthy, LockedUp, LockedUp, LockedUp, Gone, Gone, Healthy,
            Healthy,
        ];
        let expected = [
            (None, Healthy),
            (Some(Healthy), LockedUp),
            (Some(LockedUp), Gone),
            (Some(Gone), Healthy),
        ];
        assert_eq!(reported(2, &looks), expected);
        assert_eq!(
            reported(1, &[Gone, Healthy, Gone]),
            [(None, Gone), (Some(Gone), Healthy), (Some(Healthy), Gone)]
        );
    }

    #[test]
    fn bad_states_that_alternate_are_not_healthy() {
        let looks =
            [Healthy, Gone, Degraded, Gone, Degraded, Gone, Healthy, Gone, Healthy, Healthy];
        let expected = [(None, Healthy), (Some(Healthy), Degraded), (Some(Degraded), Healthy)];
        assert_eq!(reported(2, &looks), expected);
        let looks = [Healthy, Gone, Unknown, LockedUp, Gone, Unknown, LockedUp, Gone];
        assert_eq!(reported(3, &looks), [(None, Healthy), (Some(Healthy), LockedUp)]);
    }
}
