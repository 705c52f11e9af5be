//! Writing a file that may have holes.

use std::io::{self, BufWriter, Write};

/// What a session file is written to.
pub(crate) trait Sink: Write {
    /// Writes so many NUL bytes, as a hole where there can be one.
    ///
    /// # Errors
    ///
    /// The errors of writing.
    fn hole(&mut self, count: u64) -> io::Result<()> {
        write_nuls(self, count)
    }
}

/// Writes so many NUL bytes.
pub(super) fn write_nuls(to: &mut (impl Write + ?Sized), mut count: u64) -> io::Result<()> {
    let nuls = [0; 4096];
    while count > 0 {
        let some = count.min(nuls.len() as u64);
        to.write_all(&nuls[..some as usize])?;
        count -= some;
    }
    Ok(())
}

impl<S: Sink> Sink for BufWriter<S> {
    fn hole(&mut self, count: u64) -> io::Result<()> {
        self.flush()?;
        self.get_mut().hole(count)
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn hole(&mut self, count: u64) -> io::Result<()> {
        (**self).hole(count)
    }
}

impl Sink for io::Sink {
    fn hole(&mut self, _count: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Vec<u8> {}
