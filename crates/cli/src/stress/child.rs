//! A child process of a stress run, with tasks that take turns and tasks that post.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{sleep, timeout};
use turnlock::{Appended, Durability, Error, Sessions, Turn};

use super::foreign;
use super::journal::{Journal, Kind, POST, Record, now};
use super::line::{self, Writer};
use super::panics::{Panics, caught};
use crate::failure::Failure;

/// The work of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Role {
    /// Takes turns, and posts with `--post`.
    Writer,
    /// Only posts.
    Poster,
    /// Locks as OpenClaw does, without a kernel lock.
    Foreign,
}

pub(crate) const NAME: &str = "__stress-child";

/// The arguments that the conductor gives to a child.
#[derive(clap::Parser, Debug, Clone)]
pub(crate) struct Args {
    #[arg(long)]
    pub(super) dir: PathBuf,
    #[arg(long)]
    pub(super) role: Role,
    /// The number of the child, unique in the run.
    #[arg(long)]
    pub(super) child: u32,
    /// The process that started the child, and with which it ends.
    #[arg(long)]
    pub(super) parent: i32,
    /// The time of the common clock after which nothing is begun.
    #[arg(long)]
    pub(super) until: u64,
    /// How long to wait for a turn.
    #[arg(long)]
    pub(super) patience_ms: u64,
    #[arg(long)]
    pub(super) tasks: u32,
    #[arg(long)]
    pub(super) sessions: u16,
    #[arg(long)]
    pub(super) hold_us: u64,
    #[arg(long)]
    pub(super) seed: u64,
    #[arg(long)]
    pub(super) post: bool,
    #[arg(long)]
    pub(super) quiet_spells: bool,
    #[arg(long)]
    pub(super) buffered: bool,
    /// Rewrite the session as it is, now and then.
    #[arg(long)]
    pub(super) rewrite: bool,
    #[arg(long)]
    pub(super) panic: bool,
}

/// A pause after an acquire that failed.
const AFTER_FAILURE: Duration = Duration::from_millis(5);

/// The number of posting tasks in a writing child that also posts, and in a posting child.
const POSTERS: [u32; 2] = [1, 4];

pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> Result<ExitCode, Failure> {
    let args = Args::parse_from(std::iter::once(NAME.into()).chain(arguments));
    die_with(args.parent)?;
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Failure::new(format!("stress child: {what}: {error}"))
    };
    let journal = Journal::open(&args.dir, Some(args.child)).map_err(|e| failed("journal", &e))?;
    let journal = Arc::new(journal);
    if args.role == Role::Foreign {
        foreign::write(&args, &journal).map_err(|e| failed("foreign writer", &e))?;
        return Ok(ExitCode::SUCCESS);
    }
    let durability = if args.buffered { Durability::Buffered } else { Durability::Sync };
    let sessions = Sessions::builder()
        .acquire_timeout(Duration::from_millis(args.patience_ms))
        .durability(durability)
        .build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .map_err(|e| failed("runtime", &e))?;
    let (writers, posters) = match args.role {
        Role::Writer => (args.tasks, if args.post { POSTERS[0] } else { 0 }),
        _ => (0, POSTERS[1]),
    };
    let panics = args
        .panic
        .then(|| Panics::install(args.seed ^ u64::from(args.child), Arc::clone(&journal)));
    let common = Arc::new(Common { args, sessions, journal, panics, turns: AtomicU64::new(0) });
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..writers + posters {
        let hand = Hand::new(Arc::clone(&common), task);
        if task < writers {
            tasks.spawn_on(hand.take_turns(), runtime.handle());
        } else {
            tasks.spawn_on(hand.post_lines(), runtime.handle());
        }
    }
    runtime.block_on(async {
        while let Some(done) = tasks.join_next().await {
            done.map_err(|e| failed("task", &e))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Makes this process die with its conductor, in whatever way that ends.
fn die_with(parent: i32) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::new(format!("cannot ask to die with the parent: {e}"));
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|e| failed(e.into()))?;
    // It may have died before the request.
    match rustix::process::getppid() {
        Some(pid) if pid.as_raw_nonzero().get() == parent => Ok(()),
        _ => Err(failed(io::Error::other("it is gone"))),
    }
}

/// The path of a session of a stress run.
pub(super) fn session_path(dir: &Path, session: u16) -> PathBuf {
    dir.join(format!("session-{session}.jsonl"))
}

/// The period of the quiet spells, in nanoseconds.
const PERIOD: u64 = 400_000_000;
/// The length of the quiet spell at the end of each period. Nobody else asks for a turn in it, so
/// that a foreign writer, which only looks now and then, gets one.
const QUIET: u64 = 120_000_000;

/// The rest of the quiet spell, during one.
pub(super) fn quiet_for(now: u64) -> Option<Duration> {
    let within = now % PERIOD;
    (within >= PERIOD - QUIET).then(|| Duration::from_nanos(PERIOD - within))
}

struct Common {
    args: Args,
    sessions: Sessions,
    journal: Arc<Journal>,
    panics: Option<Arc<Panics>>,
    turns: AtomicU64,
}

impl Common {
    /// Awaits a call of the library. `None` if it panicked.
    async fn call<F: Future>(&self, call: F) -> Option<F::Output> {
        match &self.panics {
            Some(panics) => panics.inside(call).await,
            None => Some(call.await),
        }
    }

    /// Ends a turn as a `?` would.
    fn let_go(&self, turn: Turn) {
        match self.panics {
            Some(_) => drop(caught(|| drop(turn))),
            None => drop(turn),
        }
    }
}

/// One task.
struct Hand {
    common: Arc<Common>,
    writer: Writer,
    random: StdRng,
    /// The number of the next line.
    next: u64,
}

/// Whether the turn goes on after an append.
enum Outcome {
    Done,
    /// It goes on if it has looked at the session.
    Told,
    /// The turn is over.
    Over,
}

impl Hand {
    fn new(common: Arc<Common>, task: u32) -> Self {
        let writer = Writer { child: common.args.child, task };
        let seed = line::mix(
            common.args.seed ^ line::mix(u64::from(writer.child) << 32 | u64::from(task)),
        );
        Self { common, writer, random: StdRng::seed_from_u64(seed), next: 0 }
    }

    async fn take_turns(mut self) {
        while now() < self.common.args.until {
            if self.common.args.quiet_spells
                && let Some(rest) = quiet_for(now())
            {
                sleep(rest).await;
                continue;
            }
            let session = self.random.random_range(0..self.common.args.sessions);
            let number = self.common.turns.fetch_add(1, Ordering::Relaxed);
            let about = Record { session, turn: number, ..self.about(Kind::Asked) };
            if let Some(turn) = self.acquire(about).await {
                self.work(turn, about).await;
            }
        }
    }

    /// Asks for a turn. Now and then gives up before it is granted.
    async fn acquire(&mut self, about: Record) -> Option<Turn> {
        let path = session_path(&self.common.args.dir, about.session);
        let label = format!("stress {}.{}", self.writer.child, self.writer.task);
        self.note(Record { at: now(), ..about });
        let common = Arc::clone(&self.common);
        let acquire = common.call(common.sessions.turn(path).label(label).acquire());
        let acquired = if self.random.random_ratio(1, 32) {
            let patience = Duration::from_millis(self.random.random_range(0..5));
            match timeout(patience, acquire).await {
                Ok(acquired) => acquired,
                Err(_) => {
                    self.note(Record { at: now(), kind: Kind::GaveUp, ..about });
                    return None;
                }
            }
        } else {
            acquire.await
        };
        let Some(acquired) = acquired else {
            self.note(Record { at: now(), kind: Kind::GaveUp, ..about });
            return None;
        };
        match acquired {
            Ok(turn) => {
                let owner = turn.owner().as_u128();
                self.note(Record { at: now(), kind: Kind::Acquired, owner, ..about });
                Some(turn)
            }
            Err(error) => {
                eprintln!("{} waiting for session {}: {error}", self.writer, about.session);
                let kind = if error.is_busy() { Kind::TimedOut } else { Kind::Failed };
                self.note(Record { at: now(), kind, ..about });
                sleep(AFTER_FAILURE).await;
                None
            }
        }
    }

    /// Several appends, so that an overlap would show.
    async fn work(&mut self, mut turn: Turn, about: Record) {
        let appends = self.random.random_range(1..=5);
        let pause = Duration::from_micros(self.common.args.hold_us / appends);
        for _ in 0..appends {
            match self.append(&mut turn, about).await {
                Outcome::Done => {}
                Outcome::Told if self.random.random() && has_looked(&turn) => {}
                Outcome::Told | Outcome::Over => return self.common.let_go(turn),
            }
            rest(pause).await;
        }
        if self.common.args.rewrite
            && self.random.random_ratio(1, 16)
            && let Outcome::Over = self.rewrite(&mut turn, about).await
        {
            return self.common.let_go(turn);
        }
        self.note(Record { at: now(), kind: Kind::Releasing, ..about });
        if !self.random.random::<bool>() {
            return self.common.let_go(turn);
        }
        if let Some(released) = self.common.call(turn.release()).await {
            let lost = matches!(released, Err(Error::LockLost { .. }));
            self.note(Record { at: now(), kind: Kind::Released, detail: lost.into(), ..about });
        }
    }

    /// Rewrites the session as it is, unless it is damaged, or so large that it would take long.
    async fn rewrite(&mut self, turn: &mut Turn, about: Record) -> Outcome {
        let Some(lines) = tokio::task::block_in_place(|| all_lines(turn)) else {
            return Outcome::Done;
        };
        // To decide what to keep takes a while.
        sleep(Duration::from_millis(self.random.random_range(0..20))).await;
        self.note(Record { at: now(), kind: Kind::Rewriting, ..about });
        let rewritten = self.common.call(turn.rewrite(lines)).await;
        let Some(rewritten) = rewritten else { return Outcome::Over };
        let done = rewritten.map(|_| Record { at: now(), kind: Kind::Rewritten, ..about });
        self.answered(about, "rewriting", done)
    }

    async fn append(&mut self, turn: &mut Turn, about: Record) -> Outcome {
        let cancelled = self
            .random
            .random_ratio(1, 64)
            .then(|| Duration::from_millis(self.random.random_range(0..2)));
        let (about, lines) = self.begin(about);
        let common = Arc::clone(&self.common);
        let append = common.call(turn.append_all(lines));
        let appended = match cancelled {
            // The lines may be written or not, but never twice, and never after this turn.
            Some(patience) => match timeout(patience, append).await {
                Ok(appended) => appended,
                Err(_) => return Outcome::Over,
            },
            None => append.await,
        };
        match appended {
            Some(appended) => self.end(about, appended),
            None => Outcome::Over,
        }
    }

    async fn post_lines(mut self) {
        while now() < self.common.args.until {
            sleep(Duration::from_millis(self.random.random_range(1..8))).await;
            let session = self.random.random_range(0..self.common.args.sessions);
            let (about, lines) =
                self.begin(Record { session, turn: POST, ..self.about(Kind::Begun) });
            let path = session_path(&self.common.args.dir, session);
            let post = self.common.sessions.post_creating(path, lines);
            if let Some(posted) = self.common.call(post).await {
                self.end(about, posted);
            }
        }
    }

    /// Records what is about to be appended.
    fn begin(&mut self, about: Record) -> (Record, Vec<line::Line>) {
        let count =
            if self.random.random_ratio(1, 8) { self.random.random_range(2..=4) } else { 1 };
        let lines = line::batch(self.common.args.seed, self.writer, self.next, count);
        let about = Record { kind: Kind::Begun, n: self.next, count, ..about };
        self.next += u64::from(count);
        self.note(Record { at: now(), ..about });
        (about, lines)
    }

    /// Records the outcome of an append.
    fn end(&self, about: Record, appended: turnlock::Result<Appended>) -> Outcome {
        let acknowledged = |appended: Appended| {
            let detail = appended.offset;
            Record { at: now(), kind: Kind::Acknowledged, detail, ..about }
        };
        self.answered(about, "appending to", appended.map(acknowledged))
    }

    /// Records the outcome of an append or a rewrite.
    fn answered(&self, about: Record, doing: &str, answer: turnlock::Result<Record>) -> Outcome {
        let at = now();
        match answer {
            Ok(done) => {
                self.note(done);
                Outcome::Done
            }
            Err(Error::LockLost { .. }) => {
                self.note(Record { at, kind: Kind::Lost, ..about });
                Outcome::Over
            }
            Err(Error::Overtaken { .. }) => {
                self.note(Record { at, kind: Kind::Overtaken, ..about });
                Outcome::Over
            }
            Err(error) if tells_of_a_change(&error) => {
                self.note(Record { at, kind: Kind::Told, ..about });
                Outcome::Told
            }
            Err(error) => {
                eprintln!("{} {doing} session {}: {error}", self.writer, about.session);
                self.note(Record { at, kind: Kind::Failed, ..about });
                Outcome::Over
            }
        }
    }

    fn about(&self, kind: Kind) -> Record {
        Record { task: self.writer.task, ..Record::now(kind) }
    }

    fn note(&self, record: Record) {
        self.common.journal.note(&record);
    }
}

/// Whether the holder is told that the session file is not as it knew it (`Changed`). By its name,
/// since not every version of the library has this error.
fn tells_of_a_change(error: &Error) -> bool {
    format!("{error:?}").starts_with("Changed")
}

/// Looks at the session as it is now, so that the turn can go on.
fn has_looked(turn: &Turn) -> bool {
    tokio::task::block_in_place(|| caught(|| turn.read().is_ok())).unwrap_or(false)
}

/// A session of at most so many bytes is rewritten.
const REWRITABLE: u64 = 4 << 20;

/// All lines of the session, if it has nothing else.
fn all_lines(turn: &Turn) -> Option<Vec<line::Line>> {
    let transcript = turn.read().ok()?;
    let length = transcript.file().metadata().ok()?.len();
    let records = transcript.records::<line::Line>();
    (length <= REWRITABLE).then(|| records.collect::<Result<_, _>>().ok()).flatten()
}

/// Holds the turn a little longer.
async fn rest(pause: Duration) {
    if pause >= Duration::from_millis(1) {
        sleep(pause).await;
    } else if !pause.is_zero() {
        // The runtime's timer has a resolution of a millisecond.
        std::thread::sleep(pause);
    }
}
