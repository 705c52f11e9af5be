//! Systems that do not tell who has a file open.

use std::fs::File;
use std::io;

use super::Writer;

pub(super) fn writers(_file: &File) -> io::Result<Vec<Writer>> {
    Ok(Vec::new())
}
