//! The filesystem of a directory on Linux: its number, and its mount in the mount table.

mod magic;
mod mountinfo;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use super::Filesystem;
use mountinfo::Mount;

pub(super) fn filesystem(dir: &Path) -> io::Result<Filesystem> {
    // The number has 32 bits, in a field whose width and sign depend on the processor.
    let magic = rustix::fs::statfs(dir)?.f_type as u32;
    Ok(describe(Some(magic), mountinfo::of(dir)))
}

pub(super) fn mount_point(path: &Path) -> Option<PathBuf> {
    mountinfo::above(path).map(|mount| mount.point)
}

/// The mount table tells more than the number: ext2, ext3 and ext4 share a number, and so do
/// virtiofs and all of FUSE.
fn describe(magic: Option<u32>, mount: Option<Mount>) -> Filesystem {
    let Some(mount) = mount else {
        let kind = magic.map_or_else(|| "unknown".to_owned(), magic::kind_of);
        return Filesystem::of_kind(kind, None);
    };
    let options = mount.all_options();
    Filesystem {
        source: Some(mount.source),
        mount_point: Some(mount.point),
        ..Filesystem::of_kind(mount.kind, Some(options))
    }
}
