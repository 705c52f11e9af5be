//! The turn lock: who holds a session.
//!
//! | verb | what it does |
//! |---|---|
//! | [`try_take`] | tries once: publishes a lock, or takes over one that nobody holds |
//! | [`open_to_wait`], [`Waiting::wait`], [`settle`] | wait for it in the kernel, then try |
//! | [`Lock::lost`], [`fence::pass`] | say whether the turn is lost: the fence (I4) |
//! | [`tell`], [`told`] | say what the holder has seen to its children |
//! | [`Lock::hand_over`] | passes the turn to another waiter of this process |
//! | [`Lock::unlink`], [`Lock::unlock`], [`Lock::keep_until`] | release it |
//! | [`Lingering::take_again`], [`Lingering::tidy`] | after a release, resume or clean up |
//! | [`revoke`] | takes it from a named holder |
//! | [`remove_stale`] | removes a lock that nobody holds |
//! | [`look`], [`holder_at`] | say who holds it, without disturbing anybody |
//!
//! Other rooms use these verbs only. Behind them is one implementation, the module `file`: lock
//! files beside the sessions, for the processes of one kernel. A second one, for several hosts,
//! would change nothing outside this room.
//!
//! Everything here blocks, knows of no runtime, and waits for no lock except in [`Waiting::wait`].
//! Every change of holder takes a [`Section`](crate::datafile::Section), as proof that it happens
//! under the data lock (I2).

mod file;
mod reason;
mod state;
mod want;

pub(crate) use file::fence;
pub(crate) use file::look::{Look, Seen, look};
#[cfg(feature = "gateway")]
pub(crate) use file::look::{Named as NamedOwner, read_record};
#[cfg(test)]
pub(crate) use file::marks;
#[cfg(feature = "gateway")]
pub(crate) use file::record::Record;
pub(crate) use file::record::cut_label;
pub(crate) use file::told::{tell, told};
pub(crate) use file::verdict::Known;
#[cfg(feature = "gateway")]
pub(crate) use file::verdict::PidClaim;
pub(crate) use file::waiting::{ToWaitFor, Waiting, open_to_wait};
pub(crate) use file::{
    Lingering, LockFile as Lock, Named, Obstacle, Settled, Swept, Try, holder_at, is_had,
    others_wait, remove_stale, remove_stale_by, revoke, settle, try_take,
};
pub use reason::Reason;
pub use state::LockState;
pub(crate) use want::Want;

/// What the fuzzers call.
#[cfg(feature = "testing")]
pub(crate) mod testing {
    pub(crate) use super::file::record::{Reading, Record, cut_label, encode, parse};
    pub(crate) use super::file::verdict::{Claim, Elsewhere, Facts, Limits, judge};
}
