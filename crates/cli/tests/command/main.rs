//! The command `turnlock`, as people and scripts use it: real processes on real files.

mod append;
mod beside;
mod children;
#[path = "../../../../tests/processes/clock.rs"]
mod clock;
mod clocks;
#[allow(dead_code, reason = "only its namespaces and its disks are needed here")]
#[path = "../../../../tests/power/disk.rs"]
mod disk;
mod enclosed;
mod filesystems;
#[allow(dead_code, reason = "the tests of the doctor use more of it")]
#[path = "../support/harness.rs"]
mod harness;
mod pages;
mod revoke;
mod run;
mod signals;
mod status;
mod stress;
mod terminal;
mod watched;
