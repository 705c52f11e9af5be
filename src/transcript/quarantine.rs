//! The quarantine, `<session>.jsonl.damaged`: what repairs took out, so that nothing is ever thrown away.
//!
//! It is a JSONL file itself, only appended to, and may hold any number of repairs, each from its `begin` to its `end`. A
//! repair without an `end` did not come to its end and changed nothing. `undone` says that a repair was taken back.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One line of a quarantine file.
///
/// Offsets and lengths count bytes of the session file as it was before the repair. Times are RFC 3339, UTC, with
/// milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Entry {
    /// A repair begins.
    Begin {
        /// The repair (a UUID v7).
        repair: Uuid,
        /// When.
        time: String,
        /// How long the session file was.
        original_length: u64,
    },
    /// One change. What is larger than [`PIECE`] comes in several entries.
    Piece {
        /// The repair.
        repair: Uuid,
        /// Where the piece was.
        offset: u64,
        /// How many bytes were taken out; 0 where only a newline was put in.
        length: u64,
        /// The name of the [`DamageKind`](super::damage::DamageKind).
        reason: String,
        /// The bytes, in base64.
        bytes: String,
        /// What was put in their place.
        inserted: String,
        /// When.
        time: String,
    },
    /// A repair is complete.
    End {
        /// The repair.
        repair: Uuid,
        /// When.
        time: String,
        /// How many pieces it has.
        pieces: u64,
        /// The session file before.
        original: Fingerprint,
        /// The session file after.
        repaired: Fingerprint,
    },
    /// A repair was taken back.
    Undone {
        /// The repair.
        repair: Uuid,
        /// When.
        time: String,
    },
}

/// How many bytes one [`Entry::Piece`] holds at most.
pub const PIECE: usize = 256 * 1024;

/// By what a file is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Its length in bytes.
    pub length: u64,
    /// The CRC-32 (IEEE) of its bytes, in eight hexadecimal digits.
    pub crc32: String,
}

/// Says in the quarantine that a repair was taken back, so that the next undo goes to the one before.
///
/// To be written when the restored file is in place.
///
/// # Errors
///
/// Those of writing.
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

/// Passes bytes on and takes their fingerprint.
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
