//! The contents of session files: lines, damage, repair and restore.
//!
//! Nothing here knows a path or a lock. Repair and restore read from a [`ReadAt`](source::ReadAt)
//! and write to any [`Write`](std::io::Write). The holder of the turn puts the result into place.
//!
//! | file | purpose |
//! |---|---|
//! | `source.rs` | what is read from: anything that can be read at an offset |
//! | `scan.rs`, `lines.rs` | lines and damage, in order |
//! | `json.rs`, `utf8.rs`, `runs.rs` | whether bytes are JSON and UTF-8, at speed |
//! | `dissect.rs`, `candidate.rs`, `typed.rs` | the whole records in a damaged line |
//! | `split.rs` | records of several lines |
//! | `literals.rs` | what other languages write in place of JSON |
//! | `head.rs` | the format of a file, and its header |
//! | `contents.rs` | what a file is that is no session file |
//! | `look.rs` | what can be done about a file |
//! | `graph.rs` | how the records of a file hang together |
//! | `damage.rs` | what is wrong with a line, and the edits that repair it |
//! | `moves.rs` | where a new file has parts of the old one |
//! | `repair.rs`, `restore.rs` | moving damage to the quarantine, and undoing that |
//! | `quarantine.rs`, `edits.rs` | the format of the quarantine |
//! | `parts.rs`, `sink.rs` | runs of NUL, noted by their length, and holes again |

mod candidate;
pub(crate) mod contents;
pub(crate) mod damage;
mod dissect;
mod edits;
pub(crate) mod graph;
mod head;
pub(crate) mod json;
pub(crate) mod lines;
mod literals;
pub(crate) mod look;
pub(crate) mod moves;
mod parts;
pub(crate) mod quarantine;
pub(crate) mod repair;
pub(crate) mod restore;
mod runs;
pub(crate) mod scan;
pub(crate) mod sink;
pub(crate) mod source;
mod split;
mod typed;
mod utf8;
