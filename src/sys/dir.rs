//! A directory by its descriptor. Its path is walked once; whatever is done in it afterwards is
//! relative to the descriptor, so that a path which changes meanwhile leads nowhere else.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::file::{CAREFUL, FileId, Stat};

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "dir/linux.rs"]
mod system;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "dir/portable.rs"]
mod system;

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    id: FileId,
    /// Where it was when it was opened, links resolved. For messages.
    path: Box<Path>,
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
    /// Reading anywhere, writing at the end.
    Append,
}

impl Access {
    fn flags(self) -> OFlags {
        match self {
            Self::Read => OFlags::RDONLY,
            Self::ReadWrite => OFlags::RDWR,
            Self::Append => OFlags::RDWR | OFlags::APPEND,
        }
    }
}

impl Dir {
    /// Opens the directory that `path` names, links followed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, system::TO_NAME, Mode::empty())?;
        Self::from_descriptor(fd, path)
    }

    /// Opens the directory that `path` names, and creates what is missing of it (0700), each name
    /// synced.
    ///
    /// Only what this call created is given to the owner of the directory above it. What somebody
    /// else creates meanwhile is entered only if it is a directory, never through a link.
    pub(crate) fn create_all(path: &Path) -> io::Result<Self> {
        let (mut dir, missing) = deepest_existing(path)?;
        for name in missing {
            dir = enter_or_create(&dir, &name)?;
        }
        Self::from_descriptor(dir, path)
    }

    fn from_descriptor(fd: OwnedFd, named: &Path) -> io::Result<Self> {
        let id = Stat::from(&rustix::fs::fstat(&fd)?).id;
        let path = system::path_of(fd.as_fd()).map_or_else(|| named.canonicalize(), Ok)?;
        Ok(Self { fd, id, path: path.into() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which directory it is.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// What is known of what `name` names, links not followed; `None` if it names nothing.
    pub(crate) fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Stat::from(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Which file `name` names right now, links not followed; `None` if it names none.
    pub(crate) fn id_of(&self, name: &OsStr) -> io::Result<Option<FileId>> {
        Ok(self.stat(name)?.map(|stat| stat.id))
    }

    /// Opens a file. Follows no link and waits for nothing, whatever the name names.
    pub(crate) fn open_file(&self, name: &OsStr, access: Access) -> io::Result<File> {
        let flags = access.flags() | CAREFUL;
        Ok(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?.into())
    }

    /// Creates a file, private to the user (0600), under a name that is free.
    pub(crate) fn create_file(&self, name: &OsStr, access: Access) -> io::Result<File> {
        let flags = access.flags() | CAREFUL | OFlags::CREATE | OFlags::EXCL;
        Ok(rustix::fs::openat(&self.fd, name, flags, PRIVATE)?.into())
    }

    /// Creates a file without a name (0600); `None` where there are none.
    pub(crate) fn create_unnamed(&self) -> io::Result<Option<File>> {
        system::create_unnamed(self.fd.as_fd())
    }

    /// Gives an unnamed file a name that is free; `Unsupported` where that cannot be done.
    pub(crate) fn name_unnamed(&self, file: &File, name: &OsStr) -> io::Result<()> {
        system::name_unnamed(self.fd.as_fd(), file, name)
    }

    /// Gives a file another name that is free; `Unsupported` where that cannot be done.
    pub(crate) fn rename_to_free(&self, old: &OsStr, new: &OsStr) -> io::Result<()> {
        system::rename_to_free(self.fd.as_fd(), old, new)
    }

    /// Gives a file a second name that is free.
    pub(crate) fn link(&self, old: &OsStr, new: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.fd, old, &self.fd, new, AtFlags::empty())?)
    }

    /// Gives a file another name, and takes that from whichever file has it.
    pub(crate) fn rename(&self, old: &OsStr, new: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, old, &self.fd, new)?)
    }

    /// Removes a name of a file.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// The names in it, in no order.
    pub(crate) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>> + use<>> {
        let mut entries = rustix::fs::Dir::new(self.readable()?)?;
        Ok(std::iter::from_fn(move || {
            loop {
                let entry = match entries.read()? {
                    Ok(entry) => entry,
                    Err(e) => return Some(Err(e.into())),
                };
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name != "." && name != ".." {
                    return Some(Ok(name.to_owned()));
                }
            }
        }))
    }

    /// Makes its names survive the loss of power.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.readable()?)?)
    }

    /// The descriptor may be good for names only.
    fn readable(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?)
    }

    /// Where root creates a file in somebody's directory, it gets the directory's owner.
    pub(crate) fn give_to_owner(&self, file: &File) -> io::Result<()> {
        give_to_owner_of(self.fd.as_fd(), file.as_fd())
    }
}

/// The descriptor of the deepest directory of `path` that exists, and the names below it.
fn deepest_existing(path: &Path) -> io::Result<(OwnedFd, Vec<OsString>)> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        let named = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
        match rustix::fs::open(named, system::TO_NAME, Mode::empty()) {
            Ok(fd) => {
                missing.reverse();
                return Ok((fd, missing));
            }
            Err(Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        let (Some(above), Some(name)) = (existing.parent(), last_name(existing)) else {
            return Err(Errno::NOENT.into());
        };
        missing.push(name);
        existing = above;
    }
}

/// The last component; `file_name` has none for `..`.
fn last_name(path: &Path) -> Option<OsString> {
    match path.components().next_back()? {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    }
}

fn enter_or_create(dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let created = match rustix::fs::mkdirat(dir, name, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(e) => return Err(e.into()),
    };
    let inner = rustix::fs::openat(dir, name, system::TO_NAME | OFlags::NOFOLLOW, Mode::empty())?;
    if created {
        give_to_owner_of(dir.as_fd(), system::to_change_owner(&inner)?.as_fd())?;
    }
    // Also if somebody else created it, who may have died before the sync.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::fsync(rustix::fs::openat(dir, ".", flags, Mode::empty())?)?;
    Ok(inner)
}

fn give_to_owner_of(dir: impl AsFd, file: impl AsFd) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = rustix::fs::fstat(dir)?;
    if owner.st_uid != 0 {
        let (uid, gid) = (
            rustix::process::Uid::from_raw(owner.st_uid),
            rustix::process::Gid::from_raw(owner.st_gid),
        );
        rustix::fs::fchown(file, Some(uid), Some(gid))?;
    }
    Ok(())
}
