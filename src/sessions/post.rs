//! A post: one append by somebody who does not hold the turn (I10).
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::Sessions;
use crate::datafile::{Appended, Batch, Section};
use crate::error::{Error, Result};
use crate::lock::{self, Try, Want};
use crate::mode::Mode;
use crate::place::Place;
use crate::session::data_queue::{in_section, section_of};
use crate::session::{SlotRef, let_go_of_post};

/// How a post went.
enum Posted {
    Done(Appended),
    /// A foreign owner lives there: the post must wait for a turn of its own.
    NeedsTurn,
}

impl Sessions {
    pub(super) async fn post_lines(
        &self,
        mode: Mode,
        path: &Path,
        lines: Batch,
        create: bool,
    ) -> Result<Appended> {
        let deadline = self.rules.deadline();
        let resolve = {
            let path = path.to_owned();
            move || find(&path, create)
        };
        let slot = mode.run(resolve).await??;
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
                move |granted| post(granted, &slot, &lines, &want, create)
            };
            match in_section(slot.clone(), mode, deadline, limit, create, operation).await? {
                Posted::Done(appended) => return Ok(appended),
                Posted::NeedsTurn => {
                    match self.post_in_turn(mode, &slot, &lines, deadline, create).await {
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
        mode: Mode,
        slot: &SlotRef,
        lines: &Batch,
        deadline: Option<Instant>,
        create: bool,
    ) -> Result<Appended> {
        let mut acquire = self.turn(slot.place.session()).label("post");
        if let Some(deadline) = deadline {
            acquire = acquire.timeout(deadline.saturating_duration_since(Instant::now()));
        }
        let mut turn = acquire.acquire_as(mode).await?;
        if !create && turn.made_session() {
            // It was removed meanwhile; what the turn has made goes with it.
            turn.release_as(mode).await?;
            return Err(Error::NoSession { path: slot.place.session().to_owned() });
        }
        let appended = turn.append_lines(mode, lines.clone()).await?;
        // The line is written: what becomes of the turn after that is nothing to tell.
        let _ = turn.release_as(mode).await;
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
    granted: Option<Section>,
    slot: &SlotRef,
    lines: &Batch,
    want: &Want,
    create: bool,
) -> Result<Option<Posted>> {
    let Some(mut data) = section_of(granted, &slot.place, create)? else { return Ok(None) };
    let tried = lock::try_take(&slot.place, &data, want);
    let (held, lock) = match tried.inspect_err(|_| data.discard_unused(false, || Ok(())))? {
        Try::Held(held) => {
            // A foreign owner, who knows no data lock, may have written until a moment ago.
            data.look_again()?;
            let id = held.id();
            (Some(held), id)
        }
        Try::Busy(obstacle) => match obstacle.ours() {
            Some(id) => (None, id),
            None => return Ok(Some(Posted::NeedsTurn)),
        },
    };
    let seen = data.len();
    let appended = data.writer(want.rules.durability, seen, lock).append(lines);
    if let Some(held) = held {
        let_go_of_post(slot, held, data, &want.rules);
    }
    Ok(Some(Posted::Done(appended?)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::datafile::SOON;

    #[test]
    fn what_a_foreign_owner_wrote_just_before_it_went_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let session = dir.path().join("s.jsonl");
        fs::write(&session, "{}\n").unwrap();
        let slot = find(&session, false).unwrap();
        let data = Section::lock_within(SOON, &slot.place, false).unwrap().unwrap();
        // Between the look at the file's length and the look at the lock file.
        fs::write(&session, "{}\n{\"torn").unwrap();
        let want = Want { owner: Uuid::now_v7(), label: None, facts: None, rules: Arc::default() };
        let posted = post(Some(data), &slot, &Batch::of([1]).unwrap(), &want, false).unwrap();
        let Some(Posted::Done(appended)) = posted else { panic!() };
        assert_eq!((appended.offset, appended.sealed, appended.intervening), (10, true, 0));
        assert_eq!(fs::read_to_string(&session).unwrap(), "{}\n{\"torn\n1\n");
    }
}
