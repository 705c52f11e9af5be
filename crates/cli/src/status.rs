//! `turnlock status`: shows who holds what. Read-only.

mod details;
mod grouped;
mod waiting;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use turnlock::{LockReport, Sessions};

use crate::failure::Failure;
use crate::options::Local;
use crate::output::{self, Schema};
use crate::places::{Found, Instance, Kind, Place};
use waiting::Waiting;

/// Show the locks of sessions: who holds them, and which are stale
///
/// Read-only, and disturbs nobody. Directories are searched downwards for the sessions of programs
/// that are known; links are not followed. On a terminal, locks are grouped by instance. In a pipe,
/// one line per lock with fields separated by tabs: session, state, pid, host, label, held since. A
/// foreign program that was found in a container is shown by its pid here and its container; --json
/// also has the pid that its record names.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock status                          # OPENCLAW_STATE_DIR, or all agents of this user
  turnlock status /opt/openclaw-multi      # all instances below
  turnlock status -l ~/.openclaw/agents/main/sessions
  turnlock status --watch '/opt/openclaw-multi/data/oc*/config/agents/*/sessions'
  turnlock status --json sessions/4f2c.jsonl | jq '.locks[0].holder'
  turnlock status | awk -F '\\t' '$2 == \"held\" { print $3 }'

Exit codes: 0 looked at everything; 1 there is no session, or something could not be looked at;
2 usage.")]
pub(crate) struct Args {
    /// Answer in JSON, with exact values
    #[arg(long, conflicts_with = "long")]
    json: bool,

    /// Show all that is known of each lock
    #[arg(short, long)]
    long: bool,

    /// Look again every second; redraw on a terminal, else print every change
    #[arg(long)]
    watch: bool,

    #[command(flatten)]
    local: Local,

    /// Directories, session files or lock files, or quoted globs of those
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// The answer in JSON.
#[derive(Serialize)]
struct Answer<'a> {
    instances: BTreeSet<&'a Instance>,
    locks: Vec<Lock<'a>>,
    errors: &'a [Failure],
}

/// A lock in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lock<'a> {
    #[serde(flatten, serialize_with = "output::session_path")]
    session: PathBuf,
    #[serde(flatten)]
    report: &'a LockReport,
    /// The processes of this machine that wait for it, where the kernel lists them.
    waiter_pids: &'a [u32],
    filesystem: Option<&'a str>,
}

/// A lock that was found, and whose it is.
struct Looked {
    instance: Instance,
    report: LockReport,
}

/// The result of one look.
struct View {
    instances: BTreeSet<Instance>,
    locks: Vec<Looked>,
    waiting: Waiting,
    /// By directory.
    filesystems: BTreeMap<PathBuf, String>,
    failed: Vec<Failure>,
}

/// The pause between two looks of a watch.
const ROUND: Duration = Duration::from_secs(1);
/// Clears a terminal.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    let sessions = Sessions::builder().assume_local(args.local.assume_local).build()?;
    if args.watch {
        return watch(&sessions, &args);
    }
    let view = View::now(&sessions, &args)?;
    output::answer(&view.text(&args)?)?;
    let told = Failure::tell_all(&view.failed);
    // A lock that could not be looked at may be held.
    let is_unseen = |looked: &Looked| looked.report.state == turnlock::LockState::Unreadable;
    Ok(if view.failed.is_empty() && view.locks.iter().any(is_unseen) {
        ExitCode::FAILURE
    } else {
        told
    })
}

/// Looks again and again, until it is interrupted or the pipe is closed.
fn watch(sessions: &Sessions, args: &Args) -> Result<ExitCode, Failure> {
    let redraw = stdout().is_terminal() && !args.json;
    let (mut before, mut told_before) = (None, Vec::new());
    loop {
        let view = View::now(sessions, args)?;
        let text = view.text(args)?;
        let read = if redraw {
            let text = if text.is_empty() { "no locks\n" } else { &text };
            output::answer_if_read(&format!("{CLEAR}{text}"))?
        } else if before.as_ref() != Some(&text) {
            let snapshot = if args.json { text.clone() } else { view.snapshot(&text) };
            let read = output::answer_if_read(&snapshot)?;
            before = Some(text);
            read
        } else {
            true
        };
        if !read {
            return Ok(ExitCode::SUCCESS);
        }
        // A missing path may appear later. The same failure is told once, or it would fill a log.
        let told: Vec<_> = view.failed.iter().map(|failure| failure.text()).collect();
        if redraw || told != told_before {
            Failure::tell_all(&view.failed);
        }
        told_before = told;
        std::thread::sleep(ROUND);
    }
}

impl View {
    fn now(sessions: &Sessions, args: &Args) -> Result<Self, Failure> {
        let mut found = Found::of(&args.paths, "status")?;
        let mut failed = std::mem::take(&mut found.failed);
        let locks = look(sessions, &found.places, &mut failed);
        if locks.is_empty() && !found.has_sessions {
            failed.extend(found.nothing());
        }
        let mut filesystems = BTreeMap::new();
        for dir in locks.iter().map(|lock| dir_of(&lock.report)) {
            if !filesystems.contains_key(dir)
                && let Ok(filesystem) = Sessions::filesystem(dir)
            {
                filesystems.insert(dir.to_owned(), filesystem);
            }
        }
        tracing::info!(places = found.places.len(), locks = locks.len(), "looked");
        let instances = found.instances().into_iter().cloned().collect();
        Ok(Self { instances, locks, waiting: Waiting::now(), filesystems, failed })
    }

    fn text(&self, args: &Args) -> Result<String, Failure> {
        if args.json {
            let instances = self.instances.iter().collect();
            let locks = self.locks.iter().map(|lock| self.lock(&lock.report)).collect();
            let answer = Answer { instances, locks, errors: &self.failed };
            output::json(Schema::Status, &answer)
        } else if args.long {
            Ok(self.locks.iter().map(|lock| self.details(lock)).collect())
        } else if !stdout().is_terminal() {
            let line = |lock: &Looked| words::fields(&lock.report).join("\t") + "\n";
            Ok(self.locks.iter().map(line).collect())
        } else if self.locks.is_empty() && self.failed.is_empty() {
            Ok("no locks\n".to_owned())
        } else {
            Ok(self.grouped(output::terminal::columns()))
        }
    }

    /// What a watch prints in a pipe: when it was, how many locks there are, and then these.
    fn snapshot(&self, text: &str) -> String {
        let count = match self.locks.len() {
            0 => "no locks".to_owned(),
            1 => "1 lock".to_owned(),
            many => format!("{many} locks"),
        };
        format!("# {}, {count}\n{text}\n", output::moment(SystemTime::now()))
    }

    fn lock<'a>(&'a self, report: &'a LockReport) -> Lock<'a> {
        Lock {
            session: report.session(),
            report,
            waiter_pids: self.waiting.for_lock(&report.lock),
            filesystem: self.filesystem_of(report),
        }
    }

    fn filesystem_of(&self, report: &LockReport) -> Option<&str> {
        self.filesystems.get(dir_of(report)).map(String::as_str)
    }
}

/// The directory of a lock file.
fn dir_of(report: &LockReport) -> &Path {
    report.lock.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The locks at these places, each once, by instance.
fn look(sessions: &Sessions, places: &[Place], failed: &mut Vec<Failure>) -> Vec<Looked> {
    let is_directory = |place: &&Place| place.kind == Kind::Directory;
    let directories: Vec<_> = places.iter().filter(is_directory).collect();
    let looked = sessions.status_all(directories.iter().map(|place| &place.path));
    let mut by_directory = directories.iter().zip(looked);
    let mut locks = Vec::new();
    let mut add = |place: &Place, reports: Vec<LockReport>| {
        let looked = |report| Looked { instance: place.instance.clone(), report };
        locks.extend(reports.into_iter().map(looked));
    };
    for place in places {
        let reports = match place.kind {
            Kind::Directory => match by_directory.next() {
                Some((_, looked)) => looked.locks,
                None => Ok(Vec::new()),
            },
            Kind::Session => {
                sessions.status_of(&place.path).map(|report| report.into_iter().collect())
            }
            Kind::Link => {
                let told = format!(
                    "{} is a symbolic link, and not followed; name its target to have that \
                     looked at",
                    place.path.display()
                );
                failed.push(Failure::new(told).named("link"));
                continue;
            }
        };
        match reports {
            Ok(reports) => add(place, reports),
            Err(error) => failed.push(error.into()),
        }
    }
    let mut seen = BTreeSet::new();
    locks.retain(|looked| seen.insert(looked.report.lock.clone()));
    locks
}
