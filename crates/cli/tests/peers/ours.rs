//! Our side in a process of its own: this test binary again, as a program that links the library.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use turnlock::{Error, Sessions};
use turnlock_testing::Room;
use turnlock_testing::alone::this_binary;
use turnlock_testing::child::{Child, obey, say};
use turnlock_testing::process::die_with_parent;

use crate::room::buffered;

/// A process of ours, which goes on when it is told to.
pub type Ours = Child<(), Answer>;

/// What it tells.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Held,
    Appended,
    Refused(String),
    Begun,
    Told(Told),
}

const ROLE: &str = "TURNLOCK_PEERS_ROLE";
const SESSION: &str = "TURNLOCK_PEERS_SESSION";

fn start(room: &Room, role: &str) -> Ours {
    let mut command = this_binary("ours::role");
    // This further filter matches no test: it is the argument by which OpenClaw knows its own.
    command.arg("openclaw").env(ROLE, role).env(SESSION, &room.session);
    Ours::start(command)
}

/// One that holds a turn with this label, and appends each time that it is told to go on.
#[track_caller]
pub fn holding(room: &Room, label: &str) -> Ours {
    let ours = start(room, label);
    assert_eq!(ours.answer(), Answer::Held);
    ours
}

/// One that takes turns until it is told to go on; then it tells what became of them.
pub fn taking_turns(room: &Room, writer: u64) -> Ours {
    start(room, &format!("turns {writer}"))
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Acknowledged; so many bytes of others came before it since this turn last looked.
    There { intervening: u64 },
    /// Refused by the fence: not a byte was written.
    Lost,
    /// Somebody took the lock in the middle of it: it may be there.
    Overtaken,
}

/// What one writer was told, by turn and part.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub turns: BTreeMap<u64, Vec<Outcome>>,
    pub busy: u64,
}

/// Not a test: a child's side. It returns at once when it is run as one.
#[test]
fn role() {
    let (Some(role), Some(session)) = (std::env::var(ROLE).ok(), std::env::var_os(SESSION)) else {
        return;
    };
    let session = PathBuf::from(session);
    match role.strip_prefix("turns ") {
        Some(writer) => take_turns(&session, writer.parse().unwrap()),
        None => hold(&session, &role),
    }
}

/// Holds a turn, and appends at each line that it is told.
fn hold(session: &Path, label: &str) {
    let turn = buffered().turn(session).label(label).acquire_blocking().unwrap();
    say(&Answer::Held);
    obey(|()| match turn.append_blocking(&json!({"ours": label})) {
        Ok(_) => Answer::Appended,
        Err(error) => Answer::Refused(error.to_string()),
    });
}

/// Turns of two appends each, until it is told to stop; then what became of each, and then it waits
/// for its end, so that nobody takes its last lock for a dead one's.
fn take_turns(session: &Path, writer: u64) {
    die_with_parent();
    let sessions = buffered();
    let (stop, mut told) = (AtomicBool::new(false), Told::default());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::io::stdin().lock().read_line(&mut String::new()).unwrap();
            stop.store(true, Ordering::Relaxed);
        });
        say(&Answer::Begun);
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if let Some(parts) = one_turn(&sessions, session, writer, n) {
                told.turns.insert(n, parts);
            } else {
                told.busy += 1;
            }
            // Between turns a program has other things to do; the peers poll, and would hardly ever
            // find the lock free.
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    say(&Answer::Told(told));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn one_turn(sessions: &Sessions, session: &Path, writer: u64, n: u64) -> Option<Vec<Outcome>> {
    let turn = match sessions
        .turn(session)
        .label("turns")
        .timeout(Duration::from_secs(10))
        .acquire_blocking()
    {
        Ok(turn) => turn,
        Err(Error::Timeout { .. } | Error::DataLockBusy { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    let mut parts = Vec::new();
    for part in 1..=2 {
        let outcome = match turn.append_blocking(&json!({"w": writer, "n": n, "part": part})) {
            Ok(appended) => Outcome::There { intervening: appended.intervening },
            Err(Error::LockLost { .. }) => Outcome::Lost,
            Err(Error::Overtaken { .. }) => Outcome::Overtaken,
            Err(error) => panic!("{error}"),
        };
        parts.push(outcome);
        std::thread::sleep(Duration::from_millis(1));
    }
    // A turn that is lost only now has its lines all the same.
    let _ = turn.release_blocking();
    Some(parts)
}
