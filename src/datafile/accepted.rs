//! The file beside a session, `<session>.jsonl.accepted`, that keeps which findings about it an
//! operator has accepted. It has a line of JSON for each, and is only appended to.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::quarantine::name_beside;
use crate::error::{Context, Error, Result};
use crate::place::Place;
use crate::sys::{self, Access, FileKind, limit, stand_beside};

const SUFFIX: &str = ".accepted";
/// Precedes a digest of the session's name if that is too long for the suffix.
const NAMELESS: &str = ".turnlock-accepted-";
/// More than this is not read.
const MAX_LEN: u64 = 1 << 20;

/// A finding that was accepted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Accepted {
    /// The finding, as its finder describes it.
    pub(crate) accepted: Value,
    /// When it was accepted (RFC 3339, UTC).
    pub(crate) time: String,
}

/// The name of this file, for a session of this name.
pub(crate) fn name_of(session: &OsStr) -> OsString {
    name_beside(session, SUFFIX, NAMELESS)
}

fn name(place: &Place) -> OsString {
    name_of(place.session_name())
}

fn path(place: &Place) -> PathBuf {
    place.dir().path().join(name(place))
}

/// What was accepted about a session. Nothing if there is no such file, or if it is not to be
/// believed (I16).
pub(crate) fn read(place: &Place, session: &File) -> Vec<Accepted> {
    let Ok(file) = open(place, session, Access::Read) else { return Vec::new() };
    let length = sys::stat(&file).map_or(0, |facts| facts.len.min(MAX_LEN));
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    if sys::read_exact_at(&file, &mut bytes, 0).is_err() {
        return Vec::new();
    }
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// Notes that findings are accepted.
pub(crate) fn add(place: &Place, session: &File, findings: &[Accepted]) -> Result<()> {
    let path = path(place);
    let file = match open(place, session, Access::Append) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => create(place, session),
        opened => opened,
    };
    let mut file = file.context("open", &path)?;
    let facts = sys::stat(&file).context("look at", &path)?;
    if facts.kind != FileKind::File || facts.links > 1 {
        let reason = "the place of the accepted findings is taken by something else";
        return Err(Error::NotASession { path, reason });
    }
    // What is before it may be torn.
    let mut lines = if facts.len > 0 { vec![b'\n'] } else { Vec::new() };
    for finding in findings {
        serde_json::to_writer(&mut lines, finding)
            .map_err(io::Error::from)
            .context("write", &path)?;
        lines.push(b'\n');
    }
    limit::within(facts.len + lines.len() as u64, || file.write_all(&lines))
        .and_then(|()| file.sync_all())
        .and_then(|()| place.dir().sync(&file))
        .context("write", &path)
}

fn open(place: &Place, session: &File, access: Access) -> io::Result<File> {
    let dir = place.dir();
    let file = dir.open_file(&name(place), access)?;
    let facts = sys::stat(&file)?;
    dir.ensure_writable(&facts)?;
    dir.ensure_beside(&facts, &sys::stat(session)?)?;
    Ok(file)
}

fn create(place: &Place, session: &File) -> io::Result<File> {
    let file = place.dir().create_file(&name(place), Access::Append)?;
    stand_beside(&file, session)?;
    Ok(file)
}
