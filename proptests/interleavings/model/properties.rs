//! The invariants of `docs/protocol.md`, by their numbers.

use stateright::{Expectation, Property};

use super::fs::{Ofd, Record, Tid};
use super::state::{Event, State, Wrong};
use super::thread::{Pc, Then, Thread};
use super::world::{Op, World};

pub const ONE_HOLDER: &str = "I1: never two holders";
pub const HOLDS: &str =
    "I1: a turn holds the flock of the inode that the path names, and the record is its own";
pub const UNDER_DATA_LOCK: &str = "I2: who holds changes only under the data lock";
pub const ONE_INSIDE: &str = "I2: one section at a time";
pub const FENCE: &str = "I4: no append by one who has lost the turn";
pub const NOT_INSIDE: &str = "I4: no revoke goes through inside an append";
pub const TOLD: &str =
    "I4: who writes to a session file that was cut or replaced has been told of that";
pub const MADE: &str = "I11: a line stands behind the one that it was made from";
pub const COMPLETE: &str = "I5: a lock file of ours is complete when its name exists";
pub const ALL_OF_IT: &str = "I9: every acknowledged line is in the file, whole and once";
pub const NOT_OVERTAKEN: &str = "I10: a post in flight is not overtaken by a foreign program";
pub const ALL_SERVED: &str = "I9: where nothing interferes, every append and post is acknowledged";
pub const NOT_STUCK: &str = "I12, I15: nobody is stuck when the holder is gone";
pub const NOT_IN_USE: &str = "I14: no session file is removed that a foreign program writes to";
pub const OWN_UNLINK: &str = "I14: an unlink never removes somebody else's living lock";

type Condition = fn(&World, &State) -> bool;

fn never(s: &State, wrong: Wrong) -> bool {
    !s.wrong.has(wrong as u8)
}

pub fn all(world: &World) -> Vec<Property<World>> {
    let mut properties = vec![
        always(ONE_HOLDER, |_, s| s.rightful().len() <= 1),
        always(HOLDS, |_, s| holds(s)),
        always(COMPLETE, complete),
        always(ALL_OF_IT, |_, s| all_of_it(s)),
        always(NOT_STUCK, not_stuck),
    ];
    if world.promises(Wrong::ChangedOutside) {
        properties.push(always(ONE_INSIDE, |_, s| {
            s.threads.iter().filter(|thread| thread.inside).count() <= 1
        }));
    }
    if world.is_peaceful() {
        properties.push(always(ALL_SERVED, all_served));
    }
    let watched: [(&str, Wrong, Condition); 8] = [
        (UNDER_DATA_LOCK, Wrong::ChangedOutside, |_, s| never(s, Wrong::ChangedOutside)),
        (FENCE, Wrong::LostWrote, |_, s| never(s, Wrong::LostWrote)),
        (TOLD, Wrong::WroteUntold, |_, s| never(s, Wrong::WroteUntold)),
        (MADE, Wrong::MadeFromOther, |_, s| never(s, Wrong::MadeFromOther)),
        (NOT_INSIDE, Wrong::RevokedInside, |_, s| never(s, Wrong::RevokedInside)),
        (NOT_OVERTAKEN, Wrong::PostOvertaken, |_, s| never(s, Wrong::PostOvertaken)),
        (NOT_IN_USE, Wrong::RemovedInUse, |_, s| never(s, Wrong::RemovedInUse)),
        (OWN_UNLINK, Wrong::LiveUnlinked, |_, s| never(s, Wrong::LiveUnlinked)),
    ];
    let promised = watched.into_iter().filter(|(_, wrong, _)| world.promises(*wrong));
    properties.extend(promised.map(|(name, _, condition)| always(name, condition)));
    properties
}

fn always(name: &'static str, condition: Condition) -> Property<World> {
    Property { expectation: Expectation::Always, name, condition }
}

fn holds(s: &State) -> bool {
    s.rightful().iter().all(|turn| {
        let file = s.fs.lock(turn.ino);
        s.fs.lock_path == Some(turn.ino)
            && file.flock == Some(Ofd::Turn(turn.ofd))
            && file.record == Record::Owner(turn.owner)
    })
}

/// Only a foreign program's lock file is ever empty: ours are linked when they are written.
fn complete(world: &World, s: &State) -> bool {
    match s.fs.named_record() {
        Some(Record::Empty(maker)) => world.is_foreign(maker),
        _ => true,
    }
}

fn all_of_it(s: &State) -> bool {
    let lines = s.fs.session_path.map(|ino| &s.fs.session(ino).lines);
    let once_and_whole = |id: u8| {
        let mut found = lines.into_iter().flatten().filter(|line| line.id == id);
        found.next().is_some_and(|line| line.whole) && found.next().is_none()
    };
    (0..64).all(|id| !s.acked.has(id) || once_and_whole(id))
}

/// A fence that refuses everybody would keep every other promise.
fn all_served(world: &World, s: &State) -> bool {
    let writes = |op: &Op| matches!(op, Op::Append | Op::Made | Op::Post);
    let lines = (0..).zip(&world.threads).flat_map(|(tid, spec)| {
        let at = (0..).zip(&spec.script).filter(|(_, op)| writes(op));
        at.map(move |(op, _)| World::number(tid, op))
    });
    world.any_step(s) || lines.into_iter().all(|line| s.acked.has(line))
}

/// When no thread can take a step, each is done, or waits for something that a stopped process has.
fn not_stuck(world: &World, s: &State) -> bool {
    if world.any_step(s) {
        return true;
    }
    let waits = |tid: Tid| {
        let done =
            matches!(s.thread(tid).pc, Pc::Idle | Pc::Done | Pc::Dead | Pc::Parked | Pc::KeepRest);
        !done && !s.stopped.has(world.pid(tid))
    };
    let stuck = (0..).take(s.threads.len()).any(waits);
    if stuck && revoke_kept_out(s) {
        world.saw(Event::RevokeKeptOut);
    }
    !stuck || has_excuse(world, s)
}

/// A revoke waits for the data lock of a process that is stopped inside an append.
fn revoke_kept_out(s: &State) -> bool {
    let waits = |pc: Pc| pc == Pc::Lock(Then::RevokeCheck);
    let writes = |thread: &Thread| thread.turn.is_some() && thread.inside && thread.pc.is_writing();
    s.threads.iter().any(|thread| waits(thread.pc)) && s.threads.iter().any(writes)
}

/// A stopped process has the data lock, or the turn lock of the file that the path names, or is a
/// foreign owner; or a forked child keeps its dead parent's lock; or a reader keeps the data lock.
fn has_excuse(world: &World, s: &State) -> bool {
    let stopped = |ofd: Ofd| {
        let pid = world.pid_of_ofd(ofd);
        ofd == Ofd::Reader || s.stopped.has(pid) || (s.child == Some(ofd) && !s.alive.has(pid))
    };
    let data = s.fs.session_path.and_then(|ino| s.fs.session(ino).flock);
    let turn = s.fs.lock_path.and_then(|ino| s.fs.lock(ino).flock);
    let foreign = match s.fs.named_record() {
        Some(Record::Foreign(tid) | Record::Empty(tid)) => s.stopped.has(world.pid(tid)),
        Some(Record::Owner(owner)) => s.stopped.has(world.pid_of_owner(owner)),
        _ => false,
    };
    data.is_some_and(stopped) || turn.is_some_and(stopped) || foreign
}
