//! The protocol of `docs/protocol.md`, checked in every interleaving. See `docs/model.md`.
#![allow(missing_docs)]
// Whatever is not as expected here is a mistake in the model: the test is to fail at once.
#![allow(clippy::unwrap_used)]

#[path = "model/acquire.rs"]
mod acquire;
#[path = "model/append.rs"]
mod append;
#[path = "model/check.rs"]
mod check;
#[path = "model/env.rs"]
mod env;
#[path = "model/foreign.rs"]
mod foreign;
#[path = "model/fs.rs"]
mod fs;
#[path = "model/large.rs"]
mod large;
#[path = "model/limits.rs"]
mod limits;
#[path = "model/lookup.rs"]
mod lookup;
#[path = "model/properties.rs"]
mod properties;
#[path = "model/release.rs"]
mod release;
#[path = "model/revoke.rs"]
mod revoke;
#[path = "model/section.rs"]
mod section;
#[path = "model/seeded.rs"]
mod seeded;
#[path = "model/state.rs"]
mod state;
#[path = "model/step.rs"]
mod step;
#[path = "model/thread.rs"]
mod thread;
#[path = "model/world.rs"]
mod world;
#[path = "model/worlds.rs"]
mod worlds;
