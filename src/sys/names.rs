//! File names, which need not be UTF-8.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Returns the part of `name` before `suffix`, or `None` if `name` does not end in it.
pub(crate) fn strip_suffix<'a>(name: &'a OsStr, suffix: &str) -> Option<&'a OsStr> {
    name.as_bytes().strip_suffix(suffix.as_bytes()).map(OsStr::from_bytes)
}
