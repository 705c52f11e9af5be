//! `turnlock doctor`: what is wrong with sessions, and putting it right.

mod gateways;
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
use crate::{output, places};

/// Find stuck locks and damaged transcripts, and put them right
///
/// Without --fix nothing is changed, and every finding says what would be done. With it, stale locks and leftovers are removed, and damaged
/// lines moved to <session>.jsonl.damaged, from where --undo takes them back. What a living process holds is never touched.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock doctor                              the state directory (OPENCLAW_STATE_DIR, or ~/.openclaw), all agents
  turnlock doctor --fix ~/.openclaw
  turnlock doctor '/opt/openclaw-multi/data/oc*/config/agents/*/sessions'
  turnlock doctor --json sessions/4f2c.jsonl | jq '.findings[].problem.kind'
  turnlock doctor --undo sessions/4f2c.jsonl

Exit codes: 0 healthy, or all put right; 1 findings remain; 2 usage.")]
pub(crate) struct Args {
    /// Put right what can be
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

    /// Put back the original of a repaired session, byte for byte, if nothing was appended since
    #[arg(long, value_name = "SESSION", conflicts_with_all = ["fix", "locks_only", "transcripts_only", "paths"])]
    undo: Option<PathBuf>,

    /// State directories, directories of sessions, sessions, or quoted globs of those
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// How long a repair waits for an append of somebody else to end.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    let sessions = Sessions::builder().acquire_timeout(PATIENCE).build()?;
    if let Some(session) = &args.undo {
        return undo::main(&sessions, session, args.json);
    }
    let paths = if args.paths.is_empty() {
        vec![places::state_directory()?]
    } else {
        places::meant_by(&args.paths)?
    };
    let gateways =
        if args.transcripts_only { Vec::new() } else { gateways::look(&paths, args.fix) };
    let examination = examine(&doctor(&sessions, &args), paths);
    if args.json {
        output::answer_json(&Answer::of(&examination, &gateways))?;
    } else {
        let show = if stdout().is_terminal() { table::show } else { plain::show };
        let findings = gateways::lines(&gateways) + &show(&examination);
        output::answer(&(findings + &summary(&examination, &gateways, args.fix)))?;
    }
    Ok(if remaining(&examination, &gateways) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn doctor(sessions: &Sessions, args: &Args) -> Doctor {
    let doctor = sessions.doctor().fix(args.fix);
    match (args.locks_only, args.transcripts_only) {
        (true, _) => doctor.locks_only(),
        (_, true) => doctor.transcripts_only(),
        _ => doctor,
    }
}

/// With a bar on standard error, if that is a terminal.
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

/// What machines are told.
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

/// The last line: what it all comes to, and what to do next.
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
    let curable = gateways::curable(gateways)
        || findings
            .iter()
            .any(|finding| matches!(finding.treatment, turnlock::doctor::Treatment::Would { .. }));
    let next = if curable && !fix {
        " Run it again with --fix to have them put right where that is safe."
    } else {
        ""
    };
    let remain = count(remaining, "finding");
    let verb = if remaining == 1 { "remains" } else { "remain" };
    format!("Examined {looked}: {fixed} put right, {remain} {verb}.{next}\n")
}

fn count(number: usize, what: &str) -> String {
    count_of(number, what, &format!("{what}s"))
}

fn count_of(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
