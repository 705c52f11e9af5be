//! survey
use crate::check::check;
use crate::world::Op::*;
use crate::world::{Bugs, World};

fn battery() -> Vec<(&'static str, World)> {
    let turn = [Acquire, Append, Release];
    let two = || World::new().task(0, &turn).task(1, &turn);
    vec![
        ("two", two()),
        ("two crash", two().budget(|b| b.crash = 1)),
        ("two rm", two().budget(|b| b.rm = 1)),
        (
            "two rm stop",
            two().budget(|b| {
                b.rm = 1;
                b.stop = 1;
            }),
        ),
        ("two revoke", two().task(2, &[Revoke])),
        (
            "two revoke stop",
            two().task(2, &[Revoke]).budget(|b| b.stop = 1),
        ),
        ("two post", two().task(2, &[Post])),
        (
            "two sweep crash",
            two().task(2, &[Sweep]).budget(|b| b.crash = 1),
        ),
        (
            "two keepers crash",
            two().keeper(0).keeper(1).budget(|b| b.crash = 1),
        ),
        ("two replace", two().budget(|b| b.replace = 1)),
        ("two reset", two().budget(|b| b.reset = 1)),
        ("two fork", two().budget(|b| b.fork = 1)),
        ("three", two().task(2, &turn)),
        ("three crash", two().task(2, &turn).budget(|b| b.crash = 1)),
        (
            "three crash rm",
            two().task(2, &turn).budget(|b| {
                b.crash = 1;
                b.rm = 1;
            }),
        ),
        (
            "hand",
            World::new().task(0, &turn).task(0, &turn).task(1, &turn),
        ),
        (
            "hand rm",
            World::new()
                .task(0, &turn)
                .task(0, &turn)
                .task(1, &turn)
                .budget(|b| b.rm = 1),
        ),
        (
            "abandon",
            World::new()
                .task(0, &[Acquire, Abandon, Release])
                .closure(0)
                .task(1, &turn),
        ),
        (
            "abandon hand",
            World::new()
                .task(0, &[Acquire, Abandon, Release])
                .closure(0)
                .task(0, &turn),
        ),
        (
            "rewrite post",
            World::new()
                .task(0, &[Acquire, Rewrite, Release])
                .task(1, &[Post])
                .task(2, &[Post]),
        ),
        (
            "rewrite turn",
            World::new()
                .task(0, &[Acquire, Rewrite, Release])
                .task(1, &turn),
        ),
        (
            "rewrite post revoke",
            World::new()
                .task(0, &[Acquire, Rewrite, Release])
                .task(1, &[Post])
                .task(2, &[Revoke]),
        ),
        (
            "foreign",
            World::new().task(0, &turn).keeper(0).task(1, &[Foreign]),
        ),
        (
            "foreign crash",
            World::new()
                .task(0, &turn)
                .keeper(0)
                .task(1, &[Foreign])
                .budget(|b| b.crash = 1),
        ),
        (
            "foreign slow",
            World::new()
                .task(0, &turn)
                .keeper(0)
                .task(1, &[Foreign])
                .slow_foreign(),
        ),
        (
            "foreign post",
            World::new()
                .task(0, &turn)
                .keeper(0)
                .task(1, &[Foreign])
                .task(2, &[Post]),
        ),
        (
            "foreign post crash",
            World::new()
                .task(0, &turn)
                .keeper(0)
                .task(1, &[Foreign])
                .task(2, &[Post])
                .budget(|b| b.crash = 1),
        ),
        (
            "foreign rm",
            World::new()
                .task(0, &turn)
                .keeper(0)
                .task(1, &[Foreign])
                .budget(|b| b.rm = 1),
        ),
        ("short", two().task(2, &[Post]).budget(|b| b.short = 1)),
        ("no session", two().without_session()),
        (
            "no session, empty turns",
            World::new()
                .without_session()
                .task(0, &[Acquire, Release])
                .task(1, &turn)
                .task(2, &[Revoke]),
        ),
        ("giving up", two().giving_up().keeper(0).keeper(1)),
    ]
}

#[test]
fn survey() {
    let bugs: Vec<(&str, fn(&mut Bugs))> = vec![
        ("none", |_| {}),
        ("no_inode_check", |b| b.no_inode_check = true),
        ("no_owner_check", |b| b.no_owner_check = true),
        ("no_closed_check", |b| b.no_closed_check = true),
        ("no_owner+closed_check", |b| {
            b.no_closed_check = true;
            b.no_owner_check = true;
        }),
        ("unlink_outside", |b| b.unlink_outside = true),
        ("revoke_outside", |b| b.revoke_outside = true),
        ("publish_outside", |b| b.publish_outside = true),
        ("take_outside", |b| b.take_outside = true),
        ("remove_and_create", |b| b.remove_and_create = true),
        ("remove_and_create outside", |b| {
            b.remove_and_create = true;
            b.take_outside = true;
        }),
        ("remove_and_create, no inode", |b| {
            b.remove_and_create = true;
            b.no_inode_check = true;
        }),
        ("fence_early", |b| b.fence_early = true),
        ("no_session_compare", |b| b.no_session_compare = true),
        ("no_last_compare", |b| b.no_last_compare = true),
        ("no compare at all", |b| {
            b.no_last_compare = true;
            b.no_session_compare = true;
        }),
        ("child_unlocks", |b| b.child_unlocks = true),
        ("close_only", |b| b.close_only = true),
        ("rewrite_new_unlocked", |b| b.rewrite_new_unlocked = true),
        ("post_unlocked", |b| b.post_unlocked = true),
        ("post_keeps_record", |b| b.post_keeps_record = true),
        ("no_seal", |b| b.no_seal = true),
        ("no_watch", |b| b.no_watch = true),
        ("session_removed_first", |b| b.session_removed_first = true),
        ("unlink_blindly", |b| b.unlink_blindly = true),
        ("create_then_fill", |b| b.create_then_fill = true),
    ];
    for (bug, set) in bugs {
        println!("== {bug}");
        for (name, world) in battery() {
            let world = if bug == "none" { world } else { world.bug(set) };
            let o = check(&world);
            if bug == "none" {
                println!("  {name}: {} {:?}", o.states, o.took);
            }
            for (p, path) in &o.broken {
                println!("  {name}: {p} ({} steps, {} states)", path.len(), o.states);
                if bug == "none" {
                    for a in path {
                        println!("     {a:?}");
                    }
                }
            }
        }
    }
}
