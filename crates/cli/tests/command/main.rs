//! The command `turnlock`, as people and scripts use it: real processes on real files.

mod append;
mod beside;
mod by_hand;
mod children;
mod clocks;
mod containers;
mod doctor;
mod enclosed;
mod filesystems;
mod json;
mod pages;
mod places;
#[path = "../support/program.rs"]
mod program;
mod remedies;
mod revoke;
mod run;
#[path = "../support/schema.rs"]
mod schema;
mod signals;
mod status;
mod stress;
mod terminal;
mod verbose;
mod watched;
