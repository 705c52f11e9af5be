//! A post: one append by somebody who does not hold the turn (I10).

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::data::{Door, Reached, under_data_lock};
use super::{Sessions, data_lock};
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::lockfile::{self, Try};
use crate::place::Place;
use crate::registry::{SlotRef, Want};
use crate::transcript::{Appended, Lines};
use crate::turn;

/// How a post went.
enum Posted {
    Done(Appended),
    /// A foreign owner lives there: the post must wait for a turn of its own.
    NeedsTurn,
}

impl Sessions {
    pub(super) async fn post_lines(
        &self,
        caller: Caller,
        path: &Path,
        lines: Lines,
        create: bool,
    ) -> Result<Appended> {
        let deadline = self.rules.deadline();
        let resolve = {
            let path = path.to_owned();
            move || find(&path, create)
        };
        let slot = caller.run(resolve).await??;
        let want = Want {
            owner: Uuid::now_v7(),
            label: Some(Arc::from("post")),
            facts: None,
            rules: Arc::clone(&self.rules),
        };
        let limit = self.rules.acquire_timeout;
        loop {
            let operation = {
                let (slot, lines, want) = (slot.clone(), lines.clone(), want.clone());
                move |door| post(door, &slot, &lines, &want, create)
            };
            match under_data_lock(slot.clone(), caller, deadline, limit, create, operation).await? {
                Posted::Done(appended) => return Ok(appended),
                Posted::NeedsTurn => {
                    match self.post_in_turn(caller, &slot, &lines, deadline, create).await {
                        // Somebody took the turn away before anything was written: a post has none to lose, and tries again.
                        Err(Error::LockLost { .. }) => {}
                        posted => return posted,
                    }
                }
            }
        }
    }

    async fn post_in_turn(
        &self,
        caller: Caller,
        slot: &SlotRef,
        lines: &Lines,
        deadline: Option<Instant>,
        create: bool,
    ) -> Result<Appended> {
        let mut acquire = self.turn(slot.place.session()).label("post");
        if let Some(deadline) = deadline {
            acquire = acquire.timeout(deadline.saturating_duration_since(Instant::now()));
        }
        let mut turn = acquire.acquire_as(caller).await?;
        if !create && turn.made_session() {
            // It was removed meanwhile; what the turn has made goes with it.
            turn.release_as(caller).await?;
            return Err(Error::NoSession { path: slot.place.session().to_owned() });
        }
        let appended = turn.append_lines(caller, lines.clone()).await?;
        // The line is written: what becomes of the turn after that is nothing to tell.
        let _ = turn.release_as(caller).await;
        Ok(appended)
    }
}

/// The session's slot; a post does not create what is missing unless told to.
fn find(path: &Path, create: bool) -> Result<SlotRef> {
    match Place::resolve(path, create) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::NoSession { path: path.to_owned() })
        }
        resolved => resolved.map(SlotRef::of),
    }
}

fn post(
    door: Door,
    slot: &SlotRef,
    lines: &Lines,
    want: &Want,
    create: bool,
) -> Result<Reached<Posted>> {
    let Some(mut data) = data_lock(door, &slot.place, create)? else { return Ok(Reached::Busy) };
    let tried = lockfile::try_take(&slot.place, &data, want);
    let (held, lock) = match tried.inspect_err(|_| data.discard_unused(false, || Ok(())))? {
        Try::Held(held) => {
            // A foreign owner, who knows no data lock, may have written until a moment ago.
            data.look_again()?;
            let id = held.id();
            (Some(held), id)
        }
        Try::Busy(obstacle) => match obstacle.ours() {
            Some(id) => (None, id),
            None => return Ok(Reached::Done(Posted::NeedsTurn)),
        },
    };
    let seen = data.len();
    let appended = data.append(lines, want.rules.durability, seen, lock);
    if let Some(held) = held {
        turn::let_go_of_post(slot, held, data, &want.rules);
    }
    Ok(Reached::Done(Posted::Done(appended?)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::transcript::DataLock;

    #[test]
    fn what_a_foreign_owner_wrote_just_before_it_went_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let session = dir.path().join("s.jsonl");
        fs::write(&session, "{}\n").unwrap();
        let slot = find(&session, false).unwrap();
        let data = DataLock::try_now(&slot.place, false).unwrap().unwrap();
        // Between the look at the file's length and the look at the lock file.
        fs::write(&session, "{}\n{\"torn").unwrap();
        let want = Want { owner: Uuid::now_v7(), label: None, facts: None, rules: Arc::default() };
        let posted = post(Door::Have(data), &slot, &Lines::of([1]).unwrap(), &want, false).unwrap();
        let Reached::Done(Posted::Done(appended)) = posted else { panic!() };
        assert_eq!((appended.offset, appended.sealed, appended.intervening), (10, true, 0));
        assert_eq!(fs::read_to_string(&session).unwrap(), "{}\n{\"torn\n1\n");
    }
}
