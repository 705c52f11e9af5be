//! Authority (I16): what another user may have put there to lead this process astray is refused.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::PathBuf;

use super::super::file::{FileKind, Stat};
use super::super::user::User;
use super::Dir;

/// Sticky: nobody but their owners, and the directory's, can remove files.
const STICKY: u32 = 0o1000;
const WRITABLE_BY_ALL: u32 = 0o002;
const WRITABLE_BY_GROUP: u32 = 0o020;
const FOR_GROUP: u32 = 0o060;
const FOR_OTHERS: u32 = 0o006;
/// What the group and others may do with a file: read and write it.
const USED: u32 = FOR_GROUP | FOR_OTHERS;

/// Why something is refused, or closed to this process: because of whose it is.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A symbolic link by which its maker leads others where he has no power himself.
    Link { link: PathBuf, owner: User, into: User },
    /// A file that anybody could have put there.
    Planted { owner: User },
    /// A file with a second name, which the directory's owner could have linked there.
    Linked { owner: User, dir: User },
    /// A file with a second name, which may matter to others.
    Shared,
    /// A file beside a session that somebody else than the session's users made.
    Foreign { owner: User },
    /// A file beside a session that more users may read or write than the session.
    Open { mode: u32, right: u32 },
    /// A file that this process may not open.
    Closed { owner: User },
    /// A file that its owner could not use any more.
    Lost { owner: User },
}

impl Refusal {
    /// What to do about it, for the end of a message.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Link { .. } => "; name that directory itself, or run as the owner of the link",
            Self::Planted { .. } => "; remove it, or use a directory of your own",
            Self::Linked { .. } | Self::Shared => "; give it a file of its own",
            Self::Foreign { .. } => {
                "; look at what is in it, and move it out of the way or give it to the session's \
                 owner"
            }
            Self::Open { .. } => {
                "; look at what is in it, and move it out of the way or set that mode"
            }
            Self::Closed { .. } => {
                "; run as that user, or remove it if none of that user's processes holds it"
            }
            Self::Lost { .. } => "; run as that user",
        }
    }

    /// The refusal that is behind an error.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { link, owner, into } => {
                let link = link.display();
                write!(f, "{link} is a symbolic link of {owner} into a directory of {into}")
            }
            Self::Planted { owner } => {
                write!(f, "it is owned by {owner}, where everybody may put files")
            }
            Self::Linked { owner, dir } => {
                write!(f, "it is a file of {owner} with several names, in a directory of {dir}")
            }
            Self::Shared => f.write_str("it has several names"),
            Self::Foreign { owner } => {
                write!(f, "it is owned by {owner}, who is not the owner of the session")
            }
            Self::Open { mode, right } => write!(
                f,
                "more users may read or write it than the session: its mode is {mode:04o}, and \
                 should be {right:04o}"
            ),
            Self::Closed { owner } => write!(f, "it is owned by {owner}"),
            Self::Lost { owner } => {
                write!(f, "it is owned by {owner}, to whom a new file cannot be given")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, refusal)
    }
}

/// Checks that a link of this owner, which leads into a directory of that one, may be followed: its
/// owner is trusted, or could have gone there himself.
pub(super) fn may_follow(owner: User, into: User) -> bool {
    is_trusted(owner) || owner == into
}

/// Whether this process does what this user leads it to do.
pub(super) fn is_trusted(user: User) -> bool {
    user.is_root() || user == User::me()
}

impl Dir {
    /// Checks that a file in this directory can be used: that no third user can have put it there.
    pub(crate) fn ensure_trusted(&self, file: &Stat) -> io::Result<()> {
        if file.owner != self.owner && !is_trusted(file.owner) && self.lets_all_put_files()? {
            return Err(Refusal::Planted { owner: file.owner }.into());
        }
        Ok(())
    }

    /// Checks that a file in this directory can be written to: that the directory's owner cannot
    /// have linked the file of somebody else there.
    pub(crate) fn ensure_writable(&self, file: &Stat) -> io::Result<()> {
        if file.links > 1 && file.owner != self.owner && !is_trusted(self.owner) {
            return Err(Refusal::Linked { owner: file.owner, dir: self.owner }.into());
        }
        self.ensure_trusted(file)
    }

    /// Checks that the mode of a file in this directory concerns nobody elsewhere.
    pub(super) fn ensure_alone(&self, file: &Stat) -> io::Result<()> {
        if file.kind == FileKind::File && file.links > 1 {
            return Err(Refusal::Shared.into());
        }
        self.ensure_trusted(file)
    }

    /// Checks that a file that keeps parts of a session was made by the session's users, and that
    /// no others may read or write it.
    ///
    /// Those users are root, the session's owner, the user of this process, and whoever has made
    /// the file the group's with whom the session is shared. Where everybody may put files, the
    /// group proves nothing: the directory may give it.
    pub(crate) fn ensure_beside(&self, file: &Stat, session: &Stat) -> io::Result<()> {
        let (mode, allowed) = (file.mode.unwrap_or(0), session.mode.unwrap_or(0));
        let same_group = file.group == session.group;
        let is_shared =
            || same_group && allowed & WRITABLE_BY_GROUP != 0 && !self.is_writable_by_all();
        if file.owner != session.owner && !is_trusted(file.owner) && !is_shared() {
            return Err(Refusal::Foreign { owner: file.owner }.into());
        }
        // Another group is among the others.
        let for_group = if same_group { allowed } else { allowed << 3 } & FOR_GROUP;
        let right = mode & (!USED | for_group | allowed & FOR_OTHERS);
        if mode != right {
            return Err(Refusal::Open { mode, right }.into());
        }
        Ok(())
    }

    /// Also if its mode cannot be read.
    fn is_writable_by_all(&self) -> bool {
        let mode = self.stat_self().ok().and_then(|stat| stat.mode);
        mode.is_none_or(|mode| mode & WRITABLE_BY_ALL != 0)
    }

    fn lets_all_put_files(&self) -> io::Result<bool> {
        let mode = self.stat_self()?.mode.unwrap_or(0);
        Ok(mode & (STICKY | WRITABLE_BY_ALL) == STICKY | WRITABLE_BY_ALL)
    }

    /// The error for a file that the system does not let this process open: that file may be one
    /// that would be refused as well.
    pub(crate) fn why_closed(&self, name: &OsStr, error: io::Error) -> io::Error {
        match self.stat(name) {
            Ok(Some(file)) => self.ensure_trusted(&file).err().unwrap_or(error),
            _ => error,
        }
    }
}
