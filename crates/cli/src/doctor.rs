//! `turnlock doctor`: finds what is wrong with sessions, and fixes it.

mod gateways;
mod nothing;
mod plain;
mod table;
mod undo;

use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use turnlock::Sessions;
use turnlock::doctor::{Doctor, Examination};

use gateways::OfGateway;

use crate::failure::Failure;
use crate::options::Local;
use crate::output::{self, Schema};
use crate::places;

/// Find stale locks and damaged transcripts, and fix them
///
/// Without --fix nothing is changed, and every finding says what would be done. With --fix, stale
/// locks and leftovers are removed, and damaged lines are moved to <session>.jsonl.damaged. --undo
/// puts them back. What a living process holds is never touched.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock doctor                         # all agents of OPENCLAW_STATE_DIR, or of ~/.openclaw
  turnlock doctor --fix ~/.openclaw
  turnlock doctor '/opt/openclaw-multi/data/oc*/config/agents/*/sessions'
  turnlock doctor --json sessions/4f2c.jsonl | jq '.findings[].problem.kind'
  turnlock doctor --undo sessions/4f2c.jsonl

Exit codes: 0 healthy, or everything fixed; 1 findings remain, or there is no session; 2 usage.")]
pub(crate) struct Args {
    /// Fix what can be fixed safely
    #[arg(long)]
    fix: bool,

    /// Answer in JSON
    #[arg(long)]
    json: bool,

    /// Look at locks only
    #[arg(long, conflicts_with = "transcripts_only")]
    locks_only: bool,

    /// Look at transcripts only
    #[arg(long)]
    transcripts_only: bool,

    #[command(flatten)]
    local: Local,

    /// Restore the original of a repaired session, byte for byte. What was appended since follows
    #[arg(
        long,
        value_name = "SESSION",
        conflicts_with_all = ["fix", "locks_only", "transcripts_only", "paths"]
    )]
    undo: Option<PathBuf>,

    /// State directories, session directories, session files, or quoted globs
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// How long a repair waits for another process's append to end.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    let sessions = Sessions::builder()
        .acquire_timeout(PATIENCE)
        .assume_local(args.local.assume_local)
        .build()?;
    if let Some(session) = &args.undo {
        return undo::main(&sessions, session, args.json);
    }
    let paths = if args.paths.is_empty() {
        vec![places::state_directory()?]
    } else {
        places::meant_by(&args.paths)?
    };
    let gateways = if args.transcripts_only { Vec::new() } else { gateways::look(&paths, &args) };
    let examination = examine(&doctor(&sessions, &args), paths.clone());
    let found_nothing =
        examination.sessions == 0 && examination.findings.is_empty() && gateways.is_empty();
    if args.json {
        output::answer_json(Schema::Doctor, &Answer::of(&examination, &gateways))?;
    } else {
        let show = if stdout().is_terminal() { table::show } else { plain::show };
        let findings = gateways::lines(&gateways) + &show(&examination);
        let end = if found_nothing {
            nothing::told(&paths)
        } else {
            summary(&examination, &gateways, args.fix)
        };
        output::answer(&(findings + &end))?;
    }
    let is_healthy = remaining(&examination, &gateways) == 0 && !found_nothing;
    Ok(if is_healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn doctor(sessions: &Sessions, args: &Args) -> Doctor {
    let doctor = sessions.doctor().fix(args.fix);
    match (args.locks_only, args.transcripts_only) {
        (true, _) => doctor.locks_only(),
        (_, true) => doctor.transcripts_only(),
        _ => doctor,
    }
}

/// Shows a progress bar on standard error, if that is a terminal.
fn examine(doctor: &Doctor, paths: Vec<PathBuf>) -> Examination {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} sessions  {eta} left") {
        bar.set_style(style);
    }
    let examination = doctor.examine(paths, |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    examination
}

/// The answer in JSON.
#[derive(Serialize)]
struct Answer<'a> {
    remaining: usize,
    fixed: usize,
    #[serde(flatten)]
    examination: &'a Examination,
    gateways: &'a [OfGateway],
}

impl<'a> Answer<'a> {
    fn of(examination: &'a Examination, gateways: &'a [OfGateway]) -> Self {
        let (remaining, fixed) = (remaining(examination, gateways), fixed(examination, gateways));
        Self { remaining, fixed, examination, gateways }
    }
}

fn remaining(examination: &Examination, gateways: &[OfGateway]) -> usize {
    examination.remaining() + gateways::remaining(gateways)
}

fn fixed(examination: &Examination, gateways: &[OfGateway]) -> usize {
    examination.fixed() + gateways.len() - gateways::remaining(gateways)
}

/// The last line: the totals, and what to do next.
fn summary(examination: &Examination, gateways: &[OfGateway], fix: bool) -> String {
    let Examination { directories, sessions, findings, .. } = examination;
    let (remaining, fixed) = (remaining(examination, gateways), fixed(examination, gateways));
    let looked = format!(
        "{} in {}",
        count(*sessions, "session"),
        count_of(*directories, "directory", "directories")
    );
    if remaining + fixed == 0 {
        return format!("Examined {looked}: healthy.\n");
    }
    let fixable = gateways::fixable(gateways)
        || findings
            .iter()
            .any(|finding| matches!(finding.treatment, turnlock::doctor::Treatment::Would { .. }));
    let next = if fixable && !fix {
        " Run it again with --fix to fix what can be fixed safely."
    } else {
        ""
    };
    let remain = count(remaining, "finding");
    let verb = if remaining == 1 { "remains" } else { "remain" };
    format!("Examined {looked}: {fixed} fixed, {remain} {verb}.{next}\n")
}

fn count(number: usize, what: &str) -> String {
    count_of(number, what, &format!("{what}s"))
}

fn count_of(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
