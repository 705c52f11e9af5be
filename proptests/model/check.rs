//! Running the checker over a world.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::state::State;
use crate::step::Action;
use crate::world::World;

/// What an exhaustive check found.
pub struct Outcome {
    pub states: usize,
    pub depth: usize,
    pub took: Duration,
    /// The shortest way to break each property that breaks.
    pub broken: BTreeMap<&'static str, Vec<Action>>,
}

/// Every state of the world, or as far as the first broken property.
pub fn check(world: &World) -> Outcome {
    let began = Instant::now();
    let checker = world
        .clone()
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let discoveries = checker.discoveries().into_iter();
    Outcome {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
        broken: discoveries
            .map(|(name, path)| (name, until_broken(world, name, path)))
            .collect(),
    }
}

/// The checker may find a state further on first: the path up to the step that broke the property.
fn until_broken(world: &World, name: &'static str, path: Path<State, Action>) -> Vec<Action> {
    let condition = world.property(name).condition;
    let steps = path.into_vec().into_iter();
    steps
        .take_while(|(state, _)| condition(world, state))
        .filter_map(|(_, action)| action)
        .collect()
}

/// The protocol holds in this world.
pub fn holds(name: &str, world: &World) {
    let outcome = check(world);
    println!(
        "{name}: {} states, depth {}, {:.1?}",
        outcome.states, outcome.depth, outcome.took
    );
    assert!(outcome.broken.is_empty(), "{name}: {}", told(&outcome));
}

/// The checker finds how the seeded bug breaks one of these properties.
pub fn breaks(name: &str, world: &World, expected: &[&str]) {
    let outcome = check(world);
    println!(
        "{name}: after {} states, {:.1?}\n{}",
        outcome.states,
        outcome.took,
        told(&outcome)
    );
    let found = outcome
        .broken
        .keys()
        .any(|broken| expected.contains(broken));
    assert!(found, "{name}: the checker did not find what was expected");
}

fn told(outcome: &Outcome) -> String {
    let mut told = String::new();
    for (name, path) in &outcome.broken {
        told += &format!("  broken: {name}\n");
        for action in path {
            told += &format!("    {action:?}\n");
        }
    }
    told
}
