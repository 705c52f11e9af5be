//! Users, by whom files are owned.

#[cfg_attr(target_os = "linux", path = "user/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "user/portable.rs")]
mod system;

use std::fmt;

use rustix::process::{Uid, geteuid};

/// A user, as this process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User(u32);

impl User {
    pub(super) fn of_number(number: u32) -> Self {
        Self(number)
    }

    /// The user whose power this process has.
    pub(crate) fn me() -> Self {
        Self(geteuid().as_raw())
    }

    /// Its number.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    pub(crate) fn is_root(self) -> bool {
        self.0 == 0
    }

    /// Its number, if files can be given to it. In a user namespace, a user who has no number there
    /// appears as another, to whom nothing must be given.
    pub(super) fn recipient(self) -> Option<Uid> {
        (!system::may_stand_for_others(self.0)).then(|| Uid::from_raw(self.0))
    }
}

/// `root`, or `uid 1000`.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str("root") } else { write!(f, "uid {}", self.0) }
    }
}
