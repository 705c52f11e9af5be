//! The gateway, as real processes on real sockets.

mod child;
mod command;
mod foreign;
mod isolation;
mod json;
mod layers;
mod limits;
mod metrics;
mod monitor;
mod namespaces;
mod owner;
mod ports;
mod probe;
mod profile;
mod race;
mod remedies;
mod rig;
#[path = "../support/schema.rs"]
mod schema;
mod served;
mod stop;
mod strangers;
mod supervised;
mod told;
mod wrapped;
