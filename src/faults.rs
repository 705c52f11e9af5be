//! Faults on purpose, for the tests of programs that use this library: a step fails, or takes long.
//!
//! With the feature `faults`. It is not meant for programs that run: every step asks whether a
//! fault is set.

use std::io;
use std::path::Path;

#[cfg(feature = "faults")]
pub use armed::{Fault, before};

/// A step before which something can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// A new lock file gets its name.
    Publish,
    /// Lines are written.
    Write,
    /// They are synced.
    Sync,
    /// A rewritten or repaired file gets the session's name.
    Rename,
}

/// Does what is to go wrong before this step of the session, or of the lock, at `path`.
#[cfg(feature = "faults")]
pub(crate) fn at(step: Step, path: &Path) -> io::Result<()> {
    armed::at(step, path)
}

#[cfg(not(feature = "faults"))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it can fail")]
pub(crate) fn at(_step: Step, _path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(feature = "faults")]
mod armed {
    use std::fmt;
    use std::sync::Arc;

    use parking_lot::RwLock;

    use super::{Path, Step, io};

    type Cause = dyn Fn(&Path) -> io::Result<()> + Send + Sync;

    static ARMED: RwLock<Vec<(Step, Arc<Cause>)>> = RwLock::new(Vec::new());

    /// A fault that is set; see [`before`]. Dropped, it is gone.
    #[must_use = "a fault that is dropped is gone"]
    pub struct Fault {
        step: Step,
        cause: Arc<Cause>,
    }

    /// Has `cause` run before each such step of this process, with the path of the session or of
    /// its lock file. If it fails, the step fails in that way, as if the disk had. If it takes
    /// long, so does the step.
    ///
    /// It runs on the thread that does the file work, with the data lock held: it must not use the
    /// session.
    ///
    /// ```
    /// use std::io;
    /// use serde_json::json;
    /// use turnlock::faults::{self, Step};
    ///
    /// # fn main() -> turnlock::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a temporary directory");
    /// # let session = turnlock::Sessions::new().session(dir.path().join("4f2c.jsonl"))?;
    /// let turn = session.turn().acquire_blocking()?;
    /// let full = faults::before(Step::Write, |_| Err(io::ErrorKind::StorageFull.into()));
    /// let refused = io::Error::from(turn.append_blocking(&json!({})).unwrap_err());
    /// assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    /// drop(full);
    /// turn.append_blocking(&json!({}))?;
    /// # turn.release_blocking()
    /// # }
    /// ```
    pub fn before(
        step: Step,
        cause: impl Fn(&Path) -> io::Result<()> + Send + Sync + 'static,
    ) -> Fault {
        let cause: Arc<Cause> = Arc::new(cause);
        ARMED.write().push((step, Arc::clone(&cause)));
        Fault { step, cause }
    }

    pub(super) fn at(step: Step, path: &Path) -> io::Result<()> {
        let armed: Vec<_> = {
            let armed = ARMED.read();
            let of_step = armed.iter().filter(|(at, _)| *at == step);
            of_step.map(|(_, cause)| Arc::clone(cause)).collect()
        };
        armed.iter().try_for_each(|cause| cause(path))
    }

    impl Drop for Fault {
        fn drop(&mut self) {
            ARMED.write().retain(|(_, cause)| !Arc::ptr_eq(cause, &self.cause));
        }
    }

    impl fmt::Debug for Fault {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Fault").field("step", &self.step).finish_non_exhaustive()
        }
    }
}
