//! Files that are compared, and so have to be open.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{FileId, Stat, stat};

/// An open file with its identity. No other file has its number as long as this one is open.
#[derive(Debug)]
pub(crate) struct Pinned {
    file: File,
    id: FileId,
}

/// What was found under a name, compared with an open file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found<S = Stat> {
    /// That file, with its metadata if they were asked for.
    This(S),
    Other,
    Nothing,
}

impl Pinned {
    /// Pins an open file. Returns its metadata as well.
    pub(crate) fn new(file: File) -> io::Result<(Self, Stat)> {
        let stat = stat(&file)?;
        Ok((Self { file, id: stat.id }, stat))
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Whether `other`, which is open as well, is the same file.
    pub(crate) fn is_also(&self, other: &File) -> io::Result<bool> {
        Ok(stat(other)?.id == self.id)
    }

    /// Returns what is left to tell the file by when nobody has it open. `None` where the system
    /// does not tell when it was created.
    pub(crate) fn trace(&self) -> Option<Trace> {
        let born = self.file.metadata().ok()?.created().ok()?;
        Some(Trace::new(self.id, born))
    }

    /// Whether nobody has written to it since it was created, as far as its times tell.
    pub(crate) fn is_as_created(&self) -> bool {
        let times = self.file.metadata().and_then(|it| Ok((it.created()?, it.modified()?)));
        times.is_ok_and(|(created, modified)| created == modified)
    }

    /// Whether `path` names this file, and the file has no other name. Follows no link at the end.
    pub(crate) fn is_only_at(&self, path: &Path) -> bool {
        let found = rustix::fs::lstat(path).map(|stat| Stat::from(&stat));
        found.is_ok_and(|stat| stat.id == self.id && stat.links == 1)
    }

    /// Compares with what a name names now. It was looked up while this file was open.
    pub(in crate::sys) fn compare(&self, named: Option<Stat>) -> Found {
        match named {
            Some(stat) if stat.id == self.id => Found::This(stat),
            Some(_) => Found::Other,
            None => Found::Nothing,
        }
    }

    /// The same by the number alone.
    pub(in crate::sys) fn compare_id(&self, named: Option<FileId>) -> Found<()> {
        match named {
            Some(id) if id == self.id => Found::This(()),
            Some(_) => Found::Other,
            None => Found::Nothing,
        }
    }
}

impl PartialEq for Pinned {
    /// Whether both are the same file. Both are open.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Pinned {}

/// What is left to tell a file by when nobody has it open: its number, and when it was created. A
/// later file with this number was created later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Trace {
    id: FileId,
    born: SystemTime,
}

/// Filesystems tell times by a clock that ticks at least this often.
const TICK: Duration = Duration::from_millis(100);

impl Trace {
    pub(in crate::sys) fn new(id: FileId, born: SystemTime) -> Self {
        Self { id, born }
    }

    /// Whether every later file has another trace. While the file is open, none was created so far,
    /// and by the clock of this machine none can be any more within the same tick.
    pub(crate) fn is_unique(&self) -> bool {
        SystemTime::now().duration_since(self.born).is_ok_and(|age| age > TICK)
    }
}

/// Formats it for a record that another process compares.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let born = self.born.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        write!(f, "{:x}-{:x}-{:x}", self.id.device, self.id.number, born.as_nanos())
    }
}

impl<S: Copy> Found<S> {
    /// Whether it names the file that it was compared with.
    pub(crate) fn is_this(self) -> bool {
        matches!(self, Self::This(_))
    }
}
