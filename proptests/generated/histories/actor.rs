//! An actor: it shares sessions with others through the public API, in this process or in another.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use turnlock::{
    Acquire, Appended, Durability, Error, Item, LockState, Position, Result, Sessions, Tail, Turn,
};

use super::protocol::{Answer, Ask, What, line, made};

/// Upper bound for anything that is bound to happen; shorter than that of other tests, for the sake
/// of shrinking.
pub const DEADLINE: Duration = Duration::from_secs(20);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime")
});

pub struct Actor {
    sessions: Sessions,
    /// Whether it works as a task, or as a thread that blocks.
    task: bool,
    turns: HashMap<PathBuf, Turn>,
    waiting: HashMap<PathBuf, JoinHandle<Result<Turn>>>,
    noted: HashMap<PathBuf, Position>,
}

impl Actor {
    pub fn new(task: bool) -> Self {
        let sessions = Sessions::builder()
            .durability(Durability::Buffered)
            .acquire_timeout(DEADLINE)
            .build()
            .expect("fair rules");
        Self {
            sessions,
            task,
            turns: HashMap::new(),
            waiting: HashMap::new(),
            noted: HashMap::new(),
        }
    }

    pub fn obey(&mut self, ask: Ask) -> Answer {
        self.try_to(&ask.session, ask.what).unwrap_or_else(|error| told(&error))
    }

    fn try_to(&mut self, session: &Path, what: What) -> Result<Answer> {
        Ok(match what {
            What::Try => self.acquire(session, Duration::ZERO)?,
            What::Acquire(ms) => self.acquire(session, Duration::from_millis(ms))?,
            What::Wait => {
                let acquire = self.ask_for(session).no_timeout();
                self.waiting.insert(session.to_owned(), RUNTIME.spawn(acquire.acquire()));
                Answer::Done
            }
            What::Joined => self.joined(session)?,
            What::Cancel => self.cancel(session),
            What::Append(numbers) => appended(self.append(session, numbers)?),
            What::Post(number) if self.task => {
                appended(RUNTIME.block_on(self.sessions.post(session, &line(number)))?)
            }
            What::Post(number) => appended(self.sessions.post_blocking(session, &line(number))?),
            What::AppendMade(number) => {
                let (task, turn) = (self.task, self.turn(session));
                let make = move |tail: &Tail<'_>| Ok(made(number, tail.end()));
                appended(if task {
                    RUNTIME.block_on(turn.append_with(make))?
                } else {
                    turn.append_with_blocking(make)?
                })
            }
            What::PostMade(number) => {
                let make = move |tail: &Tail<'_>| Ok(made(number, tail.end()));
                appended(if self.task {
                    RUNTIME.block_on(self.sessions.post_with(session, make))?
                } else {
                    self.sessions.post_with_blocking(session, make)?
                })
            }
            What::Note => {
                let read = self.sessions.session(session)?.read_blocking()?;
                self.noted.insert(session.to_owned(), read.position());
                Answer::Done
            }
            What::RewriteFrom(numbers) => self.rewrite_from(session, numbers)?,
            What::Renew(archive, number) => appended(self.renew(session, archive, number)?),
            What::Release => {
                let turn = self.turns.remove(session).expect("a turn");
                if self.task {
                    RUNTIME.block_on(turn.release())?
                } else {
                    turn.release_blocking()?
                }
                Answer::Done
            }
            What::Drop => {
                drop(self.turns.remove(session).expect("a turn"));
                Answer::Done
            }
            What::Lost => match self.turn(session).lost()? {
                Some(cause) => Answer::Lost(cause.as_str().to_owned()),
                None => Answer::NotLost,
            },
            What::Read => self.read(session)?,
            What::Rewrite(numbers) => self.rewrite(session, numbers)?,
            What::Repair => Answer::Repaired(self.repair(session)?),
            What::Restore => self.restore(session)?,
            What::Revoke(owner) => {
                self.sessions.revoke(session, owner)?;
                Answer::Done
            }
            What::Status => self.status(session)?,
            What::Sweep => {
                let reports = self.sessions.sweep(session.parent().expect("a directory"))?;
                Answer::Removed(
                    reports.iter().any(|report| report.removed && report.session() == session),
                )
            }
            What::RemoveLeftover(path) => Answer::Removed(self.sessions.remove_leftover(path)?),
        })
    }

    fn ask_for(&self, session: &Path) -> Acquire {
        self.sessions.turn(session).label(if self.task { "task" } else { "thread" })
    }

    fn turn(&mut self, session: &Path) -> &mut Turn {
        self.turns.get_mut(session).expect("a turn")
    }

    fn acquire(&mut self, session: &Path, limit: Duration) -> Result<Answer> {
        let acquire = self.ask_for(session).timeout(limit);
        let turn = if self.task {
            RUNTIME.block_on(acquire.acquire())?
        } else {
            acquire.acquire_blocking()?
        };
        Ok(self.held(session, turn))
    }

    fn held(&mut self, session: &Path, turn: Turn) -> Answer {
        let owner = turn.owner();
        self.turns.insert(session.to_owned(), turn);
        Answer::Held(owner)
    }

    fn joined(&mut self, session: &Path) -> Result<Answer> {
        let waiting = self.waiting.remove(session).expect("somebody who waits");
        match RUNTIME.block_on(async { timeout(DEADLINE, waiting).await }) {
            Ok(joined) => Ok(self.held(session, joined.expect("no panic")?)),
            Err(_) => Ok(Answer::Failed(
                "Stuck".into(),
                "nobody holds it, and who waits does not get it".into(),
            )),
        }
    }

    fn cancel(&mut self, session: &Path) -> Answer {
        let waiting = self.waiting.remove(session).expect("somebody who waits");
        waiting.abort();
        match RUNTIME.block_on(waiting) {
            Err(error) if error.is_cancelled() => Answer::Done,
            other => Answer::Failed("Finished".into(), format!("{other:?}")),
        }
    }

    fn append(&mut self, session: &Path, numbers: Vec<u64>) -> Result<Appended> {
        let (task, turn) = (self.task, self.turn(session));
        match (task, &numbers[..]) {
            (true, [number]) => RUNTIME.block_on(turn.append(&line(*number))),
            (false, [number]) => turn.append_blocking(&line(*number)),
            (true, _) => RUNTIME.block_on(turn.append_all(lines(&numbers))),
            (false, _) => turn.append_all_blocking(lines(&numbers)),
        }
    }

    fn read(&mut self, session: &Path) -> Result<Answer> {
        let (mut read, mut damaged_to) = (Vec::new(), 0);
        for item in self.turn(session).read()?.lines() {
            match item.expect("the file can be read") {
                Item::Damage(damage) => damaged_to = damage.range.end,
                // Other tests look at what is saved from damage.
                Item::Line(line) if line.range.end <= damaged_to => {}
                Item::Line(line) => {
                    read.extend_from_slice(&line.bytes.expect("a short line"));
                    read.push(b'\n');
                }
            }
        }
        Ok(Answer::Lines(read))
    }

    fn rewrite(&mut self, session: &Path, numbers: Vec<u64>) -> Result<Answer> {
        let (task, turn) = (self.task, self.turn(session));
        let lines = lines(&numbers);
        let done = if task {
            RUNTIME.block_on(turn.rewrite(lines))?
        } else {
            turn.rewrite_blocking(lines)?
        };
        Ok(Answer::Rewritten { bytes: done.bytes, carried: done.carried })
    }

    fn rewrite_from(&mut self, session: &Path, numbers: Vec<u64>) -> Result<Answer> {
        let position = self.noted[session].clone();
        let (task, turn) = (self.task, self.turn(session));
        let lines = lines(&numbers);
        let done = if task {
            RUNTIME.block_on(turn.rewrite_from(position, lines))?
        } else {
            turn.rewrite_from_blocking(position, lines)?
        };
        Ok(Answer::Rewritten { bytes: done.bytes, carried: done.carried })
    }

    fn renew(&mut self, session: &Path, archive: Option<PathBuf>, number: u64) -> Result<Appended> {
        let (task, turn) = (self.task, self.turn(session));
        match (task, archive) {
            (true, None) => RUNTIME.block_on(turn.remove())?,
            (false, None) => turn.remove_blocking()?,
            (true, Some(path)) => RUNTIME.block_on(turn.rename_to(path))?,
            (false, Some(path)) => turn.rename_to_blocking(path)?,
        }
        self.append(session, vec![number])
    }

    fn repair(&mut self, session: &Path) -> Result<bool> {
        let (task, turn) = (self.task, self.turn(session));
        let done = if task { RUNTIME.block_on(turn.repair())? } else { turn.repair_blocking()? };
        Ok(done.changed())
    }

    fn restore(&mut self, session: &Path) -> Result<Answer> {
        let (task, turn) = (self.task, self.turn(session));
        if task {
            RUNTIME.block_on(turn.restore())?;
        } else {
            turn.restore_blocking()?;
        }
        Ok(Answer::Done)
    }

    fn status(&self, session: &Path) -> Result<Answer> {
        let Some(report) = self.sessions.status_of(session)? else {
            return Ok(Answer::Status(None, None));
        };
        let owner = report
            .holder
            .filter(|_| report.state == LockState::Held)
            .and_then(|holder| holder.owner);
        Ok(Answer::Status(Some(report.state.as_str().to_owned()), owner))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // A waiter must not be granted a turn that nobody will ever release.
        for (_, waiting) in self.waiting.drain() {
            waiting.abort();
            drop(RUNTIME.block_on(waiting));
        }
    }
}

fn lines(numbers: &[u64]) -> Vec<Value> {
    numbers.iter().map(|number| line(*number)).collect()
}

fn appended(it: Appended) -> Answer {
    Answer::Appended { offset: it.offset, intervening: it.intervening, sealed: it.sealed }
}

fn told(error: &Error) -> Answer {
    match error {
        Error::LockLost { cause, .. } => Answer::Lost(cause.as_str().to_owned()),
        busy if busy.is_busy() => Answer::Busy,
        other => Answer::Failed(other.code().to_owned(), other.to_string()),
    }
}
