//! `turnlock run`: runs a command while holding its session.

mod child;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use turnlock::{Durability, Error, Sessions};

use crate::failure::Failure;
use crate::options::{Create, Wait};
use crate::signals::{self, Caught};
use crate::{enclosing, output, waiting};
use child::Ended;

/// The command succeeded, but its turn was lost while it ran.
const LOST: u8 = 79;
/// How long the release of the turn may take after this process was told to end.
const RELEASE: Duration = Duration::from_millis(500);

/// Run a command while holding the turn
///
/// Signals are forwarded to the command, and its exit code is passed on; 75 if the session stayed
/// busy; 79 if the command succeeded, but its turn was lost while it ran. Inside, `turnlock append`
/// on the same session writes under this turn.
///
/// The turn ends when the command ends. What the command leaves running in the background is not in
/// the turn. If turnlock is killed, the command gets SIGTERM, and then what it leaves behind; the
/// session stays held until the command and all its descendants are gone.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock run sessions/4f2c.jsonl -- ./reply.sh
  turnlock run --timeout 1m --label compaction sessions/4f2c.jsonl -- python3 compact.py 4f2c
  turnlock run --timeout 0 sessions/4f2c.jsonl -- true || echo \"busy, or failed: $?\"")]
pub(crate) struct Args {
    #[command(flatten)]
    wait: Wait,

    /// The purpose of the turn, shown to those who wait [default: the command's name]
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,

    #[command(flatten)]
    create: Create,

    /// The session file, which is created if it does not exist
    #[arg(value_name = "SESSION.jsonl")]
    session: PathBuf,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    let sessions = args.wait.sessions(Durability::default())?;
    refuse_reentry(&sessions, &args.session)?;
    args.create.check(&args.session)?;
    let label = args.label.unwrap_or_else(|| name_of(&args.command));
    let acquire = sessions.turn(&args.session).label(label);
    let turn = waiting::watched(&sessions, &args.session, || acquire.acquire_blocking())?;
    let Ended { code, told, signals } = child::run(&turn, &args.command)?;
    end_when_told(signals, told, code);
    match turn.release_blocking() {
        Err(Error::LockLost { cause, .. }) => {
            // Only the command can judge what that means for its work.
            output::tell(&format!("the turn was lost while the command ran: {cause}"));
            Ok(ExitCode::from(if code == 0 { LOST } else { code }))
        }
        _ => Ok(ExitCode::from(code)),
    }
}

/// Ends this process soon after it was told to end, if its disk keeps the turn from being released.
/// The lock falls with the process, and the next holder takes the file over.
fn end_when_told(mut signals: Caught, mut told: bool, code: u8) {
    let watch = move || {
        while !told {
            let Ok(mut came) = signals.wait(None) else { return };
            told = came.any(|origin| signals::ENDING.contains(&origin.signal));
        }
        thread::sleep(RELEASE);
        output::tell("the lock file stays: its disk does not answer");
        output::aside::finish();
        std::process::exit(code.into());
    };
    // Without a thread it ends when it can.
    let _ = thread::Builder::new().name("signals".into()).spawn(watch);
}

/// Refuses a turn inside a turn on the same session. There is no re-entry: it would wait for
/// itself.
fn refuse_reentry(sessions: &Sessions, session: &Path) -> Result<(), Failure> {
    let Some(owner) = enclosing::owner_of(session) else { return Ok(()) };
    let holder = sessions.status_of(session)?.and_then(|report| report.holder);
    if holder.is_some_and(|holder| holder.alive && holder.owner == Some(owner)) {
        let session = session.display();
        return Err(Failure::new(format!(
            "{session}: this runs inside a turn on it already; run the command without turnlock"
        )));
    }
    Ok(())
}

fn name_of(command: &[OsString]) -> String {
    let program =
        command.first().map(Path::new).and_then(Path::file_name).unwrap_or(OsStr::new("run"));
    program.to_string_lossy().into_owned()
}
