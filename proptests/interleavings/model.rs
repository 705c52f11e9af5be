//! The protocol of `docs/protocol.md` as a state machine, checked in every interleaving. See
//! `docs/model.md`.

mod acquire;
mod append;
mod check;
mod env;
mod foreign;
mod fs;
mod hosts;
mod large;
mod limits;
mod lookup;
mod properties;
mod release;
mod revoke;
mod section;
mod seeded;
mod state;
mod step;
mod thread;
mod unwind;
mod world;
mod worlds;
