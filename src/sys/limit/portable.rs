//! Systems on which the signal is not held back: only a write whose file has become longer
//! meanwhile can raise it.

use std::io;

pub(super) fn without_signal<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    write()
}
