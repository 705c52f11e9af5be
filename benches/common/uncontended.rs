//! Acquire and release without contention.

use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::rounds::{Outcome, Rounds};
use super::{buffered, either, floor, known_session, tasks};

pub fn lock_of(session: &Path) -> PathBuf {
    session.with_extension("jsonl.lock")
}

/// On a session that exists. The outcomes are, in order: floor, the protocol's calls, the same with
/// a kept file, blocking, and async in a task.
pub fn known(dir: &Path) -> Vec<Outcome> {
    let session = known_session(dir, "known.jsonl");
    let (lock, kept) = (lock_of(&session), session.with_extension("kept"));
    let file = floor::open(&kept, OFlags::RDWR | OFlags::CREATE);
    floor::rewrite_record(&file);
    let rounds = floors("acquire + release, known session", &session, || {
        floor::protocol(&session, &lock, dir)
    });
    let renamed = || times(|| floor::protocol_kept(&session, &lock, &kept, &file));
    ours(rounds.way("(the same, with a lock file that is kept and renamed)", renamed), &session)
}

/// On a session that the turn creates, and removes again because nothing was written.
pub fn new(dir: &Path) {
    let session = dir.join("new.jsonl");
    let lock = lock_of(&session);
    ours(
        floors("acquire + release, new session", &session, || {
            floor::protocol_new(&session, &lock, dir)
        }),
        &session,
    );
}

/// The number of turns per call of a way.
fn repeats() -> u32 {
    either(10, 1)
}

fn floors<'a>(title: &str, session: &Path, mut protocol: impl FnMut() + 'a) -> Rounds<'a> {
    let exclusive = session.with_extension("exclusive");
    Rounds::new(title)
        .way("floor: open(O_EXCL), flock, write, unlink, close", move || {
            times(|| floor::exclusive_file(&exclusive))
        })
        .way("floor: the protocol's calls", move || times(&mut protocol))
}

fn ours(rounds: Rounds, session: &Path) -> Vec<Outcome> {
    let (sessions, runtime) = (buffered(), tasks::runtime());
    // One task takes several turns, so that entering the runtime hardly counts.
    let in_task = || {
        let (sessions, session) = (sessions.clone(), session.to_owned());
        async move {
            for _ in 0..repeats() {
                sessions.turn(&session).acquire().await.unwrap().release().await.unwrap();
            }
        }
    };
    rounds
        .way("turnlock, blocking", || {
            times(|| {
                sessions.turn(session).acquire_blocking().unwrap().release_blocking().unwrap()
            });
        })
        .way("turnlock, async, in a task", || {
            runtime.block_on(async { tokio::spawn(in_task()).await.unwrap() })
        })
        .run_of(repeats(), either(60, 1), either(20, 1))
}

fn times(mut once: impl FnMut()) {
    for _ in 0..repeats() {
        once();
    }
}
