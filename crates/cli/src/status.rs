//! `turnlock status`: shows who holds what. Read-only.

mod waiting;

use std::collections::BTreeMap;
use std::io::{IsTerminal, stdout};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use serde::Serialize;
use turnlock::{LockReport, LockState, Reason, Sessions};

use crate::failure::Failure;
use crate::options::Local;
use crate::output::{self, Schema};
use crate::places;
use waiting::Waiting;

/// Show the locks in directories, or of session files
///
/// Read-only, and disturbs nobody. In a pipe, one line per lock with fields separated by tabs:
/// session, state, pid, host, label, held since. A foreign program that was found in a container is
/// shown by its pid here and its container; --json also has the pid that its record names.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock status ~/.openclaw/agents/main/sessions
  turnlock status --watch '/opt/openclaw-multi/data/oc*/config/agents/*/sessions'
  turnlock status --json sessions/4f2c.jsonl | jq '.locks[0].holder'
  turnlock status | awk -F '\\t' '$2 == \"held\" { print $3 }'")]
pub(crate) struct Args {
    /// Answer in JSON, with exact values
    #[arg(long)]
    json: bool,

    /// Look again every second; redraw on a terminal, else print every change
    #[arg(long)]
    watch: bool,

    #[command(flatten)]
    local: Local,

    /// Directories, session files or lock files, or quoted globs of those
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
}

/// The answer in JSON.
#[derive(Serialize)]
struct Answer<'a> {
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

/// The result of one look.
struct View {
    reports: Vec<LockReport>,
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
    let view = View::now(&sessions, &args.paths);
    output::answer(&view.text(args.json)?)?;
    Ok(Failure::tell_all(&view.failed))
}

/// Looks again and again, until it is interrupted or the pipe is closed.
fn watch(sessions: &Sessions, args: &Args) -> Result<ExitCode, Failure> {
    let redraw = stdout().is_terminal() && !args.json;
    let mut before = None;
    loop {
        let view = View::now(sessions, &args.paths);
        let text = view.text(args.json)?;
        let read = if redraw {
            output::answer_if_read(&format!("{CLEAR}{text}"))?
        } else if before.as_ref() != Some(&text) {
            let read = output::answer_if_read(&text)?;
            before = Some(text);
            read
        } else {
            true
        };
        if !read {
            return Ok(ExitCode::SUCCESS);
        }
        // A missing path may appear later.
        Failure::tell_all(&view.failed);
        std::thread::sleep(ROUND);
    }
}

impl View {
    fn now(sessions: &Sessions, arguments: &[PathBuf]) -> Self {
        let (mut reports, mut failed) = (Vec::new(), Vec::new());
        for argument in arguments {
            // A bad path never hides the rest.
            match places::meant_by_pattern(argument) {
                Ok(paths) => {
                    for path in paths {
                        match look(sessions, &path) {
                            Ok(found) => reports.extend(found),
                            Err(error) => failed.push(Failure::from(error)),
                        }
                    }
                }
                Err(failure) => failed.push(failure),
            }
        }
        let mut filesystems = BTreeMap::new();
        for dir in reports.iter().filter_map(dir_of) {
            if !filesystems.contains_key(dir)
                && let Ok(filesystem) = Sessions::filesystem(dir)
            {
                filesystems.insert(dir.to_owned(), filesystem);
            }
        }
        Self { reports, waiting: Waiting::now(), filesystems, failed }
    }

    fn text(&self, json: bool) -> Result<String, Failure> {
        let reports = &self.reports;
        if json {
            let locks = reports.iter().map(|report| self.lock(report)).collect();
            output::json(Schema::Status, &Answer { locks, errors: &self.failed })
        } else if !stdout().is_terminal() {
            Ok(reports.iter().map(|report| row(report, since).join("\t") + "\n").collect())
        } else if reports.is_empty() {
            Ok("no locks\n".to_owned())
        } else {
            Ok(format!("{}\n{}", self.table(), self.mounts()))
        }
    }

    fn lock<'a>(&'a self, report: &'a LockReport) -> Lock<'a> {
        Lock {
            session: report.session(),
            report,
            waiter_pids: self.waiting.for_lock(&report.lock),
            filesystem: dir_of(report)
                .and_then(|dir| self.filesystems.get(dir))
                .map(String::as_str),
        }
    }

    /// One line per filesystem.
    fn mounts(&self) -> String {
        let kinds: std::collections::BTreeSet<_> = self.filesystems.values().collect();
        kinds.into_iter().map(|kind| format!("on {}\n", output::printable(kind))).collect()
    }
}

/// The directory of a lock file.
fn dir_of(report: &LockReport) -> Option<&Path> {
    report.lock.parent().map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir })
}

fn look(sessions: &Sessions, path: &Path) -> turnlock::Result<Vec<LockReport>> {
    if path.is_dir() {
        return sessions.status(path);
    }
    let is_lock = path.as_os_str().as_bytes().ends_with(b".jsonl.lock");
    let session = if is_lock { path.with_extension("") } else { path.to_owned() };
    Ok(sessions.status_of(session)?.into_iter().collect())
}

impl View {
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        // On less, columns would be one letter wide. A terminal that does not know its width says
        // 0.
        if table.width().is_some_and(|width| width >= 60) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        table.set_header(["session", "state", "pid", "host", "label", "held since", "waiting"]);
        for report in &self.reports {
            let [session, state, rest @ ..] = row(report, age).map(Cell::new);
            let state = state.fg(colour(report.state));
            let waiters = self
                .waiting
                .for_lock(&report.lock)
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>()
                .join(" ");
            table.add_row([session, state].into_iter().chain(rest).chain([Cell::new(waiters)]));
        }
        table
    }
}

fn colour(state: LockState) -> Color {
    match state {
        LockState::Held | LockState::Foreign => Color::Green,
        LockState::Unreadable => Color::Red,
        _ => Color::Yellow,
    }
}

/// The columns of a lock, without control characters.
fn row(report: &LockReport, time: impl Fn(&LockReport) -> String) -> [String; 6] {
    let holder = report.holder.as_ref();
    let fields = [
        name(report),
        state(report),
        holder
            .and_then(|holder| holder.host_pid.or(holder.pid))
            .map(|pid| pid.to_string())
            .unwrap_or_default(),
        holder
            .and_then(|holder| holder.container.clone().or(holder.host.clone()))
            .unwrap_or_default(),
        holder.and_then(|holder| holder.label.clone()).unwrap_or_default(),
        time(report),
    ];
    fields.map(|field| output::printable(&field))
}

fn name(report: &LockReport) -> String {
    report.session().display().to_string()
}

/// The state and its reasons.
fn state(report: &LockReport) -> String {
    let word = match report.state {
        LockState::Held => "held",
        LockState::Foreign => "foreign",
        LockState::Stale if report.reasons.iter().all(|reason| left_by_ours(*reason)) => {
            "waiting to be taken over"
        }
        LockState::Stale => "stale",
        LockState::Fresh => "fresh",
        LockState::Remote => "remote",
        LockState::Unseen => "unseen",
        LockState::Unreadable => "unreadable",
        _ => "unknown",
    };
    let mut reasons: Vec<_> = report.reasons.iter().map(Reason::to_string).collect();
    reasons.extend(report.error.clone());
    if reasons.is_empty() { word.into() } else { format!("{word} ({})", reasons.join(", ")) }
}

/// Whether the kernel's lock alone proves that the holder is gone.
fn left_by_ours(reason: Reason) -> bool {
    matches!(reason, Reason::DeadOwner | Reason::OtherBoot)
}

fn since(report: &LockReport) -> String {
    let since = report.holder.as_ref().and_then(|holder| holder.since);
    since.map(output::moment).unwrap_or_default()
}

fn age(report: &LockReport) -> String {
    let age = report.holder.as_ref().and_then(|holder| holder.age());
    age.map(|age| {
        humantime::format_duration(Duration::from_secs(age.as_secs())).to_string() + " ago"
    })
    .unwrap_or_default()
}
