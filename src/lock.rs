//! Door 2: who holds the turn. The verbs, and what implements them.
//!
//! | verb | what it does |
//! |---|---|
//! | [`try_take`] | tries once for the turn: publishes a lock, or takes over what nobody holds |
//! | [`open_to_wait`], [`Waiting::wait`], [`settle`] | wait for it in the kernel, then try |
//! | [`Lock::lost`] | says whether the turn is lost: the fence (I4) |
//! | [`Lock::hand_over`] | passes the turn to another waiter of this process |
//! | [`Lock::unlink`], [`Lock::unlock`], [`Lock::keep_until`] | release it |
//! | [`revoke`] | takes it from a named holder |
//! | [`holder_at`] | says who holds it |
//!
//! The one implementation today is [`file`](self): lock files beside the sessions, for the
//! processes of one kernel. Other rooms use the verbs alone, so that a second one, an engine that
//! several hosts share, changes this room only.
//!
//! Everything here blocks, knows no runtime, and waits for no lock except in [`Waiting::wait`]. Every
//! change of holder takes a [`Section`](crate::datafile::Section), as proof that it happens under
//! the data lock (I2).

mod file;
mod reason;
mod state;
mod want;

pub(crate) use file::fence;
pub(crate) use file::look::{Look, Seen, look};
#[cfg(test)]
pub(crate) use file::marks;
pub(crate) use file::record::cut_label;
#[cfg(feature = "gateway")]
pub(crate) use file::record::{Record, read_record};
pub(crate) use file::verdict::Known;
#[cfg(feature = "gateway")]
pub(crate) use file::verdict::PidClaim;
pub(crate) use file::waiting::{ToWaitFor, Waiting, open_to_wait};
pub(crate) use file::{
    Lingering, LockFile as Lock, Named, Obstacle, Settled, Swept, Try, holder_at, others_wait,
    remove_stale, revoke, settle, try_take,
};
pub use reason::Reason;
pub use state::LockState;
pub(crate) use want::Want;

/// What the fuzzers look into.
#[cfg(feature = "testing")]
pub(crate) mod testing {
    pub(crate) use super::file::record::{Reading, Record, cut_label, encode, parse};
    pub(crate) use super::file::verdict::{Processes, judge};
}
