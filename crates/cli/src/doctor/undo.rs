//! `turnlock doctor --undo`: restores a repaired session, byte for byte.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use turnlock::Sessions;

use crate::failure::Failure;
use crate::output;

#[derive(Serialize)]
struct Answer {
    session: String,
    restored: bool,
    /// The time of the repair that was undone.
    repair: String,
    bytes: u64,
    /// How many bytes were appended since the repair, and follow.
    appended: u64,
}

pub(super) fn main(sessions: &Sessions, session: &Path, json: bool) -> Result<ExitCode, Failure> {
    // A turn would create a missing session.
    session.metadata().map_err(|error| Failure::new(format!("{}: {error}", session.display())))?;
    let turn = sessions.turn(session).label("doctor").try_acquire()?;
    let restored = turn.restore_blocking()?;
    // The session is restored, even if the turn is lost at this point.
    let _ = turn.release_blocking();
    let session = session.display().to_string();
    if json {
        output::answer_json(&Answer {
            session,
            restored: true,
            repair: restored.time,
            bytes: restored.original.length,
            appended: restored.appended,
        })?;
    } else {
        let (session, time) = (output::printable(&session), &restored.time);
        let follows = match restored.appended {
            0 => String::new(),
            bytes => format!(", and the {bytes} bytes that were appended since follow"),
        };
        output::answer(&format!(
            "{session}: the repair of {time} was undone; the session is as before, byte for \
             byte{follows}\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
