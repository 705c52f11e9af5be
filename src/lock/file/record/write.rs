//! Writing the owner record: complete, and never a mix of two owners (I7).

use std::fs::File;
use std::io;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{SPOILED, Want, read_at_most};
use crate::error::iso;
use crate::sys::{self, limit, process};

/// The field `protocol` of our records.
const PROTOCOL: &str = "turnlock/1";
/// A record that we write has at most this many bytes, and a newline, so that it fits in one block.
const MAX_WRITTEN: usize = 4095;
/// A label is cut to this many bytes.
const MAX_LABEL: usize = 1024;

/// Our own record, as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    pid: i32,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    starttime: Option<u64>,
    protocol: &'static str,
    owner: Uuid,
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made_session: Option<&'a str>,
    #[serde(flatten)]
    facts: Option<&'a Map<String, Value>>,
}

impl Written<'_> {
    fn to_json(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        // Strings and numbers into memory: nothing in this can fail.
        let _ = serde_json::to_writer(&mut bytes, self);
        bytes
    }
}

/// The bytes of the record for a new hold: at least `length` of them, so that they cover the record
/// that is there already, but never more than a record of ours can have. `made` is the trace of a
/// session file that exists for its data lock only.
pub(crate) fn encode(want: &Want, made: Option<&str>, began: SystemTime, length: usize) -> Vec<u8> {
    let me = process::own();
    let mut written = Written {
        pid: me.pid,
        created_at: iso(began).unwrap_or_default(),
        starttime: me.start_time,
        protocol: PROTOCOL,
        owner: want.owner,
        host: &me.host,
        boot_id: me.boot_id.as_deref(),
        pid_ns: me.pid_namespace,
        label: want.label.as_deref(),
        made_session: made,
        facts: want.facts.as_deref(),
    };
    let mut bytes = written.to_json();
    if bytes.len() >= MAX_WRITTEN {
        // Escapes can make a label six times as long.
        written.label = None;
        bytes = written.to_json();
    }
    if bytes.len() >= MAX_WRITTEN {
        // Paths can be too long as well. What tells who holds the lock always fits.
        written.facts = None;
        bytes = written.to_json();
    }
    bytes.resize(bytes.len().max(length.saturating_sub(1).min(MAX_WRITTEN)), b' ');
    bytes.push(b'\n');
    debug_assert!(bytes.len() <= MAX_WRITTEN + 1);
    bytes
}

/// A label, cut to its longest allowed length.
pub(crate) fn cut_label(label: &str) -> &str {
    &label[..label.floor_char_boundary(MAX_LABEL)]
}

/// Rewrites the record of a lock file that we hold, `length` bytes long so far. No reader sees a
/// mix of two owners (I7).
pub(crate) fn rewrite(file: &File, bytes: &[u8], length: usize) -> io::Result<()> {
    debug_assert!(bytes.len() <= MAX_WRITTEN + 1 && bytes.last() == Some(&b'\n'));
    limit::within(bytes.len() as u64, || {
        sys::write_all_at(file, &[SPOILED], 0)?;
        // Padding covers the old record unless a foreign program wrote more than we ever do.
        if length > bytes.len() {
            file.set_len(bytes.len() as u64)?;
        }
        sys::write_all_at(file, &bytes[1..], 1)?;
        sys::write_all_at(file, &bytes[..1], 0)
    })
}

/// The same where a server keeps the file. Other hosts see it once the server has it, and get it
/// with one request, so that the record that was there is not spoiled before.
pub(crate) fn rewrite_at_server(file: &File, bytes: &[u8], length: usize) -> io::Result<()> {
    if length > bytes.len() {
        return rewrite(file, bytes, length).and_then(|()| file.sync_data());
    }
    limit::within(bytes.len() as u64, || sys::write_all_at(file, bytes, 0))?;
    file.sync_data()
}

/// Writes the record of a new lock file, which nobody sees yet.
pub(crate) fn write_new(file: &File, bytes: &[u8]) -> io::Result<()> {
    limit::within(bytes.len() as u64, || sys::write_all_at(file, bytes, 0))
}

/// Spoils the record: it names nobody until it is rewritten.
pub(crate) fn spoil(file: &File) -> io::Result<()> {
    limit::within(1, || sys::write_all_at(file, &[SPOILED], 0))
}

/// Whether the file still begins with exactly the record that was written.
pub(crate) fn is_still(file: &File, bytes: &[u8]) -> io::Result<bool> {
    let mut buffer = [0; MAX_WRITTEN + 1];
    let Some(buffer) = buffer.get_mut(..bytes.len()) else { return Ok(false) };
    let read = read_at_most(file, buffer)?;
    Ok(buffer[..read] == *bytes)
}
