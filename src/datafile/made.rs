//! Session files that this process created for their data lock, and let go of without a turn, since
//! others were faster. Whoever has a turn next may not know whose they are. If it is this process,
//! they go with its turn, unless somebody wrote into them (I14).

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::file::SessionFile;
use crate::place::Place;
use crate::sys::Trace;

/// So many are remembered. What is forgotten stays as an empty file.
const MOST: usize = 64;

static MADE: Mutex<VecDeque<(Place, Trace)>> = Mutex::new(VecDeque::new());

/// Remembers a file that this process created, which it is about to let go unused, or may.
pub(super) fn remember(place: &Place, session: &SessionFile) {
    // Every process of a gateway knows that its files are for their data lock only.
    if !session.is_made_by_us() || place.is_gateway() {
        return;
    }
    let Some(trace) = session.pinned().trace() else { return };
    let mut made = MADE.lock();
    made.retain(|(other, _)| other != place);
    if made.len() == MOST {
        made.pop_front();
    }
    made.push_back((place.clone(), trace));
}

/// Whether this process created this empty file, and nobody has written into it since. Forgets it.
pub(super) fn recall(place: &Place, session: &SessionFile) -> bool {
    let mut made = MADE.lock();
    let found = made.iter().position(|(other, _)| other == place);
    let Some((_, trace)) = found.and_then(|at| made.remove(at)) else { return false };
    drop(made);
    let file = session.pinned();
    file.trace() == Some(trace) && file.is_as_created()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::datafile::{SOON, Section};
    use crate::sys::flock;

    fn section(place: &Place) -> Section {
        Section::lock_within(SOON, place, true).unwrap().unwrap()
    }

    #[test]
    fn who_made_a_file_that_is_still_unused_knows_it_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| Place::resolve(&dir.path().join(name), true).unwrap();
        let place = at("s.jsonl");
        for _ in 0..3 {
            assert!(section(&place).is_unused_of_ours());
        }
        // The data lock was another's.
        let busy = at("busy.jsonl");
        let session = SessionFile::open(&busy, true).unwrap().unwrap();
        let faster = std::fs::File::open(busy.session()).unwrap();
        assert!(flock::try_lock(&faster).unwrap());
        assert!(session.lock_within(SOON, &busy, true).unwrap().is_err());
        drop(faster);
        assert!(section(&busy).is_unused_of_ours());
        // Somebody wrote into it, and emptied it.
        let emptied = at("emptied.jsonl");
        drop(section(&emptied));
        let mut file = std::fs::OpenOptions::new().append(true).open(emptied.session()).unwrap();
        // The clock of files goes in steps.
        let made = file.metadata().unwrap().modified().unwrap();
        while file.metadata().unwrap().modified().unwrap() == made {
            file.write_all(b"{}\n").unwrap();
            file.set_len(0).unwrap();
        }
        assert!(!section(&emptied).is_unused_of_ours());
        // It is another file.
        let other = at("other.jsonl");
        drop(section(&other));
        std::fs::remove_file(other.session()).unwrap();
        std::fs::write(other.session(), "").unwrap();
        assert!(!section(&other).is_unused_of_ours());
    }
}
