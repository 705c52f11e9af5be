//! `turnlock append` and `turnlock post`: JSON lines from standard input into a session.

use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::value::RawValue;
use turnlock::{Appended, Durability, Error};

use crate::failure::Failure;
use crate::options::{Create, Wait};
use crate::output::Schema;
use crate::{enclosing, input, output, waiting};

/// Append JSON lines from standard input, as one batch, under a turn
///
/// Every line is checked first. If one is not JSON, nothing is written. Inside `turnlock run` on
/// the same session the lines are written under its turn. A missing session is created, in a
/// directory that exists.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo '{\"type\":\"message\",\"role\":\"user\"}' | turnlock append sessions/4f2c.jsonl
  turnlock append --timeout 1m --json sessions/4f2c.jsonl < lines.jsonl
  turnlock run sessions/4f2c.jsonl -- sh -c 'make-reply | turnlock append sessions/4f2c.jsonl'")]
pub(crate) struct Args {
    #[command(flatten)]
    wait: Wait,

    #[command(flatten)]
    how: How,

    /// The purpose of the turn, shown to those who wait
    #[arg(long, value_name = "TEXT", default_value = "append")]
    label: String,

    #[command(flatten)]
    create: Create,

    /// Inside `turnlock run`: go on with the session as it is now, although another program has
    /// removed, replaced or cut it during the run
    #[arg(long)]
    accept_change: bool,

    /// The session file
    #[arg(value_name = "SESSION.jsonl")]
    session: PathBuf,
}

/// Append JSON lines from standard input without the turn, also while somebody else holds it
///
/// For side writers: cron jobs, sub-agents, scripts. Every line is checked first. If one is not
/// JSON, nothing is written.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo '{\"type\":\"custom\",\"from\":\"cron\"}' | turnlock post sessions/4f2c.jsonl
  turnlock post --create sessions/new.jsonl < lines.jsonl")]
pub(crate) struct PostArgs {
    #[command(flatten)]
    wait: Wait,

    #[command(flatten)]
    how: How,

    /// Create the session, and its directory, if they do not exist (beware of mistyped names)
    #[arg(long)]
    create: bool,

    /// The session file
    #[arg(value_name = "SESSION.jsonl")]
    session: PathBuf,
}

#[derive(clap::Args)]
struct How {
    /// Do not wait for the disk: the lines survive the death of any process, but not a power cut
    #[arg(long)]
    buffered: bool,

    /// Answer in JSON: lines, offsetBytes, lengthBytes, interveningBytes, sealed
    #[arg(long)]
    json: bool,
}

/// The answer in JSON.
#[derive(Serialize)]
struct Answer {
    lines: usize,
    #[serde(flatten)]
    appended: Option<Appended>,
}

impl How {
    fn durability(&self) -> Durability {
        if self.buffered { Durability::Buffered } else { Durability::Sync }
    }

    /// Reads and checks the lines, writes them if there are any, and answers.
    fn write(
        &self,
        write: impl FnOnce(&[&RawValue]) -> Result<Appended, Failure>,
    ) -> Result<ExitCode, Failure> {
        let input = input::read()?;
        let lines = input::values(&input)?;
        let appended = if lines.is_empty() { None } else { Some(write(&lines)?) };
        match appended {
            None if stderr().is_terminal() => {
                output::tell("no lines on standard input; nothing was written")
            }
            Some(Appended { sealed: true, .. }) => {
                output::tell("the session ended in a torn line, which was sealed first")
            }
            _ => {}
        }
        if let Some(appended) = appended {
            let Appended { offset, bytes, .. } = appended;
            tracing::info!(lines = lines.len(), offset, bytes, "written");
        }
        if self.json {
            output::answer_json(Schema::Append, &Answer { lines: lines.len(), appended })?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    args.how.write(|lines| match enclosing::owner_of(&args.session) {
        Some(owner) => {
            let sessions = args.wait.sessions(args.how.durability())?;
            if args.accept_change {
                sessions.accept_under_blocking(&args.session, owner).map_err(inside_a_run)?;
            }
            sessions.append_under_blocking(&args.session, owner, lines).map_err(inside_a_run)
        }
        None => append(&args, lines),
    })
}

fn append(args: &Args, lines: &[&RawValue]) -> Result<Appended, Failure> {
    args.create.check(&args.session)?;
    let sessions = args.wait.sessions(args.how.durability())?;
    let acquire = sessions.turn(&args.session).label(&args.label);
    let turn = waiting::watched(&sessions, &args.session, || acquire.acquire_blocking())?;
    let appended = turn.append_all_blocking(lines)?;
    // The lines are written, even if the turn is lost at this point.
    let _ = turn.release_blocking();
    Ok(appended)
}

fn inside_a_run(error: Error) -> Failure {
    let remark = match error {
        Error::LockLost { .. } => format!(
            " (according to {} this runs inside `turnlock run`, and that turn is over; unset it to \
             write under a turn of its own)",
            enclosing::VARIABLE
        ),
        Error::Changed { .. } => " (with `turnlock append --accept-change`)".to_owned(),
        _ => String::new(),
    };
    Failure::from(error).and(&remark)
}

/// A post needs no turn, so the enclosing turn does not matter.
pub(crate) fn post(args: PostArgs) -> Result<ExitCode, Failure> {
    args.how.write(|lines| {
        let sessions = args.wait.sessions(args.how.durability())?;
        let session: &Path = &args.session;
        let posted = waiting::watched(&sessions, session, || {
            sessions.post_all_blocking(session, lines, args.create)
        });
        posted.map_err(|error| match error {
            Error::NoSession { .. } => Failure::from(error).and(", or create it with --create"),
            other => other.into(),
        })
    })
}
