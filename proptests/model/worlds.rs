//! The worlds in which the protocol must hold.

use crate::check::holds;
use crate::world::Op::{Abandon, Acquire, Append, Foreign, Post, Release, Revoke, Rewrite, Sweep};
use crate::world::World;

#[test]
fn two_turns() {
    let turn = [Acquire, Append, Release];
    let world = World::new().task(0, &turn).task(1, &turn);
    holds("two turns", &world);
}

#[test]
fn two_turns_crash() {
    let turn = [Acquire, Append, Release];
    let world = World::new()
        .task(0, &turn)
        .task(1, &turn)
        .budget(|b| b.crash = 1);
    holds("two turns, a crash", &world);
}

#[test]
fn two_turns_rm() {
    let turn = [Acquire, Append, Release];
    let world = World::new()
        .task(0, &turn)
        .task(1, &turn)
        .budget(|b| b.rm = 1);
    holds("two turns, an rm", &world);
}

#[test]
fn misc() {
    let turn = [Acquire, Append, Release];
    let base = || World::new().task(0, &turn).task(1, &turn);
    holds("stop", &base().budget(|b| b.stop = 1));
    holds(
        "stop rm",
        &base().budget(|b| {
            b.stop = 1;
            b.rm = 1
        }),
    );
    holds("keepers", &base().keeper(0).keeper(1));
    holds(
        "keepers crash",
        &base().keeper(0).keeper(1).budget(|b| b.crash = 1),
    );
    holds("post", &base().task(2, &[Post]));
    holds(
        "foreign",
        &World::new().task(0, &turn).keeper(0).task(1, &[Foreign]),
    );
    holds(
        "foreign crash",
        &World::new()
            .task(0, &turn)
            .keeper(0)
            .task(1, &[Foreign])
            .budget(|b| b.crash = 1),
    );
    holds("revoke", &base().task(2, &[Revoke]));
    holds(
        "rewrite",
        &World::new()
            .task(0, &[Acquire, Rewrite, Release])
            .task(1, &[Post])
            .task(2, &[Post]),
    );
    holds(
        "handover",
        &World::new().task(0, &turn).task(0, &turn).task(1, &turn),
    );
    holds(
        "abandon",
        &World::new()
            .task(0, &[Acquire, Abandon, Release])
            .closure(0)
            .task(1, &turn),
    );
    holds("sweep", &base().task(2, &[Sweep]).budget(|b| b.crash = 1));
}
