//! The worlds in which the protocol must hold. Small ones always, large ones when `TURNLOCK_MODEL=long`.

use crate::check::holds;
use crate::state::Event;
use crate::world::Op::{
    Abandon, Acquire, Append, Foreign, ForeignRewrite, Post, Release, Revoke, Rewrite, Sweep,
};
use crate::world::{Op, World};

pub const TURN: [Op; 3] = [Acquire, Append, Release];
const EMPTY_TURN: [Op; 2] = [Acquire, Release];
const REWRITE: [Op; 3] = [Acquire, Rewrite, Release];
const ABANDON: [Op; 3] = [Acquire, Abandon, Release];
const TWO_TURNS: [Op; 6] = [Acquire, Append, Release, Acquire, Append, Release];

/// Two processes take a turn each.
pub fn two() -> World {
    World::new().task(0, &TURN).task(1, &TURN)
}

/// Three do.
pub fn three() -> World {
    two().task(2, &TURN)
}

/// Two tasks of one process, and a second process.
pub fn local() -> World {
    World::new().task(0, &TURN).task(0, &TURN).task(1, &TURN)
}

/// A cancelled append runs on while its turn is released.
pub fn abandoned() -> World {
    World::new().task(0, &ABANDON).closure(0).task(1, &TURN)
}

/// One rewrites, others post.
pub fn rewrite_and_posts() -> World {
    World::new()
        .task(0, &REWRITE)
        .task(1, &[Post])
        .task(2, &[Post])
}

/// One rewrites, one posts, one revokes.
pub fn rewrite_and_revoke() -> World {
    World::new()
        .task(0, &REWRITE)
        .task(1, &[Post])
        .task(2, &[Revoke])
}

/// We, and a program that takes no kernel lock.
pub fn beside_foreign(peer: Op) -> World {
    World::new().task(0, &TURN).keeper(0).task(1, &[peer])
}

/// The same, and a post.
pub fn post_beside_foreign(peer: Op) -> World {
    beside_foreign(peer).task(2, &[Post])
}

/// Nobody has made the session file, and one turn writes nothing.
pub fn no_session() -> World {
    World::new()
        .without_session()
        .task(0, &EMPTY_TURN)
        .task(1, &TURN)
        .task(2, &[Revoke])
}

/// Waiters give up while a foreign program waits, too.
pub fn giving_up() -> World {
    two().giving_up().keeper(0).keeper(1).task(2, &[Foreign])
}

#[test]
fn two_processes() {
    holds(
        "two turns",
        &two(),
        &[Event::Published, Event::TakenOver, Event::Restarted],
    );
    holds(
        "two turns, a crash",
        &two().budget(|b| b.crash = 1),
        &[Event::TakenOver],
    );
    holds(
        "two turns, two crashes",
        &two().budget(|b| b.crash = 2),
        &[],
    );
    holds(
        "two turns, rm",
        &two().budget(|b| b.rm = 1),
        &[Event::Refused],
    );
    holds(
        "two turns, rm twice",
        &two().budget(|b| b.rm = 2),
        &[Event::Refused],
    );
    let stopped = two().budget(|b| (b.rm, b.stop) = (1, 1));
    holds(
        "two turns, rm, a stop",
        &stopped,
        &[Event::Refused, Event::Restarted],
    );
    let all = two().budget(|b| (b.rm, b.stop, b.crash) = (1, 1, 1));
    holds("two turns, rm, a stop, a crash", &all, &[Event::Refused]);
    holds(
        "two turns, a fork",
        &two().budget(|b| b.fork = 1),
        &[Event::TakenOver],
    );
    let fork_crash = two().budget(|b| (b.fork, b.crash) = (1, 1));
    holds("two turns, a fork, a crash", &fork_crash, &[]);
    let keepers = two().keeper(0).keeper(1).budget(|b| b.crash = 1);
    holds(
        "two turns, keepers, a crash",
        &keepers,
        &[Event::LateUnlink],
    );
}

#[test]
fn two_processes_and_the_session_file() {
    holds(
        "two turns, session file replaced",
        &two().budget(|b| b.replace = 1),
        &[Event::Restarted],
    );
    holds(
        "two turns, session file renamed away",
        &two().budget(|b| b.reset = 1),
        &[Event::Restarted],
    );
    holds(
        "two turns, no session file at first",
        &two().without_session(),
        &[],
    );
    holds(
        "an empty turn, a turn, a revoke, no session file",
        &no_session(),
        &[Event::Revoked],
    );
    let short = two().task(2, &[Post]).budget(|b| b.short = 1);
    holds(
        "two turns, a post, a short write",
        &short,
        &[Event::PostedBeside],
    );
}

#[test]
fn three_processes() {
    holds("three turns", &three(), &[Event::TakenOver]);
    holds(
        "three turns, a crash",
        &three().budget(|b| b.crash = 1),
        &[],
    );
    holds(
        "three turns, rm",
        &three().budget(|b| b.rm = 1),
        &[Event::Refused],
    );
    holds(
        "two turns, a revoke",
        &two().task(2, &[Revoke]),
        &[Event::Revoked, Event::Refused],
    );
    let stopped = two().task(2, &[Revoke]).budget(|b| b.stop = 1);
    holds("two turns, a revoke, a stop", &stopped, &[Event::Revoked]);
    holds(
        "two turns, a post",
        &two().task(2, &[Post]),
        &[Event::PostedBeside],
    );
    let sweep = two().task(2, &[Sweep]).budget(|b| b.crash = 1);
    holds("two turns, a sweep, a crash", &sweep, &[Event::LateUnlink]);
}

#[test]
fn one_process_with_two_tasks() {
    holds("two tasks and a process", &local(), &[Event::HandedOver]);
    holds(
        "two tasks and a process, a crash",
        &local().budget(|b| b.crash = 1),
        &[],
    );
    holds(
        "two tasks and a process, rm",
        &local().budget(|b| b.rm = 1),
        &[Event::Refused],
    );
    let revoked = local().task(2, &[Revoke]);
    holds(
        "two tasks and a process, a revoke",
        &revoked,
        &[Event::Revoked, Event::HandedOver],
    );
    holds("an abandoned append", &abandoned(), &[Event::Refused]);
    let handed = World::new().task(0, &ABANDON).closure(0).task(0, &TURN);
    holds(
        "an abandoned append, a hand-over",
        &handed,
        &[Event::Refused, Event::HandedOver],
    );
    let removed = abandoned().budget(|b| b.rm = 1);
    holds("an abandoned append, rm", &removed, &[Event::Refused]);
}

#[test]
fn posts_and_rewrites() {
    holds(
        "a rewrite, two posts",
        &rewrite_and_posts(),
        &[Event::Rewritten, Event::PostedBeside],
    );
    let crash = rewrite_and_posts().budget(|b| b.crash = 1);
    holds("a rewrite, two posts, a crash", &crash, &[Event::Rewritten]);
    holds(
        "a rewrite, a post, a revoke",
        &rewrite_and_revoke(),
        &[Event::Rewritten, Event::Revoked],
    );
    let turn = World::new().task(0, &REWRITE).task(1, &TURN);
    holds("a rewrite, a turn", &turn, &[Event::Rewritten]);
}

#[test]
fn foreign_programs() {
    holds(
        "a turn, a peer",
        &beside_foreign(Foreign),
        &[Event::ForeignHeld, Event::LateUnlink],
    );
    let crash = beside_foreign(Foreign).budget(|b| b.crash = 1);
    holds(
        "a turn, a peer, a crash",
        &crash,
        &[Event::ForeignHeld, Event::TakenOver],
    );
    let rm = beside_foreign(Foreign).budget(|b| b.rm = 1);
    holds(
        "a turn, a peer, rm",
        &rm,
        &[Event::ForeignHeld, Event::Refused],
    );
    let slow = beside_foreign(Foreign).slow_foreign();
    holds("a turn, a peer later than 30 s", &slow, &[Event::Refused]);
    holds(
        "a turn, a post, a peer",
        &post_beside_foreign(Foreign),
        &[Event::PostedBeside],
    );
    let crash = post_beside_foreign(Foreign).budget(|b| b.crash = 1);
    holds(
        "a turn, a post, a peer, a crash",
        &crash,
        &[Event::PostedBeside],
    );
    let crash = post_beside_foreign(ForeignRewrite).budget(|b| b.crash = 1);
    holds(
        "a turn, a post, a rewriting peer, a crash",
        &crash,
        &[Event::PostedBeside],
    );
    let rm = beside_foreign(ForeignRewrite).rm_sparing_foreign();
    holds(
        "a turn, a rewriting peer, rm of ours",
        &rm,
        &[Event::Refused],
    );
    let crash = two()
        .keeper(0)
        .keeper(1)
        .task(2, &[Foreign])
        .budget(|b| b.crash = 1);
    holds("two turns, a peer, a crash", &crash, &[Event::ForeignHeld]);
    holds(
        "two turns that give up, a peer",
        &giving_up(),
        &[Event::LateUnlink],
    );
}

/// Minutes, not seconds: set `TURNLOCK_MODEL=long`, and build with `--release`.
#[test]
fn large_worlds() {
    if std::env::var("TURNLOCK_MODEL").as_deref() != Ok("long") {
        eprintln!("skipped: set TURNLOCK_MODEL=long");
        return;
    }
    for (name, world) in large() {
        holds(name, &world, &[]);
    }
}

fn large() -> Vec<(&'static str, World)> {
    [
        large_turns(),
        large_mixtures(),
        large_session_files(),
        large_peers(),
        largest(),
    ]
    .concat()
}

fn large_turns() -> Vec<(&'static str, World)> {
    let twice = || World::new().task(0, &TWO_TURNS).task(1, &TWO_TURNS);
    let keepers = || three().keeper(0).keeper(1).keeper(2);
    vec![
        (
            "three turns, a crash, rm",
            three().budget(|b| (b.crash, b.rm) = (1, 1)),
        ),
        (
            "three turns, two crashes, rm",
            three().budget(|b| (b.crash, b.rm) = (2, 1)),
        ),
        (
            "three turns, a stop, rm",
            three().budget(|b| (b.stop, b.rm) = (1, 1)),
        ),
        (
            "three turns, a crash, a stop, rm",
            three().budget(|b| (b.crash, b.stop, b.rm) = (1, 1, 1)),
        ),
        (
            "two turns twice, a crash, rm",
            twice().budget(|b| (b.crash, b.rm) = (1, 1)),
        ),
        ("three that give up, keepers", keepers().giving_up()),
    ]
}

fn large_mixtures() -> Vec<(&'static str, World)> {
    let post_and_revoke = || two().task(2, &[Post]).task(2, &[Revoke]);
    let rewrite = World::new()
        .task(0, &REWRITE)
        .task(1, &TURN)
        .task(2, &[Post])
        .task(2, &[Revoke]);
    let abandoned = abandoned().task(2, &[Post]).task(2, &[Revoke]);
    let tasks = local().task(2, &TURN).keeper(0).keeper(1).keeper(2);
    vec![
        (
            "two turns, a post, a revoke, a crash, rm",
            post_and_revoke().budget(|b| (b.crash, b.rm) = (1, 1)),
        ),
        (
            "two turns, a post, a revoke, a stop, a short write",
            post_and_revoke().budget(|b| (b.stop, b.short) = (1, 1)),
        ),
        (
            "two tasks and two processes, keepers, a crash",
            tasks.budget(|b| b.crash = 1),
        ),
        (
            "two tasks and a process, a revoke, rm",
            local().task(2, &[Revoke]).budget(|b| b.rm = 1),
        ),
        (
            "a rewrite, a turn, a post, a revoke, a crash",
            rewrite.budget(|b| b.crash = 1),
        ),
        (
            "an abandoned append, a post, a revoke, rm",
            abandoned.budget(|b| b.rm = 1),
        ),
    ]
}

fn large_session_files() -> Vec<(&'static str, World)> {
    let post = || two().task(2, &[Post]);
    let rewrite = two().task(2, &[Acquire, Rewrite, Append, Release]);
    vec![
        (
            "two turns, a post, session file replaced, a crash",
            post().budget(|b| (b.replace, b.crash) = (1, 1)),
        ),
        (
            "two turns, a post, session file replaced, rm",
            post().budget(|b| (b.replace, b.rm) = (1, 1)),
        ),
        (
            "two turns, a post, a revoke, session file replaced",
            post().task(2, &[Revoke]).budget(|b| b.replace = 1),
        ),
        (
            "two turns, a rewrite and append, a crash",
            rewrite.clone().budget(|b| b.crash = 1),
        ),
        (
            "two turns, a rewrite and append, rm",
            rewrite.budget(|b| b.rm = 1),
        ),
        (
            "three turns, session file renamed away, a crash",
            three().budget(|b| (b.reset, b.crash) = (1, 1)),
        ),
    ]
}

/// A few minutes together.
fn largest() -> Vec<(&'static str, World)> {
    let tasks = World::new().task(0, &ABANDON).closure(0).task(0, &TURN);
    let all = tasks
        .task(1, &TURN)
        .keeper(0)
        .task(2, &[Post])
        .task(2, &[Revoke]);
    let turns = three().keeper(0).keeper(1).keeper(2);
    vec![
        (
            "three turns, keepers, a revoke, a crash, rm",
            turns
                .task(2, &[Revoke])
                .budget(|b| (b.crash, b.rm) = (1, 1)),
        ),
        (
            "an abandoned append, a second task, a turn, a post, a revoke, a crash",
            all.budget(|b| b.crash = 1),
        ),
        (
            "three turns, a rewrite, a post, a crash",
            World::new()
                .task(0, &[Acquire, Rewrite, Append, Release])
                .task(1, &TURN)
                .task(2, &TURN)
                .task(3, &[Post])
                .budget(|b| b.crash = 1),
        ),
    ]
}

fn large_peers() -> Vec<(&'static str, World)> {
    let keepers = || two().keeper(0).keeper(1);
    let two_peers = keepers().task(2, &[Foreign]).task(3, &[ForeignRewrite]);
    vec![
        (
            "two turns, a post, a rewriting peer",
            keepers().task(2, &[ForeignRewrite]).task(2, &[Post]),
        ),
        (
            "two turns, a post, a peer, a crash",
            keepers()
                .task(2, &[Foreign])
                .task(3, &[Post])
                .budget(|b| b.crash = 1),
        ),
        ("two turns, two peers", two_peers),
        (
            "two turns, a revoke, a peer",
            keepers().task(2, &[Foreign]).task(3, &[Revoke]),
        ),
        (
            "two turns that give up, a peer, a crash",
            giving_up().budget(|b| b.crash = 1),
        ),
    ]
}
