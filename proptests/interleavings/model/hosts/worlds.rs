//! Worlds of several hosts in which the protocol holds.

use super::super::check::all_hold;
use super::state::Event;
use super::world::Op::{Acquire, Append, Leave, Post, Release, Revoke, Rewrite};
use super::world::{Op, World};

pub const TURN: [Op; 3] = [Acquire, Append, Release];
pub const TWO_LINES: [Op; 4] = [Acquire, Append, Append, Release];
pub const REWRITE: [Op; 4] = [Acquire, Append, Rewrite, Release];

/// Two turns, and the lock file stays between them.
pub const TWO_TURNS: [Op; 6] = [Acquire, Append, Leave, Acquire, Append, Release];

/// The protocol holds in this world, and these things do happen in it.
fn holds(name: &str, world: &World, events: &[Event]) {
    all_hold(name, world);
    for &event in events {
        assert!(world.showed(event), "{name}: nothing shows {event:?}");
    }
}

/// A turn on each of two hosts.
pub fn two() -> World {
    World::new().on(0, &TURN).on(1, &TURN)
}

/// One of them appends twice.
pub fn longer() -> World {
    World::new().on(0, &TWO_LINES).on(1, &TURN)
}

/// One of them takes two turns.
pub fn resumed() -> World {
    World::new().on(0, &TWO_TURNS).on(1, &TURN)
}

/// A holder on one host, and a revoke and a turn on the other.
pub fn revoked() -> World {
    World::new().on(0, &TURN).on(1, &TURN).on(1, &[Revoke])
}

/// A rewrite on one host, a post on the other.
pub fn rewritten() -> World {
    World::new().on(0, &REWRITE).on(1, &[Post])
}

#[test]
fn two_hosts() {
    use Event::{NamesRemoved, Published, Restarted, TakenOver};
    holds("two hosts", &two(), &[Published, Restarted]);
    holds("two hosts, two lines", &longer(), &[Published, Restarted]);
    let same = two().on(0, &TURN);
    holds("two processes of a host, and another", &same, &[Published, Restarted]);
    let kill = two().budget(|b| b.kill = 1);
    holds("two hosts, a process killed", &kill, &[TakenOver, NamesRemoved]);
    holds("two hosts, a power loss", &two().budget(|b| b.off = 1), &[TakenOver]);
    let both = two().budget(|b| (b.kill, b.off) = (1, 1));
    holds("two hosts, a process killed, a power loss", &both, &[TakenOver]);
    holds("two hosts, a post", &two().on(1, &[Post]), &[Event::PostedBeside]);
}

#[test]
fn a_lock_file_stays_between_turns() {
    use Event::{Expired, Resumed, TakenOver};
    holds("a lock file stays", &resumed(), &[Resumed, TakenOver, Event::Restarted]);
    holds("a lock file stays, a post", &resumed().on(1, &[Post]), &[Resumed, TakenOver]);
    holds(
        "a lock file stays on both",
        &World::new().on(0, &TWO_TURNS).on(1, &TWO_TURNS),
        &[Resumed],
    );
    let cut = resumed().budget(|b| b.cut = 1);
    holds("a lock file stays, one cut off", &cut, &[Resumed, Expired]);
    let died = resumed().budget(|b| (b.kill, b.off) = (1, 1));
    holds("a lock file stays, a process killed, a power loss", &died, &[Resumed]);
    let revoke = resumed().on(1, &[Revoke]);
    holds("a lock file stays, a revoke", &revoke, &[Resumed, Event::Revoked]);
    let restart = resumed().budget(|b| b.restart = 1);
    holds("a lock file stays, a restart", &restart, &[Resumed]);
    let rewrite = [Acquire, Append, Leave, Acquire, Rewrite, Append, Release];
    let rewrite = World::new().on(0, &rewrite).on(1, &TWO_TURNS);
    holds("a lock file stays, a rewrite", &rewrite, &[Resumed, Event::Rewritten]);
}

#[test]
fn a_lease_runs_out() {
    use Event::{Expired, TakenOver, WriteRefused};
    let cut = |world: World| world.budget(|b| b.cut = 1);
    holds("two hosts, one cut off", &cut(two()), &[Expired, TakenOver, WriteRefused]);
    holds("two hosts, two lines, one cut off", &cut(longer()), &[Expired, TakenOver]);
    holds("two hosts, both cut off", &two().budget(|b| b.cut = 2), &[Expired, TakenOver]);
    holds("two hosts, delegated, one cut off", &cut(two().delegated()), &[Expired, TakenOver]);
    holds("two hosts, a post, one cut off", &cut(two().on(1, &[Post])), &[WriteRefused]);
    let killed = two().budget(|b| (b.cut, b.kill) = (1, 1));
    holds("two hosts, one cut off, a process killed", &killed, &[Expired]);
    let unsynced = two().budget(|b| (b.cut, b.unsynced) = (1, 1));
    holds("two hosts, one cut off, a failed sync", &unsynced, &[Event::CutBack, Event::NotCutBack]);
}

#[test]
fn a_server_is_started_anew() {
    use Event::{Expired, Reclaimed};
    holds("two hosts, a restart", &two().budget(|b| b.restart = 1), &[Reclaimed]);
    let cut = two().budget(|b| (b.restart, b.cut) = (1, 1));
    holds("two hosts, a restart, one cut off", &cut, &[Reclaimed, Expired]);
    let delegated = two().delegated().budget(|b| (b.restart, b.cut) = (1, 1));
    holds("two hosts, delegated, a restart, one cut off", &delegated, &[Reclaimed, Expired]);
    let off = two().budget(|b| (b.restart, b.off) = (1, 1));
    holds("two hosts, a restart, a power loss", &off, &[Reclaimed]);
}

#[test]
fn a_revoke_by_another_host() {
    holds("two hosts, a revoke", &revoked(), &[Event::Revoked, Event::Refused]);
    let cut = revoked().budget(|b| b.cut = 1);
    holds("two hosts, a revoke, one cut off", &cut, &[Event::Revoked, Event::Expired]);
}

#[test]
fn a_rewrite_on_one_host() {
    use Event::{PostWaited, PostedBeside, Restarted, Rewritten};
    holds("a rewrite, a post", &rewritten(), &[Rewritten, PostWaited, PostedBeside]);
    let turn = World::new().on(0, &REWRITE).on(1, &TURN);
    holds("a rewrite, a turn", &turn, &[Rewritten, Restarted]);
    holds("a rewrite, two posts", &rewritten().on(1, &[Post]), &[Rewritten, PostWaited]);
    let restart = rewritten().budget(|b| b.restart = 1);
    holds("a rewrite, a post, a restart", &restart, &[Rewritten]);
    let cut = rewritten().budget(|b| b.cut = 1);
    holds("a rewrite, a post, one cut off", &cut, &[Rewritten, Event::Expired]);
}
