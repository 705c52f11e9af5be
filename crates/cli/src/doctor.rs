//! `turnlock doctor`: finds what is wrong with sessions, and fixes it.

mod gateways;
mod grouped;
mod instances;
mod plain;
mod undo;

use std::collections::BTreeSet;
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use turnlock::Sessions;
use turnlock::doctor::{Doctor, Examination, Finding, Treatment};

use gateways::OfGateway;

use crate::failure::Failure;
use crate::options::Local;
use crate::output::{self, Schema, terminal};
use crate::places::{Found, Instance};

/// Find stale locks and damaged transcripts, and fix them
///
/// Directories are searched downwards for the sessions of programs that are known; links are not
/// followed. Without --fix nothing is changed, and every finding says what would be done. With
/// --fix, stale locks and leftovers are removed, and damaged lines are moved to
/// <session>.jsonl.damaged. --undo puts them back. What a living process holds is never touched.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock doctor                         # OPENCLAW_STATE_DIR, or all agents of this user
  turnlock doctor /opt/openclaw-multi     # all instances below
  turnlock doctor --fix ~/.openclaw
  turnlock doctor '/opt/openclaw-multi/data/oc*/config/agents/*/sessions'
  turnlock doctor --json sessions/4f2c.jsonl | jq '.findings[].problem.kind'
  turnlock doctor --undo sessions/4f2c.jsonl
  turnlock doctor --accept sessions/4f2c.jsonl    # a broken chain that nothing brings back

The sessions of other programs than OpenClaw are fixed only if they, or a directory of that program,
are named.

Exit codes: 0 healthy, or everything fixed; 1 findings remain, there is no session, or something
could not be looked at; 2 usage.")]
pub(crate) struct Args {
    /// Fix what can be fixed safely
    #[arg(long)]
    fix: bool,

    /// Accept what can only be reported, such as a broken chain, and keep that beside each session
    #[arg(long, requires = "paths")]
    accept: bool,

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
        conflicts_with_all = ["fix", "accept", "locks_only", "transcripts_only", "paths"]
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
    let mut found = Found::of(&args.paths, "doctor")?;
    let failed = std::mem::take(&mut found.failed);
    let gateways = match args.transcripts_only {
        true => Vec::new(),
        false => gateways::look(&found.state_dirs, &args),
    };
    let examination = examine_all(&sessions, &args, &found);
    let seen = Seen { args: &args, found: &found, examination, gateways, failed };
    seen.answer()
}

/// All that was seen.
struct Seen<'a> {
    args: &'a Args,
    found: &'a Found,
    examination: Examination,
    gateways: Vec<OfGateway>,
    failed: Vec<Failure>,
}

impl Seen<'_> {
    fn answer(mut self) -> Result<ExitCode, Failure> {
        let nothing = self.nothing();
        if self.args.json {
            self.failed.extend(nothing);
            output::answer_json(Schema::Doctor, &Answer::of(&self))?;
            return Ok(self.code(Failure::tell_all(&self.failed)));
        }
        let columns = stdout().is_terminal().then(terminal::columns);
        let of_sessions = match columns {
            Some(columns) => grouped::show(&self.examination, columns),
            None => plain::show(&self.examination),
        };
        let findings = gateways::lines(&self.gateways, columns) + &of_sessions;
        let (listed, end) = match &nothing {
            Some(nothing) => (String::new(), nothing.text() + "\n"),
            None if self.looked_at_nothing() => (String::new(), String::new()),
            None => (instances::listed(self.found), self.summary(columns)),
        };
        output::answer(&match columns {
            // A long list would scroll the findings away.
            Some(_) if !listed.is_empty() => format!("{listed}\n{findings}{end}"),
            _ => format!("{findings}{listed}{end}"),
        })?;
        let code = Failure::tell_all(&self.failed);
        self.failed.extend(nothing);
        Ok(self.code(code))
    }

    /// The exit code. The one of failures is given.
    fn code(&self, of_failures: ExitCode) -> ExitCode {
        match of_failures {
            ExitCode::SUCCESS if self.remaining() == 0 && self.failed.is_empty() => of_failures,
            ExitCode::SUCCESS => ExitCode::FAILURE,
            code => code,
        }
    }

    fn looked_at_nothing(&self) -> bool {
        let Examination { sessions, findings, .. } = &self.examination;
        *sessions == 0 && findings.is_empty() && self.gateways.is_empty()
    }

    /// What to say if there is no session: that is not healthy. `None` if what could not be looked
    /// at says it.
    fn nothing(&self) -> Option<Failure> {
        if self.looked_at_nothing() { self.found.nothing() } else { None }
    }

    fn remaining(&self) -> usize {
        self.examination.remaining() + gateways::remaining(&self.gateways)
    }

    fn fixed(&self) -> usize {
        let gateways = self.gateways.len() - gateways::remaining(&self.gateways);
        self.examination.fixed() + gateways
    }
}

/// Examines everything. What is another program's and was not named is not fixed.
fn examine_all(sessions: &Sessions, args: &Args, found: &Found) -> Examination {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for place in &found.places {
        let paths = if place.instance.read_only { &mut others } else { &mut ours };
        if !paths.contains(&place.examined) {
            paths.push(place.examined.clone());
        }
    }
    tracing::info!(to_fix = args.fix, own = ours.len(), others = others.len(), "examining");
    let mut examination = examine(&doctor(sessions, args).fix(args.fix).accept(args.accept), ours);
    if !others.is_empty() {
        let of_others = examine(&doctor(sessions, args), others);
        examination.directories += of_others.directories;
        examination.sessions += of_others.sessions;
        examination.left_alone += of_others.left_alone;
        examination.findings.extend(of_others.findings);
    }
    examination
}

fn doctor(sessions: &Sessions, args: &Args) -> Doctor {
    let doctor = sessions.doctor();
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
    instances: BTreeSet<&'a Instance>,
    #[serde(flatten)]
    examination: &'a Examination,
    gateways: &'a [OfGateway],
    errors: &'a [Failure],
}

impl<'a> Answer<'a> {
    fn of(seen: &'a Seen<'_>) -> Self {
        Self {
            remaining: seen.remaining(),
            fixed: seen.fixed(),
            instances: seen.found.instances(),
            examination: &seen.examination,
            gateways: &seen.gateways,
            errors: &seen.failed,
        }
    }
}

impl Seen<'_> {
    /// The last line: the totals, and what to do next. On a terminal it has this many columns.
    fn summary(&self, columns: Option<usize>) -> String {
        let (text, command) = self.totals();
        let text = columns.map_or_else(|| text.clone(), |wide| terminal::wrapped(&text, wide, 0));
        text + &command + "\n"
    }

    /// The same, and the command on a line of its own that is to be run next.
    fn totals(&self) -> (String, String) {
        let Examination { directories, sessions, findings, left_alone, .. } = &self.examination;
        let (remaining, fixed) = (self.remaining(), self.fixed());
        let mut looked = format!(
            "{} in {}",
            count(*sessions, "session"),
            count_of(*directories, "directory", "directories")
        );
        if *left_alone > 0 {
            let files = count_of(*left_alone, "file that is none", "files that are none");
            looked = format!("{looked}, and left alone {files}");
        }
        if remaining + fixed == 0 {
            let verdict = if self.failed.is_empty() { "healthy" } else { "healthy as far as seen" };
            let accepted = match findings.iter().filter(|finding| finding.is_accepted()).count() {
                0 => String::new(),
                some => format!(", but for {} that somebody has accepted", count(some, "finding")),
            };
            return (format!("Examined {looked}: {verdict}{accepted}."), String::new());
        }
        let would = |finding: &Finding| matches!(finding.treatment, Treatment::Would { .. });
        let fixable = gateways::fixable(&self.gateways) || findings.iter().any(would);
        let (next, command) = match (fixable, self.args.fix) {
            (true, false) => {
                (" Run it again with --fix to fix what can be fixed safely.", String::new())
            }
            (true, true) => instances::to_be_named(self.found),
            (false, _) => ("", String::new()),
        };
        let remain = count(remaining, "finding");
        let verb = if remaining == 1 { "remains" } else { "remain" };
        (format!("Examined {looked}: {fixed} fixed, {remain} {verb}.{next}"), command)
    }
}

fn count(number: usize, what: &str) -> String {
    count_of(number, what, &format!("{what}s"))
}

fn count_of(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
