//! The mount that a directory lies on, from `/proc/self/mountinfo` (see proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub id: u64,
    pub point: PathBuf,
    pub kind: String,
    pub source: String,
    mount_options: String,
    super_options: String,
}

impl Mount {
    /// `36 35 98:0 /root /point rw,noatime shared:1 … - ext3 /dev/sda1 rw,errors=continue`
    fn parse(line: &[u8]) -> Option<Self> {
        // Fields are separated by single spaces, and an empty source is an empty field.
        let mut fields = line.split(|byte| *byte == b' ');
        let id = text(fields.next()?).parse().ok()?;
        let point = PathBuf::from(OsString::from_vec(unescape(fields.nth(3)?)));
        let mount_options = text(fields.next()?);
        // Any number of tagged fields precedes a dash.
        fields.find(|field| *field == b"-")?;
        Some(Self {
            id,
            point,
            kind: text(fields.next()?),
            source: text(fields.next()?),
            mount_options,
            super_options: text(fields.next().unwrap_or_default()),
        })
    }

    pub(super) fn all_options(&self) -> String {
        format!("{},{}", self.mount_options, self.super_options)
    }
}

/// Returns all mounts, in the order of the table. Lines of an unknown form are skipped.
pub(super) fn parse(table: &[u8]) -> Vec<Mount> {
    table.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect()
}

/// Returns the mount of `path`: the one with this id.
///
/// Where the kernel is too old to tell the id, it is the mount with the longest mount point above
/// `path`, and of several at one mount point the last, which covers the others.
pub(super) fn find(mounts: Vec<Mount>, id: Option<u64>, path: &Path) -> Option<Mount> {
    match id {
        Some(id) => mounts.into_iter().find(|mount| mount.id == id),
        None => mounts
            .into_iter()
            .filter(|mount| path.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.components().count()),
    }
}

/// Returns the mount of `dir`, a canonical path, or `None` if the table cannot be read.
pub(super) fn of(dir: &Path) -> Option<Mount> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    find(parse(&table), mount_id(dir), dir)
}

/// Returns the mount above `path`, an absolute path, by its text.
pub(super) fn above(path: &Path) -> Option<Mount> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    find(parse(&table), None, path)
}

/// The id of the mount, which Linux tells since 5.8. It is exact where device numbers (btrfs,
/// overlay, bind mounts) and paths (mounts over mounts) mislead.
fn mount_id(dir: &Path) -> Option<u64> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let found = statx(CWD, dir, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    let told = found.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    told.then_some(found.stx_mnt_id)
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

/// Undoes the escapes for space, tab, newline, backslash and `#`: `\040` and so on.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match octal(rest) {
            Some(byte) => {
                plain.push(byte);
                rest = &rest[4..];
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

fn octal(escape: &[u8]) -> Option<u8> {
    let [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] = escape else {
        return None;
    };
    Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
}
