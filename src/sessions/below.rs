//! The directories below one: for stores with a directory for each session.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// Deeper directories are not looked into.
const MAX_LEVELS: usize = 12;

/// The directory and all those below it, in order. Follows no link. One that cannot be read is
/// among them, so that whoever looks into it reports that.
///
/// # Errors
/// If the first one cannot be read.
pub(super) fn directories(root: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(root).context("read the directory", root)?;
    let mut found = Vec::new();
    let mut left = VecDeque::from([(root.to_owned(), 0)]);
    while let Some((dir, level)) = left.pop_front() {
        if level < MAX_LEVELS
            && let Ok(entries) = fs::read_dir(&dir)
        {
            let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
            let mut below: Vec<_> =
                entries.map_while(std::io::Result::ok).filter(is_dir).map(|it| it.path()).collect();
            below.sort();
            left.extend(below.into_iter().map(|dir| (dir, level + 1)));
        }
        found.push(dir);
    }
    Ok(found)
}
