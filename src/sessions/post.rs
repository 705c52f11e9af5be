//! A post: one append by a process that does not hold the turn (I10).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::Sessions;
use super::address::Address;
use super::lines::Lines;
use crate::datafile::{Appended, Section};
use crate::error::{Error, Result};
use crate::lock::{self, Try, Want};
use crate::mode::Mode;
use crate::rules::WaitLimit;
use crate::session::data_lock::{enter_section, in_section};
use crate::session::{SlotRef, fast_path, let_go_of_post};
use crate::sys::{self, Pinned};

/// How a post went.
enum Posted {
    Done(Appended),
    /// A foreign owner may be alive: the post has to wait for a turn of its own.
    NeedsTurn,
}

impl Sessions {
    pub(super) async fn post_lines(
        &self,
        mode: Mode,
        address: Arc<Address>,
        lines: Lines,
        create: bool,
    ) -> Result<Appended> {
        let limit = self.rules.wait_limit();
        let path = address.path().to_owned();
        let slot = find_elsewhere(mode, path, limit, move |_| find(&address, create)).await?;
        let want = Want {
            owner: Uuid::now_v7(),
            label: Some(Arc::from("post")),
            facts: None,
            rules: Arc::clone(&self.rules),
        };
        loop {
            let operation = {
                let (slot, lines, want) = (slot.clone(), lines.clone(), want.clone());
                move |granted| post(granted, &slot, &lines, &want, create)
            };
            let posted = in_section(slot.clone(), mode, limit, create, operation).await?;
            if let Posted::Done(appended) = posted {
                return Ok(appended);
            }
            match self.post_in_turn(mode, &slot, &lines, limit, create).await {
                // Somebody took the turn away, or changed the session, before anything was written.
                // A post has no turn to lose and knows nothing of the session. It tries again.
                Err(Error::LockLost { .. } | Error::Changed { .. }) if !lines.are_spent() => {}
                posted => return posted,
            }
        }
    }

    async fn post_in_turn(
        &self,
        mode: Mode,
        slot: &SlotRef,
        lines: &Lines,
        limit: WaitLimit,
        create: bool,
    ) -> Result<Appended> {
        let mut acquire = self.turn(slot.place.session()).label("post");
        if let Some(remaining) = limit.remaining() {
            acquire = acquire.timeout(remaining);
        }
        let turn = acquire.acquire_as(mode).await?;
        if !create && turn.made_session() {
            // The session was removed meanwhile. What the turn has created goes with the turn.
            turn.release_as(mode).await?;
            return Err(Error::NoSession { path: slot.place.session().to_owned() });
        }
        let appended = lines.append_in(&turn, mode).await?;
        // The lines are written. If the turn is lost after that, it does not matter to the post.
        let _ = turn.release_as(mode).await;
        Ok(appended)
    }
}

/// Finds a session. A disk that does not answer is waited for no longer than the rest.
pub(super) async fn find_elsewhere(
    mode: Mode,
    path: PathBuf,
    limit: WaitLimit,
    find: impl FnOnce(&Path) -> Result<SlotRef> + Send + 'static,
) -> Result<SlotRef> {
    let (disk, asked) = (fast_path::disk_of(&path), path.clone());
    match mode.run_until(limit.deadline(), disk, move || find(&asked)).await? {
        Some(found) => found,
        None => Err(Error::NoAnswer { path, waited: limit.timeout() }),
    }
}

/// The session's slot. What is missing is created only on request.
fn find(address: &Address, create: bool) -> Result<SlotRef> {
    let found = if create { address.find(true) } else { address.find_existing() };
    found.map(SlotRef::of)
}

fn post(
    granted: Option<Section>,
    slot: &SlotRef,
    lines: &Lines,
    want: &Want,
    create: bool,
) -> Result<Option<Posted>> {
    let Some(mut section) = enter_section(granted, &slot.place, create)? else { return Ok(None) };
    let tried = lock::try_take(&slot.place, &mut section, want)
        .inspect_err(|_| section.discard_unused(false, || Ok(())))?;
    let (held, lock) = match tried {
        Try::Held(held) => {
            // A foreign owner, which takes no data lock, may have written until a moment ago.
            section.look_again()?;
            let lock = Arc::clone(held.pinned());
            (Some(held), lock)
        }
        Try::Busy(obstacle) => match obstacle.ours() {
            // The holder may be about to put a rewritten file where none is now (I20). What this
            // process, or another one, has created there goes with that.
            Some(lock)
                if want.rules.is_served(slot.place.dir()) && is_in_a_gap(&section, &lock) =>
            {
                return Ok(Some(Posted::NeedsTurn));
            }
            Some(lock) => (None, Arc::new(lock)),
            None => return Ok(Some(Posted::NeedsTurn)),
        },
    };
    // Whatever becomes of the lines, the turn lock is let go.
    let made = catch_unwind(AssertUnwindSafe(|| lines.behind(&section)));
    let seen = section.len();
    let posted = made.map(|batch| {
        let appended = section.writer(want.rules.durability, seen, &lock).append(&batch?)?;
        Ok(Some(Posted::Done(appended)))
    });
    if let Some(held) = held {
        let_go_of_post(slot, held, section, &want.rules);
    }
    posted.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Whether the session file may have been made since the holder began, while its rewrite had left
/// none: it is empty, and younger than the holder's record. One server gave both their times.
fn is_in_a_gap(section: &Section, lock: &Pinned) -> bool {
    let modified = |file| sys::stat(file).map(|stat| stat.modified);
    section.len() == 0
        && match (modified(section.file()), modified(lock.file())) {
            (Ok(session), Ok(lock)) => session >= lock,
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::datafile::{Batch, SOON};
    use crate::rules::Rules;

    #[test]
    fn what_a_foreign_owner_wrote_before_it_ended_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let session = dir.path().join("s.jsonl");
        fs::write(&session, "{}\n").unwrap();
        let slot = find(&Address::of(&session, &Rules::default()), false).unwrap();
        let section = Section::lock_within(SOON, &slot.place, false).unwrap().unwrap();
        // Written after the look at the file's length, before the look at the lock file.
        fs::write(&session, "{}\n{\"torn").unwrap();
        let want = Want { owner: Uuid::now_v7(), label: None, facts: None, rules: Arc::default() };
        let lines = Lines::Ready(Batch::of([1]).unwrap());
        let posted = post(Some(section), &slot, &lines, &want, false).unwrap();
        let Some(Posted::Done(appended)) = posted else { panic!() };
        assert_eq!((appended.offset, appended.sealed, appended.intervening), (10, true, 0));
        assert_eq!(fs::read_to_string(&session).unwrap(), "{}\n{\"torn\n1\n");
    }
}
