//! File names, which need not be text.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The part of `name` before `suffix`; `None` if it does not end so.
pub(crate) fn strip_suffix<'a>(name: &'a OsStr, suffix: &str) -> Option<&'a OsStr> {
    name.as_bytes().strip_suffix(suffix.as_bytes()).map(OsStr::from_bytes)
}
