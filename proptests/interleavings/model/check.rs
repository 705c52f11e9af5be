//! Running the checker over a world.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

use super::state::Event;
use super::world::World;

/// A world of any kind.
pub trait AnyWorld:
    Model<State: AnyState, Action: AnyAction> + Clone + Send + Sync + 'static
{
}
impl<M: Model<State: AnyState, Action: AnyAction> + Clone + Send + Sync + 'static> AnyWorld for M {}

pub trait AnyState: Clone + Debug + Eq + Hash + Send + Sync {}
impl<S: Clone + Debug + Eq + Hash + Send + Sync> AnyState for S {}

pub trait AnyAction: Clone + Debug + PartialEq + Send + Sync {}
impl<A: Clone + Debug + PartialEq + Send + Sync> AnyAction for A {}

/// What an exhaustive check found.
pub struct Outcome<A> {
    pub states: usize,
    pub depth: usize,
    pub took: Duration,
    /// The shortest way to break each property that breaks.
    pub broken: BTreeMap<&'static str, Vec<A>>,
}

/// Every state of the world, or as far as the first broken property.
pub fn check<W: AnyWorld>(world: &W) -> Outcome<W::Action> {
    let began = Instant::now();
    let checker =
        world.clone().checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let discoveries = checker.discoveries().into_iter();
    Outcome {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
        broken: discoveries.map(|(name, path)| (name, until_broken(world, name, path))).collect(),
    }
}

/// The path up to the step that broke the property: the checker may find a later state first.
fn until_broken<W: AnyWorld>(
    world: &W,
    name: &'static str,
    path: Path<W::State, W::Action>,
) -> Vec<W::Action> {
    let condition = world.property(name).condition;
    let steps = path.into_vec().into_iter();
    steps
        .take_while(|(state, _)| condition(world, state))
        .filter_map(|(_, action)| action)
        .collect()
}

/// The protocol holds in this world, and these things do happen in it.
pub fn holds(name: &str, world: &World, events: &[Event]) {
    all_hold(name, world);
    for &event in events {
        assert!(world.showed(event), "{name}: nothing shows {event:?}");
    }
}

/// All properties hold in this world.
pub fn all_hold<W: AnyWorld>(name: &str, world: &W) {
    let outcome = check(world);
    println!("| {name} | {} | {} | {:.1?} |", outcome.states, outcome.depth, outcome.took);
    assert!(outcome.broken.is_empty(), "{name}:\n{}", told(&outcome));
}

/// The checker finds how the seeded bug breaks this property.
pub fn breaks<W: AnyWorld>(name: &str, world: &W, property: &str) {
    let outcome = check(world);
    println!("{name}, after {} states:\n{}", outcome.states, told(&outcome));
    let found = outcome.broken.contains_key(property);
    assert!(found, "{name}: found no way to break \"{property}\"");
}

/// The seeded bug breaks nothing here.
pub fn is_harmless<W: AnyWorld>(name: &str, world: &W) {
    let outcome = check(world);
    assert!(outcome.broken.is_empty(), "{name}:\n{}", told(&outcome));
}

fn told<A: Debug>(outcome: &Outcome<A>) -> String {
    let steps =
        |path: &[A]| -> String { path.iter().map(|action| format!("    {action:?}\n")).collect() };
    let broken = outcome.broken.iter();
    broken.map(|(name, path)| format!("  broken: {name}\n{}", steps(path))).collect()
}
