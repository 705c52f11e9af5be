//! The worlds in which the protocol must hold: the small ones, checked always.

use super::check::holds;
use super::state::Event;
use super::world::Op::{
    Abandon, Acquire, Append, Foreign, ForeignRewrite, Made, Post, Release, Remove, Revoke,
    Rewrite, Sweep,
};
use super::world::{Op, World};

pub const TURN: [Op; 3] = [Acquire, Append, Release];
pub const EMPTY_TURN: [Op; 2] = [Acquire, Release];
pub const REWRITE: [Op; 3] = [Acquire, Rewrite, Release];
pub const APPEND_AND_REWRITE: [Op; 4] = [Acquire, Append, Rewrite, Release];
pub const ABANDON: [Op; 3] = [Acquire, Abandon, Release];
pub const TWO_TURNS: [Op; 6] = [Acquire, Append, Release, Acquire, Append, Release];

/// Two processes take a turn each.
pub fn two() -> World {
    World::new().task(0, &TURN).task(1, &TURN)
}

/// Three processes take a turn each.
pub fn three() -> World {
    two().task(2, &TURN)
}

/// Two tasks of one process, and a second process.
pub fn local() -> World {
    World::new().task(0, &TURN).task(0, &TURN).task(1, &TURN)
}

/// A process with two turns in a row, and a second process.
pub fn run() -> World {
    World::new().task(0, &TWO_TURNS).keeper(0).task(1, &TURN)
}

/// The same beside a program that takes no kernel lock.
pub fn run_beside_foreign() -> World {
    World::new().task(0, &TWO_TURNS).keeper(0).task(1, &[Foreign])
}

/// A turn and a post of one process, which may leave the lock at the same time, beside such a
/// program.
pub fn two_leave_beside_foreign() -> World {
    World::new().task(0, &[Acquire, Release]).task(0, &[Post]).keeper(0).task(1, &[Foreign])
}

/// A cancelled append runs on while its turn is released.
pub fn abandoned() -> World {
    World::new().task(0, &ABANDON).closure(0).task(1, &TURN)
}

/// One rewrites, others post.
pub fn rewrite_and_posts() -> World {
    World::new().task(0, &REWRITE).task(1, &[Post]).task(2, &[Post])
}

/// Two make lines from the last one, another posts.
pub fn made_and_post() -> World {
    let made = [Acquire, Made, Release];
    World::new().task(0, &made).task(1, &made).task(2, &[Post])
}

/// One removes the session and begins it anew, one posts, one takes a turn.
pub fn removed_and_post() -> World {
    World::new().task(0, &[Acquire, Remove, Append, Release]).task(1, &[Post]).task(2, &TURN)
}

/// One rewrites, one posts, one revokes.
pub fn rewrite_and_revoke() -> World {
    World::new().task(0, &REWRITE).task(1, &[Post]).task(2, &[Revoke])
}

/// One appends and rewrites, others post.
pub fn append_rewrite_and_posts() -> World {
    World::new().task(0, &APPEND_AND_REWRITE).task(1, &[Post]).task(2, &[Post])
}

/// The session file is removed in the middle of a turn, and made anew by a post.
pub fn made_anew_by_a_post() -> World {
    let world = World::new().task(0, &APPEND_AND_REWRITE).task(1, &[Post]);
    world.posts_creating().budget(|b| b.reset = 1)
}

/// A process is stopped in a section, and another session file is renamed into place.
pub fn stopped_and_replaced() -> World {
    let world = World::new().task(0, &TURN).task(1, &[Post]);
    world.budget(|b| (b.stop, b.replace) = (1, 1))
}

/// A holder dies whose lock file has a second name.
pub fn linked_and_killed() -> World {
    two().budget(|b| (b.link, b.crash) = (1, 1))
}

/// Two tasks of a process, one of which dies by a panic, and a second process.
pub fn local_and_panic() -> World {
    local().budget(|b| b.panic = 1)
}

/// A turn and a post of one process, one of which dies by a panic, beside a foreign program.
pub fn panic_beside_foreign() -> World {
    let world = World::new().task(0, &TURN).task(0, &[Post]).keeper(0).task(1, &[Foreign]);
    world.budget(|b| b.panic = 1)
}

/// Our processes, and a program that takes no kernel lock.
pub fn beside_foreign(peer: Op) -> World {
    World::new().task(0, &TURN).keeper(0).task(1, &[peer])
}

/// The same with a post.
pub fn post_beside_foreign(peer: Op) -> World {
    beside_foreign(peer).task(2, &[Post])
}

/// There is no session file, and one turn writes nothing.
pub fn no_session() -> World {
    World::new().without_session().task(0, &EMPTY_TURN).task(1, &TURN).task(2, &[Revoke])
}

/// An empty turn, and a foreign program that makes the session file if there is none.
pub fn no_session_beside_foreign() -> World {
    World::new()
        .without_session()
        .task(0, &EMPTY_TURN)
        .keeper(0)
        .task(1, &TURN)
        .keeper(1)
        .task(2, &[Foreign])
}

/// Waiters give up while a foreign program waits as well.
pub fn giving_up() -> World {
    two().giving_up().keeper(0).keeper(1).task(2, &[Foreign])
}

#[test]
fn two_processes() {
    holds("two turns", &two(), &[Event::Published, Event::TakenOver, Event::Restarted]);
    holds("two turns, a crash", &two().budget(|b| b.crash = 1), &[Event::TakenOver]);
    holds("two turns, two crashes", &two().budget(|b| b.crash = 2), &[]);
    holds("two turns, rm", &two().budget(|b| b.rm = 1), &[Event::Refused]);
    holds("two turns, rm twice", &two().budget(|b| b.rm = 2), &[Event::Refused]);
    let stopped = two().budget(|b| (b.rm, b.stop) = (1, 1));
    holds("two turns, rm, a stop", &stopped, &[Event::Refused, Event::Restarted]);
    let all = two().budget(|b| (b.rm, b.stop, b.crash) = (1, 1, 1));
    holds("two turns, rm, a stop, a crash", &all, &[Event::Refused]);
    holds("two turns, a fork", &two().budget(|b| b.fork = 1), &[Event::TakenOver]);
    let fork_crash = two().budget(|b| (b.fork, b.crash) = (1, 1));
    holds("two turns, a fork, a crash", &fork_crash, &[]);
    let keepers = two().keeper(0).keeper(1).budget(|b| b.crash = 1);
    holds("two turns, keepers, a crash", &keepers, &[Event::LateUnlink]);
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
    holds("two turns, no session file at first", &two().without_session(), &[]);
    holds("an empty turn, a turn, a revoke, no session file", &no_session(), &[Event::Revoked]);
    let removed = no_session().budget(|b| b.rm = 1);
    holds("an empty turn, a turn, a revoke, rm, no session file", &removed, &[Event::Revoked]);
    let keeper = no_session().keeper(0);
    holds(
        "an empty turn, a turn, a revoke, a keeper, no session file",
        &keeper,
        &[Event::Revoked, Event::LateUnlink],
    );
    let short = two().task(2, &[Post]).budget(|b| b.short = 1);
    holds("two turns, a post, a short write", &short, &[Event::PostedBeside]);
}

#[test]
fn a_reader_that_keeps_the_session_file_locked() {
    let read = |world: World| world.budget(|b| (b.reader, b.replace) = (1, 1));
    let events = [Event::Restarted, Event::LetGo];
    holds("two turns, a reader, session file replaced", &read(two()), &events);
    let crash = two().budget(|b| (b.reader, b.replace, b.crash) = (1, 1, 1));
    holds("two turns, a reader, session file replaced, a crash", &crash, &events);
    holds("two tasks and a process, a reader, session file replaced", &read(local()), &events);
    let post = two().task(2, &[Post]);
    holds("two turns, a post, a reader, session file replaced", &read(post), &events);
    let reset = two().budget(|b| (b.reader, b.reset) = (1, 1));
    holds("two turns, a reader, session file renamed away", &reset, &events);
}

#[test]
fn lines_that_are_made_from_the_last_one() {
    let events = [Event::MadeBehindPost];
    holds("two make lines, a post", &made_and_post(), &events);
    holds("two make lines, a post, rm", &made_and_post().budget(|b| b.rm = 1), &events);
    holds("two make lines, a post, a crash", &made_and_post().budget(|b| b.crash = 1), &events);
    let short = made_and_post().budget(|b| b.short = 1);
    holds("two make lines, a post, a short write", &short, &events);
    let revoked = made_and_post().task(3, &[Revoke]);
    holds("two make lines, a post, a revoke", &revoked, &events);
}

#[test]
fn a_session_that_its_holder_removes() {
    let events = [Event::Removed, Event::Restarted];
    holds("a removal, a post, a turn", &removed_and_post(), &events);
    holds("a removal, a post, a turn, rm", &removed_and_post().budget(|b| b.rm = 1), &events);
    let crash = removed_and_post().budget(|b| b.crash = 1);
    holds("a removal, a post, a turn, a crash", &crash, &events);
    let twice = [Acquire, Append, Remove, Remove, Release];
    let world = World::new().task(0, &twice).task(1, &TURN).task(2, &[Revoke]);
    holds("an append and two removals, a turn, a revoke", &world, &[Event::Removed]);
}

#[test]
fn three_processes() {
    holds("three turns", &three(), &[Event::TakenOver]);
    holds("three turns, a crash", &three().budget(|b| b.crash = 1), &[]);
    holds("three turns, rm", &three().budget(|b| b.rm = 1), &[Event::Refused]);
    holds("two turns, a revoke", &two().task(2, &[Revoke]), &[Event::Revoked, Event::Refused]);
    let stopped = two().task(2, &[Revoke]).budget(|b| b.stop = 1);
    holds("two turns, a revoke, a stop", &stopped, &[Event::Revoked, Event::RevokeKeptOut]);
    holds("two turns, a post", &two().task(2, &[Post]), &[Event::PostedBeside]);
    let sweep = two().task(2, &[Sweep]).budget(|b| b.crash = 1);
    holds("two turns, a sweep, a crash", &sweep, &[Event::LateUnlink]);
}

#[test]
fn one_process_with_two_tasks() {
    holds("two tasks and a process", &local(), &[Event::HandedOver]);
    holds("two tasks and a process, a crash", &local().budget(|b| b.crash = 1), &[]);
    holds("two tasks and a process, rm", &local().budget(|b| b.rm = 1), &[Event::Refused]);
    let revoked = local().task(2, &[Revoke]);
    holds("two tasks and a process, a revoke", &revoked, &[Event::Revoked, Event::HandedOver]);
    holds("an abandoned append", &abandoned(), &[Event::Refused]);
    let handed = World::new().task(0, &ABANDON).closure(0).task(0, &TURN);
    holds("an abandoned append, a hand-over", &handed, &[Event::Refused, Event::HandedOver]);
    let removed = abandoned().budget(|b| b.rm = 1);
    holds("an abandoned append, rm", &removed, &[Event::Refused]);
}

#[test]
fn one_process_with_a_run_of_turns() {
    holds(
        "a run of two turns, a turn",
        &run(),
        &[Event::WentOn, Event::TakenOver, Event::LateUnlink],
    );
    holds("a run of two turns, a turn, a crash", &run().budget(|b| b.crash = 1), &[Event::WentOn]);
    holds("a run of two turns, a turn, a stop", &run().budget(|b| b.stop = 1), &[Event::WentOn]);
    holds(
        "a run of two turns, a turn, rm",
        &run().budget(|b| b.rm = 1),
        &[Event::WentOn, Event::Refused],
    );
    holds("a run of two turns, a turn, a fork", &run().budget(|b| b.fork = 1), &[Event::WentOn]);
    let revoked = run().task(2, &[Revoke]);
    holds("a run of two turns, a turn, a revoke", &revoked, &[Event::WentOn, Event::Revoked]);
    let unused = World::new()
        .without_session()
        .task(0, &[Acquire, Release, Acquire, Release])
        .keeper(0)
        .task(1, &TURN);
    holds(
        "a run of two empty turns, a turn, no session file",
        &unused,
        &[Event::WentOn, Event::LateUnlink],
    );
    holds(
        "a run of two turns, a peer",
        &run_beside_foreign(),
        &[Event::WentOn, Event::ForeignHeld],
    );
    holds(
        "an empty turn, a post of its process, a peer",
        &two_leave_beside_foreign(),
        &[Event::LateUnlink],
    );
    let removed = two_leave_beside_foreign().budget(|b| b.rm = 1);
    holds("an empty turn, a post of its process, a peer, rm", &removed, &[Event::LateUnlink]);
}

#[test]
fn posts_and_rewrites() {
    holds("a rewrite, two posts", &rewrite_and_posts(), &[Event::Rewritten, Event::PostedBeside]);
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
fn a_lock_file_with_a_second_name() {
    holds("two turns, a link", &two().budget(|b| b.link = 1), &[Event::Exchanged]);
    let crash = two().budget(|b| (b.link, b.crash) = (1, 1));
    holds("two turns, a link, a crash", &crash, &[Event::Exchanged]);
    let twice = two().budget(|b| (b.link, b.crash) = (2, 2));
    holds("two turns, two links, two crashes", &twice, &[Event::Exchanged]);
    let removed = two().budget(|b| (b.link, b.rm) = (1, 1));
    holds("two turns, a link, rm", &removed, &[Event::Exchanged, Event::Refused]);
    holds("three turns, a link", &three().budget(|b| b.link = 1), &[Event::Exchanged]);
    let revoked = two().task(2, &[Revoke]).budget(|b| b.link = 1);
    holds("two turns, a revoke, a link", &revoked, &[Event::Exchanged, Event::Revoked]);
    let post = two().task(2, &[Post]).budget(|b| b.link = 1);
    holds("two turns, a post, a link", &post, &[Event::Exchanged, Event::PostedBeside]);
    let sweep = two().task(2, &[Sweep]).budget(|b| (b.link, b.crash) = (1, 1));
    holds("two turns, a sweep, a link, a crash", &sweep, &[Event::Exchanged]);
    holds("two tasks and a process, a link", &local().budget(|b| b.link = 1), &[Event::Exchanged]);
    holds("a run of two turns, a turn, a link", &run().budget(|b| b.link = 1), &[Event::Exchanged]);
    let crash = beside_foreign(Foreign).budget(|b| (b.link, b.crash) = (1, 1));
    holds("a turn, a peer, a link, a crash", &crash, &[Event::Exchanged]);
    let crash = post_beside_foreign(ForeignRewrite).budget(|b| (b.link, b.crash) = (1, 1));
    holds("a turn, a post, a rewriting peer, a link, a crash", &crash, &[Event::ExchangedBack]);
}

#[test]
fn foreign_programs() {
    holds("a turn, a peer", &beside_foreign(Foreign), &[Event::ForeignHeld, Event::LateUnlink]);
    let crash = beside_foreign(Foreign).budget(|b| b.crash = 1);
    holds("a turn, a peer, a crash", &crash, &[Event::ForeignHeld, Event::TakenOver]);
    let rm = beside_foreign(Foreign).budget(|b| b.rm = 1);
    holds("a turn, a peer, rm", &rm, &[Event::ForeignHeld, Event::Refused]);
    let slow = beside_foreign(Foreign).slow_foreign();
    holds("a turn, a peer later than 30 s", &slow, &[Event::Refused]);
    holds("a turn, a post, a peer", &post_beside_foreign(Foreign), &[Event::PostedBeside]);
    let crash = post_beside_foreign(Foreign).budget(|b| b.crash = 1);
    holds("a turn, a post, a peer, a crash", &crash, &[Event::PostedBeside]);
    let crash = post_beside_foreign(ForeignRewrite).budget(|b| b.crash = 1);
    holds("a turn, a post, a rewriting peer, a crash", &crash, &[Event::PostedBeside]);
    let rm = beside_foreign(ForeignRewrite).rm_sparing_foreign();
    holds("a turn, a rewriting peer, rm of ours", &rm, &[Event::Refused]);
    let crash = two().keeper(0).keeper(1).task(2, &[Foreign]).budget(|b| b.crash = 1);
    holds("two turns, a peer, a crash", &crash, &[Event::ForeignHeld]);
    holds(
        "an empty turn, a turn, a peer, no session file",
        &no_session_beside_foreign(),
        &[Event::ForeignHeld],
    );
    holds("two turns that give up, a peer", &giving_up(), &[Event::LateUnlink]);
}

#[test]
fn the_session_file_is_changed_by_others() {
    let cut = two().budget(|b| b.shrink = 1);
    holds("two turns, session file cut", &cut, &[Event::Told]);
    let post = two().task(2, &[Post]).budget(|b| b.shrink = 1);
    holds("two turns, a post, session file cut", &post, &[Event::Told, Event::PostedBeside]);
    let rewrite = append_rewrite_and_posts().budget(|b| b.shrink = 1);
    holds(
        "an append and a rewrite, two posts, session file cut",
        &rewrite,
        &[Event::Told, Event::Rewritten],
    );
    holds(
        "an append and a rewrite, a post that creates, session file removed",
        &made_anew_by_a_post(),
        &[Event::Told, Event::Rewritten],
    );
    let replaced = rewrite_and_posts().budget(|b| b.replace = 1);
    holds("a rewrite, two posts, session file replaced", &replaced, &[Event::Told]);
    holds(
        "a turn, a post, a stop, session file replaced",
        &stopped_and_replaced(),
        &[Event::Restarted],
    );
}

#[test]
fn a_notice_is_lost() {
    let lock = two().budget(|b| (b.rm, b.stop, b.lost_notice) = (1, 1, 1));
    holds("two turns, rm, a stop, a lost notice", &lock, &[Event::Restarted]);
    let session = stopped_and_replaced().budget(|b| b.lost_notice = 1);
    holds(
        "a turn, a post, a stop, session file replaced, a lost notice",
        &session,
        &[Event::Restarted],
    );
}

#[test]
fn a_thread_dies_by_a_panic() {
    holds("two turns, a panic", &two().budget(|b| b.panic = 1), &[Event::TakenOver]);
    holds("two tasks and a process, a panic", &local_and_panic(), &[Event::HandedOver]);
    let abandoned = abandoned().budget(|b| b.panic = 1);
    holds("an abandoned append, a panic", &abandoned, &[Event::Refused]);
    let run = run().budget(|b| b.panic = 1);
    holds("a run of two turns, a turn, a panic", &run, &[Event::WentOn, Event::LateUnlink]);
    holds(
        "a turn, a post of its process, a peer, a panic",
        &panic_beside_foreign(),
        &[Event::ForeignHeld, Event::LateUnlink],
    );
}
