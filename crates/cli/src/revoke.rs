//! `turnlock revoke`: takes a session from the named holder.

use std::path::PathBuf;
use std::process::ExitCode;

use turnlock::Durability;
use uuid::Uuid;

use crate::failure::Failure;
use crate::options::Wait;
use crate::{output, waiting};

/// Take a session from the named holder, and from no other
///
/// The holder's next append fails and writes nothing. Refused if another process holds the session
/// by now. Refused also if the holder is a living program without a fence, or is stopped inside an
/// append: then only ending that process helps.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock status sessions/4f2c.jsonl
  turnlock revoke sessions/4f2c.jsonl --owner 1234
  turnlock revoke sessions/4f2c.jsonl --owner 0199d2f4-6a3e-7b11-a2c4-1f0e9d8c7b6a")]
pub(crate) struct Args {
    /// The holder: a process id in this PID namespace, or the owner in `turnlock status --json`
    #[arg(long, value_name = "PID-OR-OWNER", value_parser = named)]
    owner: Named,

    #[command(flatten)]
    wait: Wait,

    /// Answer in JSON: the former holder
    #[arg(long)]
    json: bool,

    /// The session file
    #[arg(value_name = "SESSION.jsonl")]
    session: PathBuf,
}

#[derive(Clone, Copy)]
enum Named {
    Owner(Uuid),
    Pid(u32),
}

fn named(text: &str) -> Result<Named, String> {
    match (text.parse(), Uuid::try_parse(text)) {
        (Ok(pid), _) if pid > 0 => Ok(Named::Pid(pid)),
        (_, Ok(owner)) => Ok(Named::Owner(owner)),
        _ => Err("neither a process id nor an owner".into()),
    }
}

pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    let sessions = args.wait.sessions(Durability::default())?;
    let holder = match args.owner {
        Named::Owner(owner) => sessions.revoke(&args.session, owner),
        Named::Pid(pid) => sessions.revoke_pid(&args.session, pid),
    }?;
    if args.json {
        output::answer_json(&holder)?;
    } else {
        let done = if holder.alive { "taken from" } else { "removed the lock left by" };
        let text = format!("{}: {done} {}", args.session.display(), waiting::describe(&holder));
        output::answer(&(output::printable(&text) + "\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
