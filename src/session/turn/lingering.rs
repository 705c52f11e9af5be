//! What becomes of a lock file that a turn left in place for others who wait: it lingers.
//!
//! The others may all have given up in between. Then the keeper removes the file, so that nothing
//! stays behind (I12). Or this process has the next turn itself. Then it resumes from what lingers,
//! and opens neither file again.

use std::time::Duration;

use crate::datafile::Section;
use crate::keeper;
use crate::lock::{Lingering, Lock, Want};
use crate::rules::Rules;
use crate::session::slot::{SlotRef, Upkeep};

/// How long a lock file is left to others before the keeper looks at it.
pub(super) const TIDY_AFTER: Duration = Duration::from_millis(5);
/// The longest time between two looks, while it cannot be told whether somebody has taken it over.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Sees to it that a kept lock is let go in time, and that the lock file is tidied up when it has
/// stayed for this long.
pub(super) fn begin_upkeep(slot: &SlotRef, mut lingering: Lingering, stays: Duration) {
    let mut upkeep = slot.upkeep.lock();
    upkeep.stays = stays;
    if let Some(end) = lingering.kept_until()
        && !upkeep.will_let_go
    {
        let kept = slot.clone();
        upkeep.will_let_go = keeper::at(end, move || end_keeping(&kept));
        if !upkeep.will_let_go {
            lingering.let_go();
        }
    }
    look_after(slot, &mut upkeep, Box::new(lingering));
}

/// Schedules the keeper to tidy up. Only the lock file with the record that was written last can
/// still be there: earlier ones were taken over since, or their path names another file.
fn look_after(slot: &SlotRef, upkeep: &mut Upkeep, lingering: Box<Lingering>) {
    if upkeep.lingering.as_ref().is_none_or(|other| lingering.is_after(other)) {
        upkeep.lingering = Some(lingering);
    }
    if !std::mem::replace(&mut upkeep.will_tidy, true) {
        tidy_after(upkeep.stays, slot.clone());
    }
}

/// The keeper lets go of a kept lock when the run ends (I8).
fn end_keeping(slot: &SlotRef) {
    let mut upkeep = slot.upkeep.lock();
    upkeep.will_let_go = false;
    if let Some(lingering) = &mut upkeep.lingering {
        lingering.let_go();
    }
}

/// Lets go of a lock that is kept, if one is: other processes are to have it first.
pub(crate) fn let_go_of_kept_lock(slot: &SlotRef) {
    if let Some(lingering) = &mut slot.upkeep.lock().lingering {
        lingering.let_go();
    }
}

/// Begins a turn where the last one of this process ended, if nobody had the lock since (I6).
pub(crate) fn resume(slot: &SlotRef, want: &Want) -> Option<(Lock, Section)> {
    let mut lingering = slot.upkeep.lock().lingering.take()?;
    if lingering.is_forked() {
        // Closed in this fork, without an unlock, so that a lock that the parent keeps falls with
        // the parent.
        return None;
    }
    if let Some(section) = lingering.take_again(&slot.place, want) {
        return Some((lingering.into_lock(), section));
    }
    lingering.let_go();
    put_back(slot, lingering);
    None
}

/// Lets go of the turn lock that a post took for its one append (I10), with the data lock still
/// held.
pub(crate) fn let_go_of_post(slot: &SlotRef, lock: Lock, mut section: Section, rules: &Rules) {
    // A server does not tell of waiters (I18).
    let may_go = rules.is_served(slot.place.dir()) || !lock.somebody_waits(&slot.place, rules);
    if may_go && matches!(lock.lost(&slot.place), Ok(None)) {
        section.discard_unused(false, || lock.disown());
        return lock.unlink(&slot.place, &section);
    }
    begin_upkeep(slot, lock.unlock_before(section), TIDY_AFTER);
}

fn put_back(slot: &SlotRef, lingering: Box<Lingering>) {
    look_after(slot, &mut slot.upkeep.lock(), lingering);
}

/// Whether it is time to tidy up, the keeper's own thread sees. Only the file operations need the
/// thread of the lane.
fn tidy_after(delay: Duration, slot: SlotRef) {
    keeper::quick_after(delay, move || {
        let pause = time_to_tidy(&mut slot.upkeep.lock());
        match pause {
            Some(Duration::ZERO) => keeper::after(Duration::ZERO, slot.lane(), move || {
                if let Some(next) = tidy(&slot, delay) {
                    tidy_after(next, slot);
                }
            }),
            Some(pause) => tidy_after(pause, slot),
            None => {}
        }
    });
}

/// How long it is until the time to tidy up, at least. `None` if nothing lingers.
fn time_to_tidy(upkeep: &mut Upkeep) -> Option<Duration> {
    let Some(lingering) = &upkeep.lingering else {
        upkeep.will_tidy = false;
        return None;
    };
    if lingering.kept_until().is_some() {
        return Some(TIDY_AFTER);
    }
    // Those for whom it was left get time to come.
    Some(upkeep.stays.saturating_sub(lingering.age()))
}

/// Tidies up, if it is time. Returns when to look again, if anything still lingers.
fn tidy(slot: &SlotRef, delay: Duration) -> Option<Duration> {
    let mut upkeep = slot.upkeep.lock();
    let pause = time_to_tidy(&mut upkeep)?;
    if !pause.is_zero() {
        return Some(pause);
    }
    let mut lingering = upkeep.lingering.take()?;
    // Without the mutex, since this takes file operations.
    drop(upkeep);
    // What fails now, for want of a descriptor or of disk space, may succeed later.
    if !matches!(lingering.tidy(&slot.place), Ok(true)) {
        put_back(slot, lingering);
        return Some((delay * 2).clamp(TIDY_AFTER, MAX_PAUSE));
    }
    let mut upkeep = slot.upkeep.lock();
    upkeep.will_tidy = upkeep.lingering.is_some();
    upkeep.will_tidy.then_some(TIDY_AFTER)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Instant;

    use uuid::Uuid;

    use super::*;
    use crate::datafile::SOON;
    use crate::lock::{Try, marks, try_take};
    use crate::place::Place;
    use crate::session::turn::Turn;
    use crate::sessions::Sessions;
    use crate::sys::flock;

    /// A session whose lock file bears the mark of a waiter. It seems to wait in another process.
    struct Contended {
        _dir: tempfile::TempDir,
        path: PathBuf,
        slot: SlotRef,
        waiter: Option<File>,
    }

    impl Contended {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("s.jsonl");
            std::fs::write(&path, "{}\n").unwrap();
            let slot = SlotRef::of(Place::resolve(&path, false).unwrap());
            Self { _dir: dir, path, slot, waiter: None }
        }

        fn turn(&self) -> Turn {
            Sessions::new().turn(&self.path).acquire_blocking().unwrap()
        }

        fn is_kept(&self) -> bool {
            let upkeep = self.slot.upkeep.lock();
            upkeep.lingering.as_deref().and_then(Lingering::kept_until).is_some()
        }

        fn lock_file(&self) -> File {
            File::open(self.slot.place.lock()).unwrap()
        }

        /// Takes turn after turn until the lock is kept after one. On a busy machine a run may end
        /// with its first turn.
        fn keep(&mut self) {
            while !self.is_kept() {
                if self.slot.run_is_over() {
                    // A turn after which nobody waits ends the run.
                    self.waiter = None;
                    self.turn().release_blocking().unwrap();
                }
                let turn = self.turn();
                let waiter = self.lock_file();
                marks::wait(&waiter);
                self.waiter = Some(waiter);
                turn.release_blocking().unwrap();
            }
        }
    }

    #[test]
    fn a_lock_that_is_kept_is_let_go_when_the_run_ends() {
        let mut contended = Contended::new();
        contended.keep();
        let other = contended.lock_file();
        let began = Instant::now();
        while !flock::try_lock(&other).unwrap() {
            assert!(began.elapsed() < Duration::from_secs(30), "it is kept for good");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_turn_resumes_where_the_last_one_ended() {
        let mut contended = Contended::new();
        contended.keep();
        let turn = contended.turn();
        assert_eq!(turn.lost().unwrap(), None);
        let record = std::fs::read_to_string(turn.lock_path()).unwrap();
        assert!(record.contains(&turn.owner().to_string()), "{record}");
    }

    #[test]
    fn a_lent_descriptor_has_no_power_over_the_next_turn() {
        let mut contended = Contended::new();
        for _ in 0..20 {
            contended.keep();
            let turn = contended.turn();
            let lent =
                turn.with_lock_fd(|fd| File::from(fd.try_clone_to_owned().unwrap())).unwrap();
            turn.release_blocking().unwrap();
            assert!(!contended.is_kept());
            let next = contended.turn();
            flock::unlock(&lent);
            assert!(
                !flock::try_lock(&contended.lock_file()).unwrap(),
                "the next turn has a lock of its own"
            );
            next.release_blocking().unwrap();
        }
    }

    #[test]
    fn a_lent_descriptor_has_no_power_over_the_turn_of_the_next_task() {
        let contended = Contended::new();
        let turn = contended.turn();
        let lent = turn.with_lock_fd(|fd| File::from(fd.try_clone_to_owned().unwrap())).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| contended.turn());
            while contended.slot.turn_queue.is_empty() {
                std::thread::yield_now();
            }
            turn.release_blocking().unwrap();
            let next = waiter.join().unwrap();
            flock::unlock(&lent);
            assert!(
                !flock::try_lock(&contended.lock_file()).unwrap(),
                "the next turn has a lock of its own"
            );
            next.release_blocking().unwrap();
        });
    }

    /// A lock file that was left for a waiter which is gone. The keeper does not know of it.
    fn unknown_to_the_keeper(contended: &Contended) -> Box<Lingering> {
        let turn = contended.turn();
        let waiter = contended.lock_file();
        marks::wait(&waiter);
        turn.release_blocking().unwrap();
        let lingering = contended.slot.upkeep.lock().lingering.take().unwrap();
        while contended.slot.upkeep.lock().will_tidy {
            std::thread::yield_now();
        }
        lingering
    }

    fn until_gone(contended: &Contended) {
        let began = Instant::now();
        while contended.slot.place.lock().exists() {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the record of a living process stays"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_is_put_back_is_looked_after() {
        let contended = Contended::new();
        let lingering = unknown_to_the_keeper(&contended);
        put_back(&contended.slot, lingering);
        until_gone(&contended);
    }

    #[test]
    fn of_two_lingering_files_the_newer_is_looked_after() {
        for told_last in [0, 1] {
            let contended = Contended::new();
            let mut lingering =
                [unknown_to_the_keeper(&contended), unknown_to_the_keeper(&contended)];
            lingering.rotate_right(told_last);
            for lingering in lingering {
                put_back(&contended.slot, lingering);
            }
            until_gone(&contended);
        }
    }

    #[test]
    fn a_lost_turn_is_older_than_what_lingers_since() {
        let contended = Contended::new();
        let lost = contended.turn();
        std::fs::remove_file(contended.slot.place.lock()).unwrap();
        // A post of this process leaves a lock file of its own, before the turn ends.
        let mut section = Section::lock_within(SOON, &contended.slot.place, true).unwrap().unwrap();
        let want = Want { owner: Uuid::now_v7(), label: None, facts: None, rules: Arc::default() };
        let Ok(Try::Held(lock)) = try_take(&contended.slot.place, &mut section, &want) else {
            panic!()
        };
        begin_upkeep(&contended.slot, lock.unlock_before(section), TIDY_AFTER);
        drop(lost);
        until_gone(&contended);
    }

    #[test]
    fn a_kept_lock_that_was_replaced_is_older_than_what_lingers_since() {
        let mut contended = Contended::new();
        contended.keep();
        let mut kept = contended.slot.upkeep.lock().lingering.take().unwrap();
        std::fs::remove_file(contended.slot.place.lock()).unwrap();
        let newer = unknown_to_the_keeper(&contended);
        kept.let_go();
        put_back(&contended.slot, newer);
        put_back(&contended.slot, kept);
        until_gone(&contended);
    }

    #[test]
    fn what_cannot_be_looked_at_yet_is_looked_at_later() {
        let contended = Contended::new();
        let lingering = unknown_to_the_keeper(&contended);
        let section = Section::lock_within(SOON, &contended.slot.place, true).unwrap().unwrap();
        while lingering.age() < TIDY_AFTER {
            std::thread::yield_now();
        }
        contended.slot.upkeep.lock().lingering = Some(lingering);
        assert_eq!(tidy(&contended.slot, Duration::ZERO), Some(TIDY_AFTER));
        drop(section);
        assert_eq!(tidy(&contended.slot, Duration::ZERO), None);
        assert!(!contended.slot.place.lock().exists());
    }

    #[test]
    fn no_turn_resumes_from_a_removed_file() {
        let mut contended = Contended::new();
        for _ in 0..20 {
            contended.keep();
            std::fs::remove_file(contended.slot.place.lock()).unwrap();
            let turn = contended.turn();
            assert_eq!(turn.lost().unwrap(), None);
            turn.release_blocking().unwrap();
        }
    }
}
