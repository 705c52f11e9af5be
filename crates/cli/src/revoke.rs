//! `turnlock revoke`: takes a session from the named holder.

use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use turnlock::{Durability, Holder, Sessions};
use uuid::Uuid;

use crate::failure::Failure;
use crate::options::Wait;
use crate::output::{self, Schema};
use crate::waiting;

/// Take a session from the named holder, and from no other
///
/// The holder's next append fails and writes nothing. Refused if another process holds the session
/// by now. Refused also if the holder is a living program without a fence, or is stopped inside an
/// append: then only ending that process helps.
///
/// With --host-is-gone, all sessions of a directory are taken that processes of a machine hold
/// which will not come back, after a question. A server of NFS 4 frees them by itself once its
/// lease has run out; one of NFS 3 does not.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock status sessions/4f2c.jsonl
  turnlock revoke sessions/4f2c.jsonl --owner 1234
  turnlock revoke sessions/4f2c.jsonl --owner 0199d2f4-6a3e-7b11-a2c4-1f0e9d8c7b6a
  turnlock revoke sessions --host-is-gone worker-7")]
pub(crate) struct Args {
    /// The holder: a process id in this PID namespace, or the owner in `turnlock status --json`
    #[arg(
        long,
        value_name = "PID-OR-OWNER",
        value_parser = named,
        required_unless_present = "host_is_gone"
    )]
    owner: Option<Named>,

    /// Take what processes of this machine hold, which is switched off and will not come back
    #[arg(long, value_name = "HOST", conflicts_with = "owner")]
    host_is_gone: Option<String>,

    /// Do not ask
    #[arg(long, requires = "host_is_gone")]
    yes: bool,

    #[command(flatten)]
    wait: Wait,

    /// Answer in JSON
    #[arg(long)]
    json: bool,

    /// The session file; with --host-is-gone, a directory too
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

/// The answer in JSON.
#[derive(Serialize)]
struct Answer<'a> {
    revoked: Vec<Taken<'a>>,
    errors: &'a [Failure],
}

/// A session that was taken, and from whom.
#[derive(Serialize)]
struct Taken<'a> {
    #[serde(flatten, serialize_with = "output::session_path")]
    session: &'a Path,
    holder: &'a Holder,
}

impl<'a> Taken<'a> {
    fn of(session: &'a Path, holder: &'a Holder) -> Self {
        Self { session, holder }
    }
}

pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    let sessions = args.wait.sessions(Durability::default())?;
    let holder = match (&args.host_is_gone, args.owner) {
        (Some(host), _) => return revoke_all_of(host, &sessions, &args),
        (None, Some(Named::Owner(owner))) => sessions.revoke(&args.session, owner),
        (None, Some(Named::Pid(pid))) => sessions.revoke_pid(&args.session, pid),
        (None, None) => return Err(Failure::new("name the holder with --owner")),
    }?;
    tracing::info!(session = %args.session.display(), owner = ?holder.owner, "revoked");
    if args.json {
        let revoked = vec![Taken::of(&args.session, &holder)];
        output::answer_json(Schema::Revoke, &Answer { revoked, errors: &[] })?;
    } else {
        output::answer(&(taken(&args.session, &holder) + "\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn taken(session: &Path, holder: &Holder) -> String {
    let done = if holder.alive { "taken from" } else { "removed the lock left by" };
    output::printable(&format!("{}: {done} {}", session.display(), waiting::describe(holder)))
}

/// Takes all that processes of this machine hold.
fn revoke_all_of(host: &str, sessions: &Sessions, args: &Args) -> Result<ExitCode, Failure> {
    if rustix::system::uname().nodename().to_str() == Ok(host) {
        return Err(Failure::new(format!(
            "{host} is the name of this machine: name a holder with --owner instead"
        )));
    }
    let held = held_by(host, sessions, &args.session)?;
    if held.is_empty() {
        return Err(Failure::new(format!(
            "nothing was revoked: no process of {host} holds a session of {}",
            args.session.display()
        )));
    }
    if let Some((session, holder)) = held.iter().find(|(_, it)| it.alive && it.this_machine) {
        return Err(Failure::new(output::printable(&format!(
            "nothing was revoked: {}, which holds {}, lives on this very machine, under another \
             host name: end it, or name it with --owner",
            waiting::describe(holder),
            session.display()
        ))));
    }
    if !args.yes {
        ask(host, &held)?;
    }
    let (mut revoked, mut errors) = (Vec::new(), Vec::new());
    for (session, holder) in held {
        let Some(owner) = holder.owner else { continue };
        // One that has changed hands meanwhile is left alone. One bad session never stops the rest.
        match sessions.revoke(&session, owner) {
            Ok(holder) if args.json => revoked.push((session, holder)),
            Ok(holder) => output::answer(&(taken(&session, &holder) + "\n"))?,
            Err(error) => errors.push(Failure::from(error)),
        }
    }
    if args.json {
        let revoked = revoked.iter().map(|(session, holder)| Taken::of(session, holder)).collect();
        output::answer_json(Schema::Revoke, &Answer { revoked, errors: &errors })?;
    }
    Ok(Failure::tell_all(&errors))
}

/// The sessions at a path that processes of this machine hold, with their holders.
fn held_by(
    host: &str,
    sessions: &Sessions,
    path: &Path,
) -> Result<Vec<(PathBuf, Holder)>, Failure> {
    let reports = if path.is_dir() {
        sessions.status(path)?
    } else {
        sessions.status_of(path)?.into_iter().collect()
    };
    let of_host = |holder: &Holder| holder.host.as_deref() == Some(host);
    Ok(reports
        .into_iter()
        .filter_map(|report| Some((report.session(), report.holder.clone().filter(of_host)?)))
        .filter(|(_, holder)| holder.owner.is_some())
        .collect())
}

/// Asks whether the machine is gone indeed.
fn ask(host: &str, held: &[(PathBuf, Holder)]) -> Result<(), Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::new(format!(
            "nothing was revoked: with --yes you say that {host} is gone"
        )));
    }
    for (session, holder) in held {
        let text = format!("{}: {}", session.display(), waiting::describe(holder));
        output::tell(&output::printable(&text));
    }
    output::tell(&output::printable(&format!(
        "if {host} is alive, what its processes write next into these sessions is refused; \
         is it gone for good? (y/N)"
    )));
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new("nothing was revoked")),
    }
}
