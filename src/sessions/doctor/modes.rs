//! Wrong modes of files and directories: the owner must be able to read and write, and not
//! everybody may write.

use crate::sys::{FileKind, Stat};

/// The mode and the right one, if they differ. `None` for links, pipes and devices.
pub(super) fn wrong(stat: &Stat) -> Option<(u32, u32)> {
    let mode = stat.mode?;
    let right = match stat.kind {
        FileKind::File => (mode | 0o600) & !0o002,
        // In a sticky directory, nobody can remove the files of others.
        FileKind::Directory if mode & 0o1000 != 0 => mode | 0o700,
        FileKind::Directory => (mode | 0o700) & !0o002,
        FileKind::Other => return None,
    };
    (mode != right).then_some((mode, right))
}
