//! The command `turnlock`, as people and scripts use it: real processes on real files.

#[path = "command/append.rs"]
mod append;
#[path = "command/beside.rs"]
mod beside;
#[path = "command/enclosed.rs"]
mod enclosed;
#[path = "command/harness.rs"]
#[allow(dead_code)] // the doctor's tests use more of it
mod harness;
#[path = "command/pages.rs"]
mod pages;
#[path = "command/revoke.rs"]
mod revoke;
#[path = "command/run.rs"]
mod run;
#[path = "command/signals.rs"]
mod signals;
#[path = "command/status.rs"]
mod status;
#[path = "command/terminal.rs"]
mod terminal;
