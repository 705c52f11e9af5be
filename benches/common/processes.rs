//! Measurements across processes: throughput and fairness under contention, wake-up, and the cost
//! of a kill.

use std::path::Path;
use std::time::Duration;

use super::actor::{Actor, now};
use super::waits::Waits;

/// Starts an actor for a session.
pub type Start<'a> = &'a dyn Fn(&Path) -> Actor;

/// The turns of several processes on one session.
#[derive(Debug, Clone)]
pub struct Contention {
    pub per_process: Vec<u64>,
    pub waits: Waits,
    pub time: Duration,
}

impl Contention {
    pub fn turns(&self) -> u64 {
        self.per_process.iter().sum()
    }

    pub fn per_second(&self) -> f64 {
        self.turns() as f64 / self.time.as_secs_f64()
    }

    /// The fewest turns of any process, divided by the most.
    pub fn fairness(&self) -> f64 {
        let fewest = self.per_process.iter().min().copied().unwrap_or(0);
        let most = self.per_process.iter().max().copied().unwrap_or(0);
        fewest as f64 / most.max(1) as f64
    }
}

/// Lets several processes take turns for some time.
pub fn contend(
    start: Start,
    session: &Path,
    processes: usize,
    hold: Duration,
    time: Duration,
) -> Contention {
    let mut actors: Vec<_> = (0..processes).map(|_| start(session)).collect();
    // Every process has started, and has had a turn, before the measurement begins.
    for actor in &mut actors {
        actor.ask("cycle 1");
    }
    for actor in &mut actors {
        actor.tell(&format!("contend {} {}", hold.as_nanos(), time.as_millis()));
    }
    let mut result = Contention { per_process: Vec::new(), waits: Waits::default(), time };
    for actor in &mut actors {
        let line = actor.answer();
        let waits =
            Waits::from_line(&line).unwrap_or_else(|| panic!("not an actor's waits: {line:?}"));
        result.per_process.push(waits.count);
        result.waits.merge(&waits);
    }
    result
}

/// Long enough for a waiter to be blocked, even where it polls.
const BLOCKED: Duration = Duration::from_millis(4);

/// The times from a release in one process to the acquire in another process that is blocked.
pub fn wake_up(start: Start, session: &Path, rounds: usize) -> Waits {
    let (mut holder, mut waiter) = (start(session), start(session));
    let mut waits = Waits::default();
    holder.ask("acquire");
    for _ in 0..rounds {
        waiter.tell("acquire");
        std::thread::sleep(BLOCKED);
        let released = holder.ask("release");
        let acquired: u64 = waiter.answer().parse().unwrap();
        waits.record(Duration::from_nanos(acquired.saturating_sub(released)));
        std::mem::swap(&mut holder, &mut waiter);
    }
    waits
}

/// The times from the SIGKILL of a holder to the turn of a waiter that is blocked.
pub fn after_kill(start: Start, session: &Path, rounds: usize) -> Waits {
    let mut waits = Waits::default();
    let mut holder = start(session);
    holder.ask("acquire");
    for _ in 0..rounds {
        let mut waiter = start(session);
        waiter.tell("acquire");
        std::thread::sleep(BLOCKED * 3);
        let killed = now();
        holder.kill();
        let acquired: u64 = waiter.answer().parse().unwrap();
        waits.record(Duration::from_nanos(acquired.saturating_sub(killed)));
        holder = waiter;
    }
    waits
}
