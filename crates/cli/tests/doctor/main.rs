//! `turnlock doctor` and `turnlock read` on real files: hostile ones, with real writers beside
//! them, and killed in the middle.

mod corpus;
mod done;
mod findings;
mod following;
#[allow(dead_code, reason = "the tests of the command use more of it")]
#[path = "../support/harness.rs"]
mod harness;
mod hostile;
mod killed;
mod made;
mod tree;
mod work;
