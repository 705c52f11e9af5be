//! `turnlock doctor --undo`: restores a repaired session, byte for byte.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use turnlock::{Error, Sessions};

use crate::failure::Failure;
use crate::output::{self, Schema};

/// The time that a disk has to answer that did not do so at once.
const ANSWER: Duration = Duration::from_secs(5);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(flatten, serialize_with = "output::session_path")]
    session: PathBuf,
    restored: bool,
    /// The time of the repair that was undone.
    repaired_at: String,
    length_bytes: u64,
    /// How many bytes were appended since the repair, and follow.
    appended_bytes: u64,
}

pub(super) fn main(sessions: &Sessions, session: &Path, json: bool) -> Result<ExitCode, Failure> {
    // A turn would create a missing session.
    session.metadata().map_err(|error| Failure::new(format!("{}: {error}", session.display())))?;
    let turn = || sessions.turn(session).label("doctor");
    let turn = match turn().try_acquire() {
        // The disk is far, or busy.
        Err(Error::NoAnswer { .. }) => turn().timeout(ANSWER).acquire_blocking()?,
        tried => tried?,
    };
    let restored = turn.restore_blocking()?;
    // The session is restored, even if the turn is lost at this point.
    let _ = turn.release_blocking();
    tracing::info!(session = %session.display(), repair = restored.time, "undone");
    if json {
        let answer = Answer {
            session: session.to_owned(),
            restored: true,
            repaired_at: restored.time,
            length_bytes: restored.original.length,
            appended_bytes: restored.appended,
        };
        output::answer_json(Schema::Undo, &answer)?;
    } else {
        let session = output::printable(&session.display().to_string());
        let time = &restored.time;
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
