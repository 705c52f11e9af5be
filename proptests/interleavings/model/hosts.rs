//! The protocol on a server (I18 to I22): several hosts, each with a copy of what it has asked for,
//! and locks that the server grants for a lease. A world of its own. See `docs/model.md`.

mod acquire;
mod append;
mod client;
mod faults;
mod leave;
mod limits;
mod properties;
mod rewrite;
mod section;
mod seeded;
mod server;
mod state;
mod step;
mod world;
mod worlds;
