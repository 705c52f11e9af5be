//! A directory by its descriptor. Its path is walked once. Whatever is done in it afterwards is
//! relative to the descriptor, so that a change of the path has no effect.

#[cfg_attr(target_os = "linux", path = "dir/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "dir/portable.rs")]
mod system;

mod authority;
#[cfg(target_os = "linux")]
mod walk;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::give;
use super::file::{self, CAREFUL, FileId, Found, Pinned, Stat, Trace};
use super::filesystem::{self, Known};
use super::user::User;
pub(crate) use authority::Refusal;

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);
/// The umask, or the directory's default access list, takes from that.
const ALL: Mode = PRIVATE.union(Mode::RGRP).union(Mode::WGRP).union(Mode::ROTH).union(Mode::WOTH);

/// Who may use a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Users {
    /// Whoever the umask or the directory's default access list lets in.
    #[default]
    OfDirectory,
    OwnerOnly,
    /// Those whom these permission bits let in.
    Mode(u32),
}

/// An open directory. Two values are equal if they are the same directory.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    id: FileId,
    /// Whose it was when it was opened.
    owner: User,
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
pub(crate) enum Mount {
    /// By an id that the system gives only once.
    Unique(u64),
    /// By an id and a device number, both of which the system may give again later. Zero stands for
    /// an id that it does not tell.
    Numbered { id: u64, device: u64 },
}

impl Mount {
    /// A number that two mounts rarely have in common.
    pub(crate) fn hash_number(self) -> usize {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        BuildHasherDefault::<DefaultHasher>::default().hash_one(self) as usize
    }
}

/// What the system tells of an open directory.
struct Facts {
    id: FileId,
    owner: User,
    mount: Mount,
    born: Option<SystemTime>,
}

/// A directory that was just opened by its path.
struct Opened {
    fd: OwnedFd,
    /// Its path with links resolved, where that is known without asking the system.
    path: Option<PathBuf>,
}

impl Opened {
    fn by_descriptor(fd: OwnedFd) -> Self {
        Self { fd, path: None }
    }
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
    /// Opens the directory that `path` names. Follows the links of root, of this process's user,
    /// and of the owner of the directory that they lead to; others are refused (I16).
    ///
    /// Only on Linux is it known whose link is followed. Elsewhere, all are.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::new(system::open(path)?, path)
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
        Self::new(Opened::by_descriptor(dir), path)
    }

    fn new(opened: Opened, named: &Path) -> io::Result<Self> {
        let Opened { fd, path } = opened;
        let Facts { id, owner, mount, born } = system::facts_of(fd.as_fd())?;
        let path = path.or_else(|| system::path_of(fd.as_fd()));
        let path = path.map_or_else(|| named.canonicalize(), Ok)?;
        Ok(Self { fd, id, owner, mount, known_mount: OnceLock::new(), born, path: path.into() })
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

    /// Returns the identity of the mount that it is on.
    pub(crate) fn mount(&self) -> Mount {
        self.mount
    }

    pub(super) fn known_mount(&self) -> &OnceLock<Arc<Known>> {
        &self.known_mount
    }

    /// The descriptor.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns the metadata of the directory itself.
    pub(crate) fn stat_self(&self) -> io::Result<Stat> {
        Ok(Stat::from(&rustix::fs::fstat(&self.fd)?))
    }

    /// Whether the path that the directory had still names it.
    pub(crate) fn is_at_its_path(&self) -> io::Result<bool> {
        self.is_at(&self.path)
    }

    /// Whether this path names it.
    pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
        match rustix::fs::stat(path) {
            Ok(stat) => Ok(Stat::from(&stat).id == self.id),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// On a server's filesystem, asks the server about the directory. Names that another host has
    /// changed are then looked up anew, and not answered from this host's cache (I18).
    pub(crate) fn ask_server(&self) {
        if filesystem::is_served(self) {
            system::ask_server(self.fd.as_fd());
        }
    }

    /// Returns the metadata of what `name` names, or `None` if it names nothing. Follows no link.
    pub(crate) fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        self.ask_server();
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

    /// Compares what `name` names, as far as this host knows, with an open file. The server, if
    /// there is one, was asked about the directory before (I18). Follows no link.
    pub(crate) fn compare_as_known(&self, name: &OsStr, file: &Pinned) -> io::Result<Found<()>> {
        let named = if filesystem::is_served(self) {
            system::id_as_known(self.fd.as_fd(), name)
        } else {
            let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
            stat.map(|stat| Stat::from(&stat).id)
        };
        match named {
            Ok(id) => Ok(file.compare_id(Some(id))),
            Err(Errno::NOENT) => Ok(file.compare_id(None)),
            Err(e) => Err(e.into()),
        }
    }

    /// Opens a file. Follows no link, and never waits, whatever `name` names. A file that is
    /// mounted there by itself is refused: it has another name elsewhere.
    pub(crate) fn open_file(&self, name: &OsStr, access: Access) -> io::Result<File> {
        self.ask_server();
        system::open_file(self.fd.as_fd(), name, access.flags() | CAREFUL)
    }

    /// Creates a file that only the user can access (0600). Fails if the name is taken.
    pub(crate) fn create_file(&self, name: &OsStr, access: Access) -> io::Result<File> {
        let flags = access.flags() | CAREFUL | OFlags::CREATE | OFlags::EXCL;
        Ok(rustix::fs::openat(&self.fd, name, flags, PRIVATE)?.into())
    }

    /// Creates a file with the access that this says. Fails if the name is taken.
    pub(crate) fn create_file_for(
        &self,
        users: Users,
        name: &OsStr,
        access: Access,
    ) -> io::Result<File> {
        let flags = access.flags() | CAREFUL | OFlags::CREATE | OFlags::EXCL;
        let Users::Mode(mode) = users else {
            let mode = if users == Users::OwnerOnly { PRIVATE } else { ALL };
            return Ok(rustix::fs::openat(&self.fd, name, flags, mode)?.into());
        };
        // The mode is exact, whatever the umask is. Nobody is let in before that.
        let file = self.create_file(name, access)?;
        match file::set_mode_of(file.as_fd(), mode) {
            Ok(()) => Ok(file),
            Err(error) => {
                let _ = self.remove(name);
                Err(error)
            }
        }
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
        system::move_to_free(self.fd.as_fd(), old, self.fd.as_fd(), new)
    }

    /// Gives a file a name in another directory of its filesystem. Fails if that name is taken.
    pub(crate) fn move_to_free(&self, old: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        match system::move_to_free(self.fd.as_fd(), old, to.fd.as_fd(), new) {
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                // For a moment it has both names.
                rustix::fs::linkat(&self.fd, old, &to.fd, new, AtFlags::empty())?;
                Ok(rustix::fs::unlinkat(&self.fd, old, AtFlags::empty())?)
            }
            moved => moved,
        }
    }

    /// Exchanges the names of two files. Fails with `Unsupported` where this cannot be done.
    pub(crate) fn exchange(&self, one: &OsStr, other: &OsStr) -> io::Result<()> {
        system::exchange(self.fd.as_fd(), one, other)
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

    /// Removes a directory in it, if that is empty. Follows no link.
    #[cfg(feature = "gateway")]
    pub(crate) fn remove_empty_dir(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
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

    /// Syncs the directory, so that its names survive the loss of power. `file` is a file in it: if
    /// the directory may not be read, its whole filesystem is synced through that one.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        match self.readable() {
            Ok(dir) => Ok(rustix::fs::fsync(dir)?),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                system::sync_filesystem(file.as_fd())
            }
            Err(e) => Err(e),
        }
    }

    /// Opens the directory for reading: its own descriptor may serve only to look up names.
    fn readable(&self) -> io::Result<OwnedFd> {
        Ok(open_to_read(self.fd.as_fd())?)
    }

    /// Gives a file that root created in another user's directory the owner of the directory, if
    /// that is permitted.
    pub(crate) fn give_to_owner(&self, file: &File) -> io::Result<()> {
        // Root keeps what it creates in its own directories. This spares two calls per turn.
        if self.owner.is_root() {
            return Ok(());
        }
        give_to_owner_of(self.fd.as_fd(), file.as_fd())
    }

    /// Sets the permission bits of the directory itself.
    pub(crate) fn set_own_mode(&self, mode: u32) -> io::Result<()> {
        file::set_mode_of(self.fd.as_fd(), mode)
    }

    /// Sets the permission bits of a file to what `right` says of it; `None` if they are right as
    /// they are. Follows no link, and leaves alone what another user may have put there, and what
    /// has another name elsewhere.
    pub(crate) fn set_mode(
        &self,
        name: &OsStr,
        right: impl FnOnce(&Stat) -> Option<u32>,
    ) -> io::Result<()> {
        file::set_mode(self.fd.as_fd(), name, |stat| {
            self.ensure_alone(stat)?;
            Ok(right(stat))
        })
    }
}

fn open_to_read(dir: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, ".", flags, Mode::empty())
}

impl Facts {
    /// What every Unix tells.
    fn of_stat(stat: &rustix::fs::Stat) -> Self {
        let Stat { id, owner, .. } = Stat::from(stat);
        Self { id, owner, mount: Mount::Numbered { id: 0, device: id.device }, born: None }
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
        match system::open(named) {
            Ok(Opened { fd, .. }) => {
                missing.reverse();
                return Ok((fd, missing));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
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
    if created && let Err(e) = give_new_directory(dir.as_fd(), inner.as_fd()) {
        // It is empty, so that nothing else can be removed.
        let _ = rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR);
        return Err(e);
    }
    // Synced even if another process created it, which may have died before its own sync.
    sync_names(dir.as_fd(), inner.as_fd())?;
    Ok(inner)
}

/// Syncs the names in a directory, among which is that of `inner`. If neither may be read, this is
/// left to the system.
fn sync_names(dir: BorrowedFd<'_>, inner: BorrowedFd<'_>) -> io::Result<()> {
    match open_to_read(dir) {
        Err(Errno::ACCESS) => {}
        readable => return Ok(rustix::fs::fsync(readable?)?),
    }
    match open_to_read(inner) {
        Err(Errno::ACCESS) => Ok(()),
        readable => system::sync_filesystem(readable?.as_fd()),
    }
}

/// Gives a directory that root has just created the owner of the directory above it.
///
/// That owner may have put another one of root's there in between. An empty one he may have: he
/// could remove it, and create one of his own.
fn give_new_directory(above: BorrowedFd<'_>, new: BorrowedFd<'_>) -> io::Result<()> {
    // Some network filesystems, and FAT, give root's files to another user themselves.
    if !User::me().is_root() || !Stat::from(&rustix::fs::fstat(new)?).owner.is_root() {
        return Ok(());
    }
    let readable = open_to_read(new)?;
    let mut entries = rustix::fs::Dir::read_from(&readable)?;
    let is_empty = entries
        .all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")));
    if !is_empty {
        return Err(io::Error::other("another directory was put in its place"));
    }
    give_to_owner_of(above, readable.as_fd())
}

fn give_to_owner_of(dir: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
    if !User::me().is_root() {
        return Ok(());
    }
    let owner = rustix::fs::fstat(dir)?;
    if owner.st_uid != 0 {
        give(file, Some(User::of_number(owner.st_uid)), owner.st_gid)?;
    }
    Ok(())
}
