//! What becomes of a lock that was let go with its file left in place, for others who wait.
//!
//! They may all have given up in between: then the keeper removes the file, so that nothing is left behind (I12). Or this process is the
//! next one itself: then it goes on from there, and opens neither file again.
use std::time::Duration;

use crate::datafile::Section;
use crate::keeper;
use crate::lock::{Lingering, Lock, Want};
use crate::rules::Rules;
use crate::session::slot::{Rest, SlotRef};

/// When a lock file that was left for others is looked at.
const TIDY_AFTER: Duration = Duration::from_millis(5);
/// At most how long the next look is put off while it cannot be told whether somebody has taken it.
const TIDY_AT_MOST: Duration = Duration::from_secs(1);

/// Leaves a lock file to others.
pub(super) fn leave_behind(slot: &SlotRef, mut leftover: Lingering) {
    let mut rest = slot.rest.lock();
    if let Some(end) = leftover.kept_until()
        && !rest.kept
    {
        let kept = slot.clone();
        rest.kept = keeper::before_all_else(end, move || end_keeping(&kept));
        if !rest.kept {
            leftover.let_go();
        }
    }
    look_after(slot, &mut rest, Box::new(leftover));
}

/// Sees to it that the keeper looks after what was left. Only the last that was left can still be there: what was left before has been taken
/// over since, or its path names another file.
fn look_after(slot: &SlotRef, rest: &mut Rest, leftover: Box<Lingering>) {
    if rest.leftover.as_ref().is_none_or(|other| leftover.is_after(other)) {
        rest.leftover = Some(leftover);
    }
    if !std::mem::replace(&mut rest.looked_after, true) {
        tidy_later(slot.clone(), TIDY_AFTER);
    }
}

/// A lock is kept for this process no longer than its run, and not while the keeper does what may take long: then the others have it (I8).
fn end_keeping(slot: &SlotRef) {
    let mut rest = slot.rest.lock();
    rest.kept = false;
    if let Some(leftover) = &mut rest.leftover {
        leftover.let_go();
    }
}

/// The others have it first.
pub(crate) fn leave_to_others(slot: &SlotRef) {
    if let Some(leftover) = &mut slot.rest.lock().leftover {
        leftover.let_go();
    }
}

/// A turn begins where the last one of this process ended, if nobody had the lock since (I6).
pub(crate) fn resume(slot: &SlotRef, want: &Want) -> Option<(Lock, Section)> {
    let mut leftover = slot.rest.lock().leftover.take()?;
    if leftover.is_forked() {
        // Closed here, a lock that its parent keeps falls with the parent.
        return None;
    }
    if let Some(data) = leftover.take_again(&slot.place, want) {
        return Some((leftover.into_lock(), data));
    }
    leftover.let_go();
    put_back(slot, leftover);
    None
}

/// A post took the turn lock for its one append; now it lets it go, with the data lock still held.
pub(crate) fn let_go_of_post(slot: &SlotRef, lock: Lock, mut data: Section, rules: &Rules) {
    if !lock.somebody_waits(rules) && matches!(lock.lost(&slot.place), Ok(None)) {
        data.discard_unused(false, || lock.disown());
        return lock.unlink(&slot.place, &data);
    }
    leave_behind(slot, lock.unlock_before(data));
}

fn put_back(slot: &SlotRef, leftover: Box<Lingering>) {
    look_after(slot, &mut slot.rest.lock(), leftover);
}

fn tidy_later(slot: SlotRef, delay: Duration) {
    keeper::after(delay, move || {
        if let Some(again) = tidy(&slot, delay) {
            tidy_later(slot, again);
        }
    });
}

/// When to look again, if there is something left to look after.
fn tidy(slot: &SlotRef, delay: Duration) -> Option<Duration> {
    let mut rest = slot.rest.lock();
    match &rest.leftover {
        Some(kept) if kept.kept_until().is_some() => return Some(TIDY_AFTER),
        // Those for whom it was left are given time to come.
        Some(left) if left.age() < TIDY_AFTER => {
            return Some(TIDY_AFTER.saturating_sub(left.age()));
        }
        Some(_) => {}
        None => {
            rest.looked_after = false;
            return None;
        }
    }
    let mut leftover = rest.leftover.take()?;
    drop(rest);
    // What cannot be done now, for want of a descriptor or of room, may be done later.
    if !matches!(leftover.tidy(&slot.place), Ok(true)) {
        put_back(slot, leftover);
        return Some((delay * 2).clamp(TIDY_AFTER, TIDY_AT_MOST));
    }
    let mut rest = slot.rest.lock();
    rest.looked_after = rest.leftover.is_some();
    rest.looked_after.then_some(TIDY_AFTER)
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

    /// A session with somebody at its lock file who seems to wait in another process, by the mark.
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

        fn lock_file(&self) -> File {
            File::open(self.slot.place.lock()).unwrap()
        }

        /// Turns in a run, until the lock was kept after one: on a busy machine a run may end with its first turn.
        fn keep(&mut self) {
            while self
                .slot
                .rest
                .lock()
                .leftover
                .as_deref()
                .and_then(Lingering::kept_until)
                .is_none()
            {
                if self.slot.run_is_over() {
                    // It ends with a turn that is left to nobody.
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
    fn a_turn_goes_on_where_the_last_one_ended() {
        let mut contended = Contended::new();
        contended.keep();
        let turn = contended.turn();
        assert_eq!(turn.lost().unwrap(), None);
        let record = std::fs::read_to_string(turn.lock_path()).unwrap();
        assert!(record.contains(&turn.owner().to_string()), "{record}");
    }

    #[test]
    fn whoever_was_lent_a_descriptor_has_no_say_in_the_next_turn() {
        let mut contended = Contended::new();
        for _ in 0..20 {
            contended.keep();
            let turn = contended.turn();
            let lent =
                turn.with_lock_fd(|fd| File::from(fd.try_clone_to_owned().unwrap())).unwrap();
            turn.release_blocking().unwrap();
            assert_eq!(
                contended.slot.rest.lock().leftover.as_deref().and_then(Lingering::kept_until),
                None
            );
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
    fn whoever_was_lent_a_descriptor_has_no_say_in_the_turn_of_the_next_task() {
        let contended = Contended::new();
        let turn = contended.turn();
        let lent = turn.with_lock_fd(|fd| File::from(fd.try_clone_to_owned().unwrap())).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| contended.turn());
            while contended.slot.turns.is_empty() {
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

    /// A lock file was left for a waiter that has gone since; the keeper does not know of it.
    fn left_behind_unseen(contended: &Contended) -> Box<Lingering> {
        let turn = contended.turn();
        let waiter = contended.lock_file();
        marks::wait(&waiter);
        turn.release_blocking().unwrap();
        let leftover = contended.slot.rest.lock().leftover.take().unwrap();
        while contended.slot.rest.lock().looked_after {
            std::thread::yield_now();
        }
        leftover
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
        let leftover = left_behind_unseen(&contended);
        put_back(&contended.slot, leftover);
        until_gone(&contended);
    }

    #[test]
    fn of_two_leftovers_the_newer_is_looked_after() {
        for told_last in [0, 1] {
            let contended = Contended::new();
            let mut leftovers = [left_behind_unseen(&contended), left_behind_unseen(&contended)];
            leftovers.rotate_right(told_last);
            for leftover in leftovers {
                put_back(&contended.slot, leftover);
            }
            until_gone(&contended);
        }
    }

    #[test]
    fn a_turn_that_was_lost_is_older_than_what_was_left_since() {
        let contended = Contended::new();
        let lost = contended.turn();
        std::fs::remove_file(contended.slot.place.lock()).unwrap();
        // A post of this process leaves a lock file of its own, before the turn ends.
        let data = Section::lock_within(SOON, &contended.slot.place, true).unwrap().unwrap();
        let want = Want { owner: Uuid::now_v7(), label: None, facts: None, rules: Arc::default() };
        let Ok(Try::Held(lock)) = try_take(&contended.slot.place, &data, &want) else { panic!() };
        leave_behind(&contended.slot, lock.unlock_before(data));
        drop(lost);
        until_gone(&contended);
    }

    #[test]
    fn a_lock_that_was_kept_and_replaced_is_older_than_what_was_left_since() {
        let mut contended = Contended::new();
        contended.keep();
        let mut kept = contended.slot.rest.lock().leftover.take().unwrap();
        std::fs::remove_file(contended.slot.place.lock()).unwrap();
        let newer = left_behind_unseen(&contended);
        kept.let_go();
        put_back(&contended.slot, newer);
        put_back(&contended.slot, kept);
        until_gone(&contended);
    }

    #[test]
    fn what_cannot_be_looked_at_yet_is_looked_at_later() {
        let contended = Contended::new();
        let leftover = left_behind_unseen(&contended);
        let data = Section::lock_within(SOON, &contended.slot.place, true).unwrap().unwrap();
        while leftover.age() < TIDY_AFTER {
            std::thread::yield_now();
        }
        contended.slot.rest.lock().leftover = Some(leftover);
        assert_eq!(tidy(&contended.slot, Duration::ZERO), Some(TIDY_AFTER));
        drop(data);
        assert_eq!(tidy(&contended.slot, Duration::ZERO), None);
        assert!(!contended.slot.place.lock().exists());
    }

    #[test]
    fn no_turn_goes_on_from_a_file_that_was_removed() {
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
