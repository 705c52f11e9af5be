//! A directory by its descriptor. Its path is walked once. Whatever is done in it afterwards is
//! relative to the descriptor, so that a change of the path has no effect.

#[cfg_attr(target_os = "linux", path = "dir/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "dir/portable.rs")]
mod system;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::file::{CAREFUL, FileId, Found, Pinned, Stat, Trace};
use super::filesystem::Known;

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// An open directory. Two values are equal if they are the same directory.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    id: FileId,
    mount: Mount,
    /// What is known about the mount, once somebody has asked.
    known_mount: OnceLock<Arc<Known>>,
    /// When it was created, where the system tells.
    born: Option<SystemTime>,
    /// The path that it had when it was opened, with links resolved. For messages.
    path: Box<Path>,
}

/// The number of a directory, by which it can be looked up. Only as long as the directory is open,
/// it is no other's: what is found is to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DirNumber(FileId);

/// The identity of a mount. Device numbers are not enough: those without a disk are given to the
/// next mount after an unmount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mount {
    /// By an id that the system gives only once.
    Unique(u64),
    /// By an id and a device number, both of which the system may give again later. Zero stands for
    /// an id that it does not tell.
    Numbered { id: u64, device: u64 },
}

/// What the system tells of an open directory.
struct Facts {
    id: FileId,
    mount: Mount,
    born: Option<SystemTime>,
}

/// The access with which a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
    /// Reads go anywhere, writes to the end.
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
    /// Opens the directory that `path` names. Follows links.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, system::TO_NAME, Mode::empty())?;
        Self::from_descriptor(fd, path)
    }

    /// Opens the directory that `path` names. Creates missing directories (0700), and syncs each
    /// new name.
    ///
    /// A directory that this call created gets the owner of its parent. What another process
    /// creates meanwhile is entered only if it is a directory, and never through a link.
    pub(crate) fn create_all(path: &Path) -> io::Result<Self> {
        let (mut dir, missing) = deepest_existing(path)?;
        for name in missing {
            dir = enter_or_create(&dir, &name)?;
        }
        Self::from_descriptor(dir, path)
    }

    fn from_descriptor(fd: OwnedFd, named: &Path) -> io::Result<Self> {
        let Facts { id, mount, born } = system::facts_of(fd.as_fd())?;
        let path = system::path_of(fd.as_fd()).map_or_else(|| named.canonicalize(), Ok)?;
        Ok(Self { fd, id, mount, known_mount: OnceLock::new(), born, path: path.into() })
    }

    /// Returns the path that it had when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of the directory.
    pub(crate) fn number(&self) -> DirNumber {
        DirNumber(self.id)
    }

    /// Returns what is left to tell the directory by when it is closed, where the system tells it.
    pub(crate) fn trace(&self) -> Option<Trace> {
        self.born.map(|born| Trace::new(self.id, born))
    }

    pub(super) fn mount(&self) -> Mount {
        self.mount
    }

    pub(super) fn known_mount(&self) -> &OnceLock<Arc<Known>> {
        &self.known_mount
    }

    /// The descriptor.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether the path that the directory had still names it.
    pub(crate) fn is_at_its_path(&self) -> io::Result<bool> {
        match rustix::fs::stat(&*self.path) {
            Ok(stat) => Ok(Stat::from(&stat).id == self.id),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns the metadata of what `name` names, or `None` if it names nothing. Follows no link.
    pub(crate) fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Stat::from(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Compares what `name` names now with an open file. Follows no link.
    pub(crate) fn compare(&self, name: &OsStr, file: &Pinned) -> io::Result<Found> {
        Ok(file.compare(self.stat(name)?))
    }

    /// Opens a file. Follows no link, and never waits, whatever `name` names.
    pub(crate) fn open_file(&self, name: &OsStr, access: Access) -> io::Result<File> {
        let flags = access.flags() | CAREFUL;
        Ok(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?.into())
    }

    /// Creates a file that only the user can access (0600). Fails if the name is taken.
    pub(crate) fn create_file(&self, name: &OsStr, access: Access) -> io::Result<File> {
        let flags = access.flags() | CAREFUL | OFlags::CREATE | OFlags::EXCL;
        Ok(rustix::fs::openat(&self.fd, name, flags, PRIVATE)?.into())
    }

    /// Creates a file without a name (0600); `None` where that is not supported.
    pub(crate) fn create_unnamed(&self) -> io::Result<Option<File>> {
        system::create_unnamed(self.fd.as_fd())
    }

    /// Gives an unnamed file a name. Fails if the name is taken, and with `Unsupported` where this
    /// cannot be done.
    pub(crate) fn name_unnamed(&self, file: &File, name: &OsStr) -> io::Result<()> {
        system::name_unnamed(self.fd.as_fd(), file, name)
    }

    /// Renames a file. Fails if the new name is taken, and with `Unsupported` where this cannot be
    /// done.
    pub(crate) fn rename_to_free(&self, old: &OsStr, new: &OsStr) -> io::Result<()> {
        system::rename_to_free(self.fd.as_fd(), old, new)
    }

    /// Gives a file a second name. Fails if that name is taken.
    pub(crate) fn link(&self, old: &OsStr, new: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.fd, old, &self.fd, new, AtFlags::empty())?)
    }

    /// Renames a file, and replaces the file that has the new name.
    pub(crate) fn rename(&self, old: &OsStr, new: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, old, &self.fd, new)?)
    }

    /// Removes a name of a file.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Returns the names in the directory, in no order.
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

    /// Syncs the directory, so that its names survive the loss of power.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.readable()?)?)
    }

    /// Opens the directory for reading: its own descriptor may serve only to look up names.
    fn readable(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?)
    }

    /// Gives a file that root created in another user's directory the owner of the directory.
    pub(crate) fn give_to_owner(&self, file: &File) -> io::Result<()> {
        give_to_owner_of(self.fd.as_fd(), file.as_fd())
    }
}

impl Facts {
    /// What every Unix tells.
    fn of_stat(stat: &rustix::fs::Stat) -> Self {
        let id = Stat::from(stat).id;
        Self { id, mount: Mount::Numbered { id: 0, device: id.device }, born: None }
    }
}

impl PartialEq for Dir {
    fn eq(&self, other: &Self) -> bool {
        // Both are open, so that their numbers are their own.
        self.id == other.id
    }
}

impl Eq for Dir {}

impl Hash for Dir {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// Returns the descriptor of the deepest existing directory of `path`, and the names below it.
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

/// The last component, also if it is `..`, for which `file_name` has none.
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
    // Synced even if another process created it, which may have died before its own sync.
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
