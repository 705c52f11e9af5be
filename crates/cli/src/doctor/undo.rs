//! `turnlock doctor --undo`: the original back, byte for byte.

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
    /// When the repair was made that was taken back.
    repair: String,
    bytes: u64,
}

pub(super) fn main(sessions: &Sessions, session: &Path, json: bool) -> Result<ExitCode, Failure> {
    // A turn would create what is not there.
    session.metadata().map_err(|error| Failure::new(format!("{}: {error}", session.display())))?;
    let mut turn = sessions.turn(session).label("doctor").try_acquire()?;
    let restored = turn.restore_blocking()?;
    // If the turn is lost only now, the session is restored all the same.
    let _ = turn.release_blocking();
    let session = session.display().to_string();
    if json {
        output::answer_json(&Answer {
            session,
            restored: true,
            repair: restored.time,
            bytes: restored.original.length,
        })?;
    } else {
        let (session, time) = (output::printable(&session), &restored.time);
        output::answer(&format!(
            "{session}: the repair of {time} was taken back; it is as it was before, byte for byte\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
