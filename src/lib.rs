//! One turn at a time on the JSONL session files of AI agents: crash-proof, without losing or tearing a line.
//!
//! A gateway runs a *turn* for every message: lock the session, read the transcript, call a model for a minute, append the results,
//! unlock. Cron jobs and sub-agents drop a line into the same session meanwhile. Processes get killed, stopped, and restarted in
//! containers where everybody has pid 7. This crate lets all of them share the file.
//!
//! # Guarantees
//!
//! - **One holder.** At any time at most one turn on a session, across tasks, threads, processes and the containers of one kernel.
//! - **A dead holder blocks nobody.** The kernel's lock falls with the last process that has it, however that dies. Pids are
//!   consulted only for the locks of programs that take no kernel lock.
//! - **A former holder writes nothing.** Every append proves, under a short lock on the session file itself, that the turn is still
//!   its own: after a [`revoke`](Sessions::revoke), an `rm -f *.lock` or a week in SIGSTOP it gets [`Error::LockLost`].
//! - **Whole lines.** An append is there in full or not at all; a torn line that somebody left is closed first. With
//!   [`Durability::Sync`], the default, an acknowledged line survives the loss of power.
//! - **In order.** Tasks of a process are served first come, first served; processes by the kernel's queue. Waiting costs one
//!   descriptor and at most one thread per contended session and process, and no polling.
//!
//! The protocol, with its invariants numbered, is in `docs/protocol.md` of the repository.
//!
//! # Limitations
//!
//! - **Advisory.** A program that writes to the session file without any lock is not stopped, only survived.
//! - **One kernel.** Several hosts on one network filesystem work only where that keeps `flock` between them; where it does not, this
//!   crate refuses to work ([`Error::LocksNotKept`]).
//! - **Foreign owners** (OpenClaw's own lock) are judged by their pid, which means something only in the same PID namespace.
//!   They have no fence: two of *them* can still race.
//! - **No re-entry.** A task that holds a turn and asks for it again waits for itself; the timeout's message says so.
//! - **`fork` without `exec`**: the child cannot use a turn of its parent, and has no background thread. But it shares the kernel's lock:
//!   if the parent dies first, the session stays held until the child is gone, or until a [`revoke`](Sessions::revoke).
//! - Linux is what is tested. Other Unixes go through the same code with portable fall-backs; Windows is not supported.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use serde_json::json;
//! use turnlock::Sessions;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> turnlock::Result<()> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! # let path = dir.path().join("4f2c.jsonl");
//! let sessions = Sessions::builder().acquire_timeout(Duration::from_secs(10)).build()?;
//!
//! let mut turn = sessions.turn(&path).label("reply").acquire().await?;
//! turn.append(&json!({"type": "message", "role": "user"})).await?;
//! sessions.post(&path, &json!({"type": "custom", "from": "cron"})).await?; // a side writer, during the turn
//! let appended = turn.append(&json!({"type": "message", "role": "assistant"})).await?;
//! assert!(appended.intervening > 0); // the post is told of
//! turn.release().await?; // or drop it
//! # Ok(()) }
//! ```

#![deny(missing_docs)]
#![warn(clippy::unwrap_used, clippy::expect_used)]

mod compat;
mod datafile;
mod error;
#[cfg(feature = "gateway")]
pub mod gateway;
mod keeper;
mod lock;
mod metrics;
mod mode;
mod place;
mod rules;
mod session;
mod sessions;
mod sys;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod transcript;

pub use datafile::Appended;
pub use datafile::read::{ReadError, RecordError, Transcript};
pub use error::{Error, Holder, LostCause, Result};
pub use lock::Reason;
pub use rules::{Durability, LongHold};
pub use session::{Rewritten, Turn};
pub use sessions::doctor;
pub use sessions::sweep::{DirectoryReport, LockReport, LockState};
pub use sessions::{Acquire, Sessions, SessionsBuilder};
pub use transcript::damage::{Damage, DamageKind};
pub use transcript::repair::{Repair, Survey};
pub use transcript::restore::{RestoreError, Restored};
pub use transcript::scan::{Item, Line};

/// The README's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
