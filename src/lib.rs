//! One turn at a time on the JSONL session files of AI agents.
//!
//! A gateway runs a *turn* for every message: it locks the session, reads the transcript, calls a
//! model for a minute, appends the results and unlocks. Meanwhile, cron jobs and sub-agents append
//! lines to the same session. Processes are killed, stopped, and restarted in containers where each
//! of them has pid 7. This crate lets all of them share the file. It is crash-proof, and no line is
//! lost or torn.
//!
//! Begin with [`Sessions`]: [`Sessions::turn`] takes a [`Turn`], and [`Sessions::post`] appends a
//! line during the turn of somebody else. [`Sessions::sweep`] removes stale locks, and
//! [`Sessions::doctor`] examines sessions and repairs them. Every async operation has a `_blocking`
//! twin for threads that may block.
//!
//! # Guarantees
//!
//! - **One holder.** At any time at most one turn is held on a session, across tasks, threads,
//!   processes and the containers of one kernel.
//! - **A dead holder blocks nobody.** The kernel's lock (`flock`) falls when the last process that
//!   has it is gone, however that process dies. Process ids are consulted only for the locks of
//!   programs that take no kernel lock.
//! - **A former holder writes nothing.** Each append proves, under a short lock on the session
//!   file, that the turn is still its own. After a [`revoke`](Sessions::revoke), an `rm -f *.lock`
//!   or a week in SIGSTOP, the append fails with [`Error::LockLost`].
//! - **Whole lines.** An acknowledged append is in the file in full. A failed append is taken back;
//!   if that was not possible, the error says so. A torn line that a crash left is sealed with
//!   a newline before the next append. With [`Durability::Sync`], the default, an acknowledged line
//!   survives the loss of power.
//! - **In order.** The tasks and threads of one process are served first come, first served.
//!   Processes are served by the kernel's queue. While other processes wait, a process keeps a
//!   session for its own tasks for 1 ms or 128 turns, whichever ends first.
//! - **Waiters are woken.** Nobody polls for a lock that a process of this protocol holds. For each
//!   contended lock, a process has one thread that blocks in the kernel, with one descriptor. A
//!   session has two such locks: the turn lock and the data lock.
//!
//! # Limitations
//!
//! - **Advisory.** A program that writes to the session file without any lock is survived, not
//!   stopped. If it removes, replaces or cuts the session, the holder is told before it writes on
//!   ([`Error::Changed`]).
//! - **One kernel, or NFS 4.1.** Several hosts can share sessions on NFS 4.1 and later, mounted
//!   hard and with locks at the server (`local_lock=none`, the default). A host that is cut off for
//!   longer than the server's lease loses its turns ([`LostCause::Expired`]). Where `flock` is not
//!   kept between hosts, this crate refuses to work ([`Error::LocksNotKept`]). On other network
//!   filesystems, a lock whose owner may be on another host is not taken over on suspicion
//!   ([`Error::RemoteOwner`]).
//! - **Foreign locks** (OpenClaw's own: a pid in a file, no kernel lock) are judged by process id,
//!   start time and command line, in all PID namespaces that can be seen. A lock whose owner may be
//!   in another one is left alone ([`LockState::Unseen`], [`SessionsBuilder::assume_local`]).
//!   Foreign programs have no fence, so two of *them* can still race. If the wall clock jumps
//!   forward by more than two seconds, a living foreign owner without a recorded start time can
//!   look recycled.
//! - **Three things are polled,** because no event reports them:
//!   - A foreign owner, a lock file that cannot be judged yet, or a file with a lease, is looked at
//!     every 10 ms while somebody waits for it.
//!   - The path of the file on which a thread blocks is looked at after 20 ms, and then at growing
//!     intervals of at most 100 ms. A waiter notices a revoke, an `rm` or a compaction with that
//!     delay. The thread that blocks on the old file, and its descriptor, are kept until the old
//!     holder releases that file: one for each holder that was stopped and then revoked. When a
//!     process has 16 of them, its waits look every 10 ms instead of blocking.
//!   - The path of a turn's lock file is looked at every 200 ms while other tasks of its process
//!     wait behind the turn.
//! - **Runs have an end only on Linux.** Elsewhere, and on filesystems without the locks that mark
//!   waiters (`F_OFD_SETLK`), a process does not know of other processes that wait. It keeps a
//!   session for as long as its own tasks ask for it.
//! - **Several users.** A lock file lets those in whom its session lets in: a session of a group
//!   has mode 0660, in a directory of mode 2770. Another user's symbolic link on the way to a
//!   session is refused if it leads into a directory that is not that user's own. So are other
//!   users' files in sticky directories where everybody may put files, such as `/tmp`. Only Linux
//!   tells whose link is followed; elsewhere, all are.
//! - **Several names.** A session file with hard links has one holder, under whatever name. This
//!   needs locks of open file descriptions (`F_OFD_SETLK`), which network filesystems do not have.
//!   A session file that is mounted by itself is refused; mount its directory.
//! - **Whoever may read a session can keep it busy** (`flock -s`), until he is ended. The error
//!   [`DataLockBusy`](Error::DataLockBusy) names the process. Where users do not trust each other,
//!   a session has mode 0600 ([`SessionsBuilder::private`]).
//! - **A disk that does not answer** cannot be called off. An acquire ends at its deadline all the
//!   same ([`Error::NoAnswer`]), at most 250 ms late, and what the disk still does is let go. There
//!   are two exceptions. A thread that was the first to ask the disk is kept. So is a task whose
//!   acquire or release followed another one on that disk within 20 ms, with the thread of its
//!   runtime. An append that has begun waits for the disk, since nobody knows whether the line is
//!   there.
//! - **No re-entry.** A task that asks for a turn it already holds waits for itself. The message
//!   of the timeout says so.
//! - **`fork` without `exec`.** The child cannot use a turn of its parent, and it has no background
//!   thread. It shares the kernel's lock with the parent. If the parent dies first, the session
//!   stays held until the child is gone, or until a [`revoke`](Sessions::revoke). In the child:
//!   - What nobody holds can be used by the `_blocking` functions. What would have to be waited for
//!     fails at once ([`Error::Forked`]).
//!   - An `async` function hangs, because the threads of the runtime are not there.
//!   - Every function hangs if another thread of the parent was inside this crate at the moment of
//!     the fork, since nobody releases the mutex that it had. Fork before the first use, or `exec`.
//! - **Tested on Linux.** Other Unixes use the same code with portable fallbacks. The fallbacks are
//!   tested by forcing them on Linux; nothing was run on another Unix. Windows is not supported.
//!
//! # Features
//!
//! None is enabled by default.
//!
//! - `faults`: the module `faults`, with which a program's tests make steps fail or take long.
//! - `gateway`: the module `gateway`, one gateway per state directory, config file and port.
//! - `metrics`: counters and histograms, through the facade of the crate `metrics`. They are
//!   `turnlock_turns_total`, `turnlock_timeouts_total`, `turnlock_takeovers_total`,
//!   `turnlock_revocations_total`, `turnlock_lost_locks_total`, `turnlock_wait_seconds` and
//!   `turnlock_hold_seconds`; `describe_metrics` describes them.
//!
//! The command `turnlock` is a crate of its own, `turnlock-cli`. The protocol, with its invariants
//! numbered, is in `docs/protocol.md` of the repository.
//!
//! # Examples
//!
//! A turn with a model in it:
//!
//! ```
//! use std::time::Duration;
//! use serde_json::{Value, json};
//! use turnlock::Sessions;
//!
//! # async fn model(_: Vec<Value>) -> Value { json!({"type": "message", "role": "assistant"}) }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> turnlock::Result<()> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! # let path = dir.path().join("4f2c.jsonl");
//! let sessions = Sessions::builder().acquire_timeout(Duration::from_secs(10)).build()?;
//! let session = sessions.session(&path)?;
//!
//! let turn = session.turn().label("reply").await?;
//! turn.append(&json!({"type": "message", "role": "user"})).await?;
//! let history = turn.read()?.records().collect::<Result<Vec<Value>, _>>()?;
//! let reply = tokio::select! {
//!     reply = model(history) => reply,
//!     // Somebody has revoked the turn: it would be refused at the next append.
//!     lost = turn.until_lost() => return Err(lost),
//! };
//! // A side writer appends a line during the turn.
//! session.post(&json!({"type": "custom", "from": "cron"})).await?;
//! let appended = turn.append(&reply).await?;
//! assert!(appended.intervening > 0); // The holder learns that something was posted.
//! turn.release().await?; // Or drop the turn.
//! # Ok(()) }
//! ```
//!
//! A line that is made from the last one, under the lock, and a history that is replaced by what a
//! model makes of it:
//!
//! ```
//! use serde_json::{Value, json};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> turnlock::Result<()> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! # let path = dir.path().join("4f2c.jsonl");
//! # let session = turnlock::Sessions::new().session(&path)?;
//! let turn = session.turn().await?;
//! for text in ["one", "two"] {
//!     turn.append_with(move |tail| {
//!         let last: Option<Value> = tail.last()?;
//!         let n = last.map_or(0, |last| last["n"].as_u64().unwrap_or(0) + 1);
//!         Ok(json!({"n": n, "text": text}))
//!     })
//!     .await?;
//! }
//! let history = turn.read()?;
//! session.post(&json!({"n": 2, "text": "meanwhile"})).await?;
//! turn.rewrite_from(history.position(), [json!({"n": 1, "text": "one and two"})]).await?;
//! turn.release().await?;
//! assert_eq!(session.read().await?.lines().count(), 2);
//! # Ok(()) }
//! ```
//!
//! `examples/store.rs` is a whole session store, and `examples/turn_pipeline.rs` the pipeline of a
//! gateway.

#![deny(missing_docs)]
#![warn(clippy::unwrap_used, clippy::expect_used)]

mod compat;
mod datafile;
mod error;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(not(feature = "faults"))]
mod faults;
#[cfg(feature = "gateway")]
pub mod gateway;
mod keeper;
mod lock;
mod metrics;
mod mode;
mod outside;
mod place;
mod rules;
mod session;
mod sessions;
mod sys;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod threads;
mod transcript;

pub use compat::format::Format;
pub use datafile::read::Transcript;
pub use datafile::{Appended, Batch, Origin, Part, Position, Tail};
pub use error::{Error, Holder, LostCause, ReadError, RecordError, Result, SessionChange};
pub use lock::Reason;
#[cfg(feature = "metrics")]
pub use metrics::describe_metrics;
pub use rules::{Durability, LongHold};
pub use session::{Rewritten, Turn};
pub use sessions::doctor;
pub use sessions::sweep::{DirectoryReport, LockReport, LockState};
pub use sessions::{Acquire, AcquireGuard, Guard, Session, Sessions, SessionsBuilder, Ticket};
pub use transcript::contents::Contents;
pub use transcript::damage::{Damage, DamageKind};
pub use transcript::quarantine::Fingerprint;
pub use transcript::repair::{Repair, RepairedHeader, Survey};
pub use transcript::restore::{RestoreError, Restored};
pub use transcript::scan::{Item, Line};

/// Runs the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
