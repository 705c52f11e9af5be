//! `turnlock doctor` and `turnlock read` on real files: hostile ones, with real writers beside
//! them, and killed in the middle.

mod corpus;
mod done;
mod findings;
mod following;
mod headers;
mod hostile;
mod killed;
mod links;
mod made;
mod mounted;
mod named;
mod nuls;
mod owners;
mod split;
mod tree;
mod understood;
mod undo;
mod verdicts;
mod work;
mod writers;
