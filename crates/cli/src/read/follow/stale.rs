//! A file that the server does not know any more, since another host has replaced it.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::AtomicBool;

use super::super::show::Show;
use super::super::{Stop, open};
use super::{Follower, Known};

/// Whether a server does not know the file any more.
pub(super) fn is_stale(stop: &Stop) -> bool {
    let Stop::Read(turnlock::Error::Io { source, .. }) = stop else { return false };
    source.kind() == io::ErrorKind::StaleNetworkFileHandle
}

impl Follower<'_> {
    /// Continues with the file at the path, and shows those of its lines that are not known to have
    /// been shown. If more were shown than are remembered, what precedes the first known line was.
    pub(super) fn go_on_without_old_file(
        &mut self,
        show: &mut Show,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        // If it cannot be opened, the next round tries again.
        let Ok(new) = open(self.path()) else { return Ok(()) };
        let mut known = HashMap::new();
        for digest in self.shown.digests() {
            *known.entry(digest).or_default() += 1;
        }
        let has_forgotten = self.shown.start() > 0;
        *self = Self::new(self.source.successor(&new)?);
        if has_forgotten {
            self.skip_to_known_line(&known, interrupted)?;
        }
        self.show_rest(show, &mut Known::Shown(known), interrupted)
    }

    /// Goes to the first line that is known, if there is one.
    fn skip_to_known_line(
        &mut self,
        known: &HashMap<u64, usize>,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        let end = self.whole_lines_to(interrupted)?;
        let mut first = None;
        self.source.each_digest(end, interrupted, |offset, digest| {
            first = known.contains_key(&digest).then_some(offset);
            first.is_none()
        })?;
        if let Some(first) = first {
            (self.at, self.searched) = (first, (first, 0));
        }
        Ok(())
    }
}
