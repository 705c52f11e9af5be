//! The turn lock as a file beside the session.

pub(crate) mod fence;
mod held;
pub(crate) mod judge;
pub(crate) mod look;
pub(crate) mod marks;
mod open;
pub(crate) mod record;
mod remove;
pub(crate) mod told;
pub(crate) mod verdict;
pub(crate) mod waiting;

use std::sync::Arc;

use super::Want;
use crate::datafile::Section;
use crate::error::{Context, Result};
use crate::metrics;
use crate::outside::note;
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::{self, Found, Pinned, filesystem, flock};
pub(crate) use held::{Lingering, LockFile};
use judge::{Judgement, judge};
pub(crate) use judge::{holder_at, is_had};
use open::{Opened, open, open_to_look, publish, remove_temporary_names, replace};
use record::{Reading, Record};
pub(crate) use remove::{Named, Swept, remove_stale, remove_stale_by, revoke};
use waiting::Waiting;

/// What a try for the turn brought.
pub(crate) enum Try {
    Held(LockFile),
    Busy(Obstacle),
}

/// What stands in the way.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// Somebody has the kernel's lock, and the record is of this protocol.
    Kernel {
        /// The lock file that was tried.
        lock: Pinned,
    },
    /// A foreign program that lives, as far as its process tells.
    Foreign,
    /// A foreign program that may live in a PID namespace that cannot be seen from here.
    Unseen,
    /// An empty or half-written file that is still fresh.
    Fresh,
    /// An owner of another boot or host, on a network filesystem.
    Remote(Box<Record>),
    /// A lock file that this process may not open now: it is another user's, or somebody has a
    /// lease on it.
    Closed,
}

impl Obstacle {
    /// The lock file of a holder of this protocol; a post may go beside its turn (I10).
    pub(crate) fn ours(self) -> Option<Pinned> {
        match self {
            Self::Kernel { lock } => Some(lock),
            _ => None,
        }
    }
}

/// Tries once, under the data lock: publishes a lock file, or takes over one that nobody holds.
pub(crate) fn try_take(place: &Place, section: &mut Section, want: &Want) -> Result<Try> {
    debug_assert!(section.is_of(place));
    loop {
        let file = match open(place)? {
            Opened::File(file, _) => file,
            Opened::Denied(_) => return Ok(Try::Busy(Obstacle::Closed)),
            Opened::None => match publish(place, section, want)? {
                Some(held) => return Ok(Try::Held(held)),
                // A foreign program was faster: look at its file.
                None => continue,
            },
        };
        match flock::try_lock(file.file()) {
            Ok(true) => {}
            Ok(false) => return who_locked(file, place).map(Try::Busy),
            // Another host has removed it just now.
            Err(e) if sys::is_stale_handle(&e) => continue,
            Err(e) => return Err(e).context("lock", place.lock()),
        }
        match settle_file(place, LockFile::locked(Arc::new(file)), section, want)? {
            Settled::Held(held) => return Ok(Try::Held(held)),
            Settled::Obstacle(obstacle) => return Ok(Try::Busy(obstacle)),
            Settled::Moved => {}
        }
    }
}

/// Who has the kernel's lock on a lock file: its holder, if the record is of this protocol. The
/// lock of a foreign record is only held by a process that is judging it, and its owner may well be
/// alive (I10).
fn who_locked(lock: Pinned, place: &Place) -> Result<Obstacle> {
    match record::read(lock.file()).context("read", place.lock())? {
        Reading::Ours(_) | Reading::Spoiled => Ok(Obstacle::Kernel { lock }),
        Reading::Foreign(_) => Ok(Obstacle::Foreign),
        Reading::Malformed { .. } => Ok(Obstacle::Fresh),
    }
}

/// What became of a lock file whose `flock` was granted.
pub(crate) enum Settled {
    Held(LockFile),
    Obstacle(Obstacle),
    /// The path names another file by now: start again.
    Moved,
}

/// Compares (I3), judges, and takes over in place (I6) a lock file whose `flock` was waited for.
pub(crate) fn settle(
    place: &Place,
    granted: Waiting,
    section: &mut Section,
    want: &Want,
) -> Result<Settled> {
    debug_assert!(section.is_of(place));
    settle_file(place, LockFile::locked(granted.file), section, want)
}

/// Every way out of this but [`Settled::Held`] drops `locked`, and so lets go of it.
fn settle_file(
    place: &Place,
    mut locked: LockFile,
    section: &mut Section,
    want: &Want,
) -> Result<Settled> {
    let Found::This(stat) = place.compare_lock(locked.pinned())? else {
        return Ok(Settled::Moved);
    };
    let reading = record::read(locked.file()).context("read", place.lock())?;
    match judge(&reading, &stat, place.dir(), &want.rules) {
        Judgement::Obstacle(obstacle) => Ok(Settled::Obstacle(obstacle)),
        Judgement::Free(reasons) => {
            note!(INFO, [place = place.clone()],
                lock = %place.lock().display(), ?reasons, "take over");
            metrics::took_over(place);
            adopt_session(section, &reading);
            let mut stat = stat;
            if stat.links > 1 && !filesystem::is_local(place.dir()) {
                // Its maker died before it could remove the temporary name. Elsewhere a file that
                // is published by a link is locked before that.
                remove_temporary_names(place, locked.pinned());
                let Found::This(again) = place.compare_lock(locked.pinned())? else {
                    return Ok(Settled::Moved);
                };
                stat = again;
            }
            if stat.links > 1 {
                // What has the other name, as in a snapshot, is not to change (I6).
                return Ok(match replace(place, locked.pinned(), section, want)? {
                    Some(held) => Settled::Held(held.after(&reading)),
                    None => Settled::Moved,
                });
            }
            locked
                .take_over(place, section, &reading, &stat, want)
                .context("take over", place.lock())?;
            Ok(Settled::Held(locked))
        }
    }
}

/// The holder before has created the session file, as its record says. Unless it was written to, it
/// is to go with this turn.
fn adopt_session(section: &mut Section, reading: &Reading) {
    if let Reading::Ours(Record { made_session: Some(trace), .. }) = reading {
        section.adopt_unused(trace);
    }
}

/// Whether somebody in another process waits for the lock, and is to have it before a process whose
/// run is over (I8).
pub(crate) fn others_wait(place: &Place, rules: &Rules) -> bool {
    rules.marks(place.dir())
        && matches!(open_to_look(place), Ok(Opened::File(file, _))
            if marks::somebody_is_next(file.file()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::datafile::SOON;
    use crate::error::LostCause;
    use crate::lock::{Known, LockState, Look, look};

    /// No process has this id.
    const DEAD_PID: i32 = 1 << 30;

    /// Takes a malformed record over at once.
    fn want() -> Want {
        let rules = Rules { malformed_grace: Duration::ZERO, ..Rules::default() };
        Want { owner: Uuid::now_v7(), label: None, facts: None, rules: Arc::new(rules) }
    }

    /// The record of a dead foreign owner, at least `length` bytes long.
    fn foreign_record(length: usize) -> String {
        let pad = "x".repeat(length);
        format!(r#"{{"pid":{DEAD_PID},"createdAt":"2026-04-15T10:00:00.000Z","pad":"{pad}"}}"#)
    }

    /// Takes over a lock file with this content, then looks at it and revokes it by its new owner.
    #[track_caller]
    fn take_over_and_revoke(content: &str) {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
        std::fs::write(place.lock(), content).unwrap();
        let mut section = Section::lock_within(SOON, &place, true).unwrap().unwrap();
        let want = want();
        let Ok(Try::Held(held)) = try_take(&place, &mut section, &want) else {
            panic!("not taken")
        };

        let Reading::Ours(record) = record::read(held.file()).unwrap() else {
            panic!("a file of {} bytes cannot be read after it was taken over", content.len())
        };
        assert_eq!(record.owner, Some(want.owner));
        let (known, rules) = (Known::default(), Rules::default());
        let by = Look { rules: &rules, known: &known, own: None };
        let seen = look(&place, place.lock(), &by).unwrap().unwrap();
        assert_eq!(seen.state, LockState::Held);

        let holder = revoke(&place, &section, Named::Owner(want.owner), false, &rules).unwrap();
        assert_eq!(holder.owner, Some(want.owner));
        assert_eq!(held.lost(&place).unwrap(), Some(LostCause::Removed));
    }

    #[test]
    fn a_record_of_any_length_is_taken_over_whole() {
        for length in [0, 400, 4000, 4096, 6000, 60_000, 100_000] {
            take_over_and_revoke(&foreign_record(length));
        }
    }
}
