//! The large worlds, checked when `TURNLOCK_MODEL=long`.

use super::check::holds;
use super::world::Op::{Acquire, Append, Foreign, ForeignRewrite, Post, Release, Revoke, Rewrite};
use super::world::World;
use super::worlds::{
    ABANDON, REWRITE, TURN, TWO_TURNS, abandoned, append_rewrite_and_posts, giving_up, local,
    no_session, no_session_beside_foreign, three, two,
};

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
    let events = [large_session_files(), large_peers(), large_assumptions()].concat();
    [large_turns(), large_mixtures(), events, largest()].concat()
}

fn large_turns() -> Vec<(&'static str, World)> {
    let twice = || World::new().task(0, &TWO_TURNS).task(1, &TWO_TURNS);
    let keepers = || three().keeper(0).keeper(1).keeper(2);
    vec![
        ("three turns, a crash, rm", three().budget(|b| (b.crash, b.rm) = (1, 1))),
        ("three turns, two crashes, rm", three().budget(|b| (b.crash, b.rm) = (2, 1))),
        ("three turns, a stop, rm", three().budget(|b| (b.stop, b.rm) = (1, 1))),
        (
            "three turns, a crash, a stop, rm",
            three().budget(|b| (b.crash, b.stop, b.rm) = (1, 1, 1)),
        ),
        ("two turns twice, a crash, rm", twice().budget(|b| (b.crash, b.rm) = (1, 1))),
        ("three that give up, keepers", keepers().giving_up()),
    ]
}

fn large_mixtures() -> Vec<(&'static str, World)> {
    let post_and_revoke = || two().task(2, &[Post]).task(2, &[Revoke]);
    let rewrite = World::new().task(0, &REWRITE).task(1, &TURN).task(2, &[Post]).task(2, &[Revoke]);
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
        ("two tasks and two processes, keepers, a crash", tasks.budget(|b| b.crash = 1)),
        ("two tasks and a process, a revoke, rm", local().task(2, &[Revoke]).budget(|b| b.rm = 1)),
        ("a rewrite, a turn, a post, a revoke, a crash", rewrite.budget(|b| b.crash = 1)),
        ("an abandoned append, a post, a revoke, rm", abandoned.budget(|b| b.rm = 1)),
    ]
}

fn large_session_files() -> Vec<(&'static str, World)> {
    let post = || two().task(2, &[Post]);
    let rewrite = two().task(2, &[Acquire, Rewrite, Append, Release]);
    let (unused, peer) = (no_session().keeper(0).task(3, &TURN), no_session_beside_foreign());
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
        ("two turns, a rewrite and append, a crash", rewrite.clone().budget(|b| b.crash = 1)),
        ("two turns, a rewrite and append, rm", rewrite.budget(|b| b.rm = 1)),
        (
            "an empty turn, two turns, a revoke, a crash, no session file",
            unused.budget(|b| b.crash = 1),
        ),
        ("an empty turn, a turn, a peer, a crash, no session file", peer.budget(|b| b.crash = 1)),
        (
            "three turns, session file renamed away, a crash",
            three().budget(|b| (b.reset, b.crash) = (1, 1)),
        ),
    ]
}

/// What others do to the files, and panics, together with the other faults.
fn large_assumptions() -> Vec<(&'static str, World)> {
    let post = || two().task(2, &[Post]);
    vec![
        (
            "an append and a rewrite, two posts, session file cut, a crash",
            append_rewrite_and_posts().budget(|b| (b.shrink, b.crash) = (1, 1)),
        ),
        (
            "an append and a rewrite, two posts, session file cut and replaced",
            append_rewrite_and_posts().budget(|b| (b.shrink, b.replace) = (1, 1)),
        ),
        (
            "two turns, a post, a link, rm, a stop",
            post().budget(|b| {
                (b.link, b.rm, b.stop) = (1, 1, 1);
            }),
        ),
        ("three turns, a link, a crash", three().budget(|b| (b.link, b.crash) = (1, 1))),
        (
            "two tasks and a process, a revoke, a panic",
            local().task(2, &[Revoke]).budget(|b| b.panic = 1),
        ),
        ("two tasks and a process, rm, a panic", local().budget(|b| (b.rm, b.panic) = (1, 1))),
        ("two turns that give up, a peer, a panic", giving_up().budget(|b| b.panic = 1)),
    ]
}

/// A few minutes together.
fn largest() -> Vec<(&'static str, World)> {
    let tasks = World::new().task(0, &ABANDON).closure(0).task(0, &TURN);
    let all = tasks.task(1, &TURN).keeper(0).task(2, &[Post]).task(2, &[Revoke]);
    let turns = three().keeper(0).keeper(1).keeper(2);
    vec![
        (
            "three turns, keepers, a revoke, a crash, rm",
            turns.task(2, &[Revoke]).budget(|b| (b.crash, b.rm) = (1, 1)),
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
            keepers().task(2, &[Foreign]).task(3, &[Post]).budget(|b| b.crash = 1),
        ),
        ("two turns, two peers", two_peers),
        ("two turns, a revoke, a peer", keepers().task(2, &[Foreign]).task(3, &[Revoke])),
        ("two turns that give up, a peer, a crash", giving_up().budget(|b| b.crash = 1)),
    ]
}
