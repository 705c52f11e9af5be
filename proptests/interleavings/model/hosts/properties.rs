//! The invariants I18 to I22 of `docs/protocol.md`, and what they are for.

use stateright::{Expectation, Property};

use super::state::{Pc, State, Wrong};
use super::world::{Op, World};

pub const ONE_HOLDER: &str = "I1, I21: never two holders";
pub const HOLDS: &str =
    "I1, I21: a turn has the server's lock on the file that the path names, and its record";
pub const FENCE: &str = "I4, I18: no line of one who has lost the turn to another";
pub const ONE_NAME: &str = "I19: the lock file of a turn has one name";
pub const ALL_OF_IT: &str = "I9, I20: every acknowledged line is at the server, once";
pub const ALL_SERVED: &str = "I9: where nothing interferes, every append is acknowledged";
pub const NOT_STUCK: &str = "I12: nobody is stuck";
pub const OWN_REMOVAL: &str = "I14: a removal never removes somebody else's living lock";

type Condition = fn(&World, &State) -> bool;

impl World {
    /// Is this checked? What goes by no lock cannot be promised where a host may be away for longer
    /// than its lease (`limits.rs`).
    pub fn promises(&self, wrong: Wrong) -> bool {
        let (property, is_promised) = match wrong {
            Wrong::LostWrote => (FENCE, !(self.session_moves() && self.leases_run_out())),
            Wrong::LiveRemoved => (OWN_REMOVAL, !self.leases_run_out()),
        };
        self.beyond_limits.map_or(is_promised, |only| only == property)
    }
}

pub fn all(world: &World) -> Vec<Property<World>> {
    let mut properties = vec![
        always(ONE_HOLDER, |_, s| s.turns().count() <= 1),
        always(HOLDS, |_, s| holds(s)),
        always(FENCE, |_, s| !s.wrong.has(Wrong::LostWrote as u8)),
        always(ONE_NAME, |_, s| one_name(s)),
        always(NOT_STUCK, |world, s| world.goes_on(s) || all_done(s)),
        always(OWN_REMOVAL, |_, s| !s.wrong.has(Wrong::LiveRemoved as u8)),
    ];
    let budget = world.budget;
    let dies = world.leases_run_out() || budget.off + budget.kill > 0;
    if world.beyond_limits.is_some() || !(world.session_moves() && dies) {
        properties.push(always(ALL_OF_IT, |_, s| all_of_it(s)));
    }
    let is_peaceful = !dies && budget.unsynced == 0;
    if is_peaceful && !world.has(Op::Revoke) && !world.session_moves() {
        properties.push(always(ALL_SERVED, all_served));
    }
    properties.retain(|it| world.beyond_limits.is_none_or(|only| only == it.name));
    properties
}

fn always(name: &'static str, condition: Condition) -> Property<World> {
    Property { expectation: Expectation::Always, name, condition }
}

fn holds(s: &State) -> bool {
    s.turns().all(|(tid, owner)| {
        let thread = s.thread(tid);
        thread.file.is_some_and(|file| {
            let lock = s.server.lock(file);
            let is_named = s.server.lock_path == Some(file);
            is_named && lock.lock == thread.id && thread.id.is_some() && lock.record == owner
        })
    })
}

fn one_name(s: &State) -> bool {
    s.turns().filter_map(|(tid, _)| s.thread(tid).file).all(|file| {
        let lock = s.server.lock(file);
        !lock.temporary && !lock.silly
    })
}

fn all_of_it(s: &State) -> bool {
    let lines = s.server.session_path.map(|file| &s.server.session(file).lines);
    // During a rewrite, they are in the file that it is about to put in place.
    let Some(lines) = lines else { return true };
    let times = |id: u8| lines.iter().filter(|line| **line == id).count();
    let moving = s.threads.iter().any(|thread| thread.pc == Pc::Rename);
    moving || (0..64).all(|id| !s.acked.has(id) || times(id) == 1)
}

fn all_served(world: &World, s: &State) -> bool {
    let writes = |op: &Op| matches!(op, Op::Append | Op::Post);
    let lines = (0..).zip(&world.threads).flat_map(|(tid, (_, script))| {
        let at = (0..).zip(script).filter(|(_, op)| writes(op));
        at.map(move |(op, _)| World::number(tid, op))
    });
    world.goes_on(s) || lines.into_iter().all(|line| s.acked.has(line))
}

fn all_done(s: &State) -> bool {
    s.threads.iter().all(|thread| matches!(thread.pc, Pc::Done | Pc::Dead))
}
