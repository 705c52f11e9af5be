//! Acquire and release with nobody else there.

use std::path::{Path, PathBuf};

use super::rounds::{Outcome, Rounds};
use super::{buffered, either, floor, known_session, tasks};

pub fn lock_of(session: &Path) -> PathBuf {
    session.with_extension("jsonl.lock")
}

/// On a session that exists. The outcomes: floor, the protocol's calls, blocking, async in one task, async from outside.
pub fn known(dir: &Path) -> Vec<Outcome> {
    let session = known_session(dir, "known.jsonl");
    let lock = lock_of(&session);
    ways(Rounds::new("acquire + release, known session"), &session, || floor::protocol(&session, &lock, dir))
}

/// On one that is created by the turn, and goes again with it, since nothing was written.
pub fn new(dir: &Path) -> Vec<Outcome> {
    let session = dir.join("new.jsonl");
    let lock = lock_of(&session);
    ways(Rounds::new("acquire + release, new session"), &session, || floor::protocol_new(&session, &lock, dir))
}

fn ways<'a>(rounds: Rounds<'a>, session: &'a Path, protocol: impl FnMut() + 'a) -> Vec<Outcome> {
    let (sessions, runtime) = (buffered(), tasks::runtime());
    let exclusive = session.with_extension("exclusive");
    // A handful of turns in one task, so that entering the runtime is not what is measured.
    let in_task = |turns: u32| {
        let (sessions, session) = (sessions.clone(), session.to_owned());
        async move {
            for _ in 0..turns {
                sessions.turn(&session).acquire().await.unwrap().release().await.unwrap();
            }
        }
    };
    let repeats = either(10, 1);
    rounds
        .way("floor: open(O_EXCL), flock, write, unlink, close", || {
            times(repeats, || floor::exclusive_file(&exclusive))
        })
        .way("floor: the protocol's calls", {
            let mut protocol = protocol;
            move || times(repeats, &mut protocol)
        })
        .way("turnlock, blocking", || {
            times(repeats, || sessions.turn(session).acquire_blocking().unwrap().release_blocking().unwrap());
        })
        .way("turnlock, async, in a task", || runtime.block_on(async { tokio::spawn(in_task(repeats)).await.unwrap() }))
        .run_of(repeats, either(60, 1), either(20, 1))
}

fn times(repeats: u32, mut once: impl FnMut()) {
    for _ in 0..repeats {
        once();
    }
}
