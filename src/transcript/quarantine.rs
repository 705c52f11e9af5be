//! The quarantine, `<session>.jsonl.damaged`: what repairs removed from a session.
//!
//! It is a JSONL file that is only appended to. It may contain any number of repairs. Each goes
//! from a `begin` to an `end`. A repair without an `end` was interrupted and changed nothing. An
//! `undone` entry says that a repair was undone.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One line of a quarantine file.
///
/// Offsets and lengths are in bytes and refer to the session file before the repair. Times are RFC
/// 3339, UTC, with milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Entry {
    /// A repair begins.
    Begin {
        /// The id of the repair (a UUID v7).
        repair: Uuid,
        /// When the repair began.
        time: String,
        /// The length of the session file in bytes.
        original_length: u64,
    },
    /// One edit. An edit that removes more than [`PIECE`] bytes is split into several entries.
    Piece {
        /// The id of the repair.
        repair: Uuid,
        /// The offset of the removed bytes.
        offset: u64,
        /// The number of removed bytes. 0 if only a newline was inserted.
        length: u64,
        /// The name of the [`DamageKind`](super::damage::DamageKind).
        reason: String,
        /// The removed bytes, in base64.
        bytes: String,
        /// What was inserted in their place: a newline, or nothing.
        inserted: String,
        /// When the repair began.
        time: String,
    },
    /// A repair is complete.
    End {
        /// The id of the repair.
        repair: Uuid,
        /// When the repair ended.
        time: String,
        /// The number of its `piece` entries.
        pieces: u64,
        /// The session file before the repair.
        original: Fingerprint,
        /// The session file after the repair.
        repaired: Fingerprint,
    },
    /// A repair was undone.
    Undone {
        /// The id of the repair.
        repair: Uuid,
        /// When it was undone.
        time: String,
    },
}

/// The most bytes that one [`Entry::Piece`] holds.
pub const PIECE: usize = 256 * 1024;

/// Length and checksum of a file, by which a later call recognises it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The length in bytes.
    pub length: u64,
    /// The CRC-32 (IEEE) of the bytes, as eight hexadecimal digits.
    pub crc32: String,
}

/// Writes to the quarantine that a repair was undone, so that the next restore undoes the one
/// before.
///
/// Call it when the restored file is in place.
///
/// # Errors
///
/// The errors of writing.
pub fn mark_undone(quarantine: &mut impl Write, repair: Uuid) -> io::Result<()> {
    let time = now();
    write_entry(quarantine, &Entry::Undone { repair, time })
}

pub(super) fn write_entry(quarantine: &mut impl Write, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    quarantine.write_all(&line)
}

pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

pub(super) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// A writer that passes bytes on and computes their fingerprint.
pub(super) struct Tally<W> {
    inner: W,
    length: u64,
    crc: crc32fast::Hasher,
}

impl<W: Write> Tally<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, length: 0, crc: crc32fast::Hasher::new() }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.length += bytes.len() as u64;
        self.crc.update(bytes);
        Ok(())
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint { length: self.length, crc32: format!("{:08x}", self.crc.clone().finalize()) }
    }
}
