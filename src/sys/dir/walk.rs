//! The walk along a path, on Linux. No symbolic link is followed by which its maker leads this
//! process where he has no power himself (I16).
//!
//! `fs.protected_symlinks` is like this, but only in sticky directories that everybody may write
//! to.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstatfs, openat, openat2,
    readlinkat, statat,
};
use rustix::io::Errno;

use super::super::file::{FileKind, Stat};
use super::super::user::User;
use super::Opened;
use super::authority::{Refusal, is_trusted, may_follow};
use super::system::{TO_NAME, path_of};

/// The kernel follows so many links in one path.
const MOST_LINKS: u32 = 40;

/// Opens the directory that a path names.
pub(super) fn open(path: &Path) -> io::Result<Opened> {
    match open_without_links(CWD, path.as_os_str()) {
        Err(Errno::LOOP) => Walk::along(path, true).go().map(Opened::by_descriptor),
        Err(Errno::NOSYS | Errno::PERM) => Walk::along(path, false).go().map(Opened::by_descriptor),
        opened => Ok(Opened { fd: opened?, path: if_resolved(path) }),
    }
}

/// The path, if it is as the system would tell it, provided that there is no link in it. This
/// spares a turn the look into `/proc`.
fn if_resolved(path: &Path) -> Option<PathBuf> {
    let goes_down = |step| matches!(step, Component::RootDir | Component::Normal(_));
    let is_resolved = path.is_absolute() && path.components().all(goes_down);
    is_resolved.then(|| path.components().collect())
}

/// Opens a directory unless there is a link in the path. Old kernels, and some sandboxes, do not
/// know this call.
fn open_without_links(dir: BorrowedFd<'_>, path: &OsStr) -> Result<OwnedFd, Errno> {
    openat2(dir, path, TO_NAME, Mode::empty(), ResolveFlags::NO_SYMLINKS)
}

/// How far a walk has come.
struct Walk {
    /// Where it is; `None` for the working directory.
    dir: Option<OwnedFd>,
    /// What lies ahead; the next step is the last element.
    ahead: Vec<Step>,
    links: u32,
    /// Whether it is known that there is a link among the steps that come next.
    has_link: bool,
}

enum Step {
    /// Into a directory of this name. The root is one too.
    Into(OsString),
    /// The way through a link ends here. Its maker is not trusted.
    End { link: PathBuf, owner: User },
}

impl Walk {
    fn along(path: &Path, has_link: bool) -> Self {
        let mut walk = Self { dir: None, ahead: Vec::new(), links: 0, has_link };
        walk.add(path.as_os_str());
        walk
    }

    fn add(&mut self, path: &OsStr) {
        let names = path.as_bytes().rsplit(|byte| *byte == b'/');
        let names = names.filter(|name| !name.is_empty() && *name != b".");
        self.ahead.extend(names.map(|name| Step::Into(OsStr::from_bytes(name).to_owned())));
        if path.as_bytes().starts_with(b"/") {
            self.ahead.push(Step::Into("/".into()));
        }
    }

    fn at(&self) -> BorrowedFd<'_> {
        self.dir.as_ref().map_or(CWD, AsFd::as_fd)
    }

    fn go(mut self) -> io::Result<OwnedFd> {
        loop {
            match self.ahead.last() {
                Some(Step::Into(_)) => self.step()?,
                Some(Step::End { .. }) => self.end_link()?,
                None => break,
            }
        }
        match self.dir {
            Some(dir) => Ok(dir),
            None => Ok(openat(CWD, ".", TO_NAME, Mode::empty())?),
        }
    }

    /// Goes as far as there is no link, and through the link that comes then.
    fn step(&mut self) -> io::Result<()> {
        let count = self.ahead.iter().rev().take_while(|it| matches!(it, Step::Into(_))).count();
        if !std::mem::take(&mut self.has_link) {
            match open_without_links(self.at(), &self.path(count)) {
                Err(Errno::LOOP) => {}
                Err(Errno::NOSYS | Errno::PERM) => return self.enter(),
                opened => {
                    self.arrive(opened?, count);
                    return Ok(());
                }
            }
        }
        self.approach(count)?;
        self.follow()
    }

    /// Goes up to the first link among the next `count` names.
    fn approach(&mut self, count: usize) -> io::Result<()> {
        let (mut without, mut with) = (0, count);
        let mut reached = None;
        while with - without > 1 {
            let middle = without.midpoint(with);
            match open_without_links(self.at(), &self.path(middle)) {
                Err(Errno::LOOP) => with = middle,
                opened => (without, reached) = (middle, Some(opened?)),
            }
        }
        if let Some(dir) = reached {
            self.arrive(dir, without);
        }
        Ok(())
    }

    fn arrive(&mut self, dir: OwnedFd, count: usize) {
        self.dir = Some(dir);
        self.ahead.truncate(self.ahead.len() - count);
    }

    /// The path of the next `count` names.
    fn path(&self, count: usize) -> OsString {
        let mut path = PathBuf::new();
        for step in self.ahead.iter().rev().take(count) {
            if let Step::Into(name) = step {
                path.push(name);
            }
        }
        path.into()
    }

    /// Enters the next directory, or follows the link that has its name.
    fn enter(&mut self) -> io::Result<()> {
        match openat(self.at(), self.path(1), TO_NAME | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => self.follow(),
            opened => {
                self.arrive(opened?, 1);
                Ok(())
            }
        }
    }

    /// Follows the link that comes next. It is looked at and read by one descriptor, so that nobody
    /// can exchange it in between.
    fn follow(&mut self) -> io::Result<()> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let Some(Step::Into(name)) = self.ahead.pop() else { return Ok(()) };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = openat(self.at(), &name, flags, Mode::empty())?;
        let stat = Stat::from(&statat(&link, "", AtFlags::EMPTY_PATH)?);
        match stat.kind {
            FileKind::File => return Err(Errno::NOTDIR.into()),
            // It is one by now.
            FileKind::Directory => {
                self.ahead.push(Step::Into(name));
                return Ok(());
            }
            FileKind::Other => {}
        }
        let target = match readlinkat(&link, "", Vec::new()) {
            Err(Errno::INVAL | Errno::NOENT) => return Err(Errno::NOTDIR.into()),
            target => OsString::from_vec(target?.into_bytes()),
        };
        if !is_trusted(stat.owner) {
            let link = self.path_to(&name);
            self.ahead.push(Step::End { link, owner: stat.owner });
        }
        if stat.len != target.len() as u64 && fstatfs(&link)?.f_type == PROC_SUPER_MAGIC {
            // It leads to an open file rather than along a path. Nobody can put another in its
            // place.
            self.dir = Some(openat(self.at(), &name, TO_NAME, Mode::empty())?);
            return Ok(());
        }
        if target.as_bytes().starts_with(b"/") {
            self.dir = None;
        }
        self.add(&target);
        Ok(())
    }

    fn path_to(&self, name: &OsStr) -> PathBuf {
        let dir = self.dir.as_ref().and_then(|dir| path_of(dir.as_fd()));
        dir.unwrap_or_default().join(name)
    }

    /// At the end of the way through a link: whether its maker could have gone there.
    fn end_link(&mut self) -> io::Result<()> {
        let Some(Step::End { link, owner }) = self.ahead.pop() else { return Ok(()) };
        let into = match &self.dir {
            Some(dir) => Stat::from(&rustix::fs::fstat(dir)?).owner,
            None => Stat::from(&statat(CWD, ".", AtFlags::empty())?).owner,
        };
        if may_follow(owner, into) {
            Ok(())
        } else {
            Err(Refusal::Link { link, owner, into }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sys::Dir;

    #[test]
    fn the_path_of_a_directory_is_resolved_however_it_is_named() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("one/two");
        std::fs::create_dir_all(&inner).unwrap();
        symlink("one", root.path().join("link")).unwrap();
        let resolved = inner.canonicalize().unwrap();
        for name in ["one/two", "./one//./two/", "one/two/../two", "link/two", "link/../one/two"] {
            let named = format!("{}/{name}", root.path().display());
            assert_eq!(Dir::open(named.as_ref()).unwrap().path(), resolved, "{name}");
        }
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(Dir::open(".".as_ref()).unwrap().path(), here);
        assert_eq!(Dir::open("/".as_ref()).unwrap().path(), Path::new("/"));
    }
}
