//! The lines of a post: ready, or to be made from what the session ends with.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::datafile::{Appended, Batch, Make, Section, Tail};
use crate::error::{Error, Result};
use crate::mode::Mode;
use crate::session::Turn;

/// The lines of a post.
#[derive(Clone)]
pub(super) enum Lines {
    Ready(Batch),
    /// They are made from what the session ends with, once.
    ToMake(Arc<Mutex<Option<Make>>>),
}

impl Lines {
    pub(super) fn to_make(make: Make) -> Self {
        Self::ToMake(Arc::new(Mutex::new(Some(make))))
    }

    /// Whether they were made before, and so cannot be made for another attempt.
    pub(super) fn are_spent(&self) -> bool {
        matches!(self, Self::ToMake(make) if make.lock().is_none())
    }

    /// The lines for what this section ends with. Runs code of others, which may panic.
    pub(super) fn behind(&self, section: &Section) -> Result<Batch> {
        match self {
            Self::Ready(batch) => Ok(batch.clone()),
            Self::ToMake(make) => {
                let make = make.lock().take();
                let session = section.place().session();
                make.map_or_else(
                    || Err(Error::Overtaken { session: session.to_owned() }),
                    |make| make(&Tail::of(section)),
                )
            }
        }
    }

    pub(super) async fn append_in(&self, turn: &Turn, mode: Mode) -> Result<Appended> {
        match self {
            Self::Ready(batch) => turn.append_lines(mode, batch.clone()).await,
            Self::ToMake(make) => {
                let make = Arc::clone(make);
                let make_now = move |tail: &Tail<'_>| match make.lock().take() {
                    Some(make) => make(tail),
                    None => Err(Error::Overtaken { session: tail.path().to_owned() }),
                };
                turn.append_made(mode, Box::new(make_now)).await
            }
        }
    }
}
