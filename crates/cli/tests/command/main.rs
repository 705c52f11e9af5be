//! The command `turnlock`, as people and scripts use it: real processes on real files.

mod append;
mod beside;
mod children;
mod clocks;
mod containers;
mod doctor;
mod enclosed;
mod filesystems;
mod pages;
#[path = "../support/program.rs"]
mod program;
mod revoke;
mod run;
mod signals;
mod status;
mod stress;
mod terminal;
mod watched;
