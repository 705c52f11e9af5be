//! A post: one append by somebody who does not hold the turn (I10).

use std::path::Path;
use std::sync::Arc;

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
    pub(super) async fn post_lines(&self, caller: Caller, path: &Path, lines: Lines, create: bool) -> Result<Appended> {
        let deadline = self.rules.deadline();
        let resolve = {
            let path = path.to_owned();
            move || find(&path, create)
        };
        let slot = caller.run(resolve).await??;
        let want =
            Want { owner: Uuid::now_v7(), label: Some(Arc::from("post")), facts: None, rules: Arc::clone(&self.rules) };
        let operation = {
            let (slot, lines) = (slot.clone(), lines.clone());
            move |door| post(door, &slot, &lines, &want, create)
        };
        let limit = self.rules.acquire_timeout;
        match under_data_lock(slot.clone(), caller, deadline, limit, create, operation).await? {
            Posted::Done(appended) => Ok(appended),
            Posted::NeedsTurn => {
                let mut acquire = self.turn(slot.place.session()).label("post");
                if let Some(deadline) = deadline {
                    acquire = acquire.timeout(deadline.saturating_duration_since(std::time::Instant::now()));
                }
                let mut turn = acquire.acquire_as(caller).await?;
                let appended = turn.append_lines(caller, lines).await?;
                turn.release_as(caller).await?;
                Ok(appended)
            }
        }
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

fn post(door: Door, slot: &SlotRef, lines: &Lines, want: &Want, create: bool) -> Result<Reached<Posted>> {
    let Some(mut data) = data_lock(door, &slot.place, create)? else { return Ok(Reached::Busy) };
    let (held, lock) = match lockfile::try_take(&slot.place, &data, want)? {
        Try::Held(held) => {
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
