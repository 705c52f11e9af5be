//! `turnlock status`: who holds what. Reads only.

use std::io::{IsTerminal, stdout};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use serde::Serialize;
use turnlock::{LockReport, LockState, Reason, Sessions};

use super::failure::Failure;
use super::output;

/// Show the locks in directories, or of session files
///
/// Reads only, and disturbs nobody. In a pipe: one line a lock, its fields separated by tabs: session, state, pid, host, label, held
/// since.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock status ~/.openclaw/agents/main/sessions
  turnlock status --json sessions/4f2c.jsonl | jq '.[0].holder'
  turnlock status | awk -F '\\t' '$2 == \"held\" { print $3 }'")]
pub(crate) struct Args {
    /// Answer in JSON, with exact values
    #[arg(long)]
    json: bool,

    /// Directories, session files or lock files
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
}

/// A lock, as it is told to machines.
#[derive(Serialize)]
struct Answer<'a> {
    session: String,
    #[serde(flatten)]
    report: &'a LockReport,
}

pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    let sessions = Sessions::new();
    let (mut reports, mut failed) = (Vec::new(), None);
    for path in &args.paths {
        match look(&sessions, path) {
            Ok(found) => reports.extend(found),
            // One bad path never hides the rest.
            Err(error) => {
                if let Some(earlier) = failed.replace(Failure::from(error)) {
                    earlier.report();
                }
            }
        }
    }
    show(&reports, args.json)?;
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn look(sessions: &Sessions, path: &Path) -> turnlock::Result<Vec<LockReport>> {
    if path.is_dir() {
        return sessions.status(path);
    }
    let is_lock = path.as_os_str().as_bytes().ends_with(b".jsonl.lock");
    let session = if is_lock { path.with_extension("") } else { path.to_owned() };
    Ok(sessions.status_of(session)?.into_iter().collect())
}

fn show(reports: &[LockReport], json: bool) -> Result<(), Failure> {
    if json {
        let answers = reports.iter().map(|report| Answer { session: name(report), report });
        output::answer_json(&answers.collect::<Vec<_>>())
    } else if !stdout().is_terminal() {
        output::answer(&reports.iter().map(|report| row(report, since).join("\t") + "\n").collect::<String>())
    } else if reports.is_empty() {
        output::answer("no locks\n")
    } else {
        output::answer(&(table(reports).to_string() + "\n"))
    }
}

fn table(reports: &[LockReport]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    // Below that a column would be a letter wide; a terminal that does not know its width says 0.
    if table.width().is_some_and(|width| width >= 60) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(["session", "state", "pid", "host", "label", "held since"]);
    for report in reports {
        let [session, state, rest @ ..] = row(report, age).map(Cell::new);
        let state = state.fg(colour(report.state));
        table.add_row([session, state].into_iter().chain(rest));
    }
    table
}

fn colour(state: LockState) -> Color {
    match state {
        LockState::Held | LockState::Foreign => Color::Green,
        LockState::Unreadable => Color::Red,
        _ => Color::Yellow,
    }
}

/// What is shown of a lock, without control characters.
fn row(report: &LockReport, time: impl Fn(&LockReport) -> String) -> [String; 6] {
    let holder = report.holder.as_ref();
    let fields = [
        name(report),
        state(report),
        holder.and_then(|holder| holder.pid).map(|pid| pid.to_string()).unwrap_or_default(),
        holder.and_then(|holder| holder.host.clone()).unwrap_or_default(),
        holder.and_then(|holder| holder.label.clone()).unwrap_or_default(),
        time(report),
    ];
    fields.map(|field| output::printable(&field))
}

fn name(report: &LockReport) -> String {
    report.session().display().to_string()
}

/// The state in words, with the reasons for it.
fn state(report: &LockReport) -> String {
    let word = match report.state {
        LockState::Held => "held",
        LockState::Foreign => "foreign",
        LockState::Stale if report.reasons.iter().all(|reason| left_by_ours(*reason)) => "waiting to be taken over",
        LockState::Stale => "stale",
        LockState::Fresh => "fresh",
        LockState::Remote => "remote",
        LockState::Unreadable => "unreadable",
        _ => "unknown",
    };
    let mut reasons: Vec<_> = report.reasons.iter().map(Reason::to_string).collect();
    reasons.extend(report.error.clone());
    if reasons.is_empty() { word.into() } else { format!("{word} ({})", reasons.join(", ")) }
}

/// Whether the kernel's lock alone says that the holder is gone.
fn left_by_ours(reason: Reason) -> bool {
    matches!(reason, Reason::DeadOwner | Reason::OtherBoot)
}

fn since(report: &LockReport) -> String {
    let since = report.holder.as_ref().and_then(|holder| holder.since);
    since.map(|since| humantime::format_rfc3339_millis(since).to_string()).unwrap_or_default()
}

fn age(report: &LockReport) -> String {
    let age = report.holder.as_ref().and_then(|holder| holder.age());
    age.map(|age| humantime::format_duration(Duration::from_secs(age.as_secs())).to_string() + " ago")
        .unwrap_or_default()
}
