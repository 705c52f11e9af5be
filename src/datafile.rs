//! The session file: its data lock, and the work that is done under it.
//!
//! A [`Section`] proves that this thread has the data lock of the file that the session's path
//! names. Everything here blocks, knows of no runtime, and waits for no lock except in
//! [`WaitingFile::wait`].

pub(crate) mod accepted;
mod append;
mod batch;
mod claim;
mod ending;
mod file;
mod last;
mod made;
mod origin;
mod position;
pub(crate) mod quarantine;
pub(crate) mod read;
pub(crate) mod rewrite;
mod section;
mod synced;
mod told;
mod unused;
mod view;
mod waiting;

pub use append::Appended;
pub(crate) use append::Failed;
pub use batch::Batch;
use ending::Ending;
pub(crate) use file::{Locking, SessionFile};
pub use last::Tail;
pub(crate) use last::{Make, NotMade, make_one, make_several};
pub use origin::{Origin, Part};
pub use position::Position;
pub(crate) use rewrite::{is_leftover, leftover_of};
pub(crate) use section::{SOON, Section, busy, is_claimed_elsewhere};
pub(crate) use told::ToldView;
pub(crate) use unused::remove_unused;
pub(crate) use view::View;
pub(crate) use waiting::WaitingFile;
