//! `turnlock doctor` and `turnlock read` on real files: hostile ones, with real writers beside
//! them, and killed in the middle.

mod corpus;
mod done;
mod findings;
mod following;
mod hostile;
mod killed;
mod made;
mod nuls;
mod owners;
mod tree;
mod undo;
mod work;
mod writers;
