//! `turnlock doctor` and `turnlock read` on real files, with real writers beside them, and killed in the middle.

#[path = "doctor/corpus.rs"]
mod corpus;
#[path = "doctor/done.rs"]
mod done;
#[path = "doctor/findings.rs"]
mod findings;
#[path = "doctor/following.rs"]
mod following;
#[allow(dead_code)]
#[path = "command/harness.rs"]
mod harness;
#[path = "doctor/killed.rs"]
mod killed;
#[path = "doctor/made.rs"]
mod made;
#[path = "doctor/tree.rs"]
mod tree;
#[path = "doctor/watched.rs"]
mod watched;
#[path = "doctor/work.rs"]
mod work;
