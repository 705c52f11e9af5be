//! The quarantine, `<session>.jsonl.damaged`: what repairs removed from a session.
//!
//! It is a JSONL file that is only appended to. It may contain any number of repairs. Each goes
//! from a `begin` to an `end`. A repair without an `end` was interrupted and changed nothing. An
//! `installed` entry says that the repaired file was put in place, and an `undone` entry that the
//! repair was undone.
//!
//! An `end` alone does not prove that the repair took effect: the rename may have failed after it.
//! The repair can be undone only if it is marked as installed, or if the session file is the very
//! file that the `end` names, as after a crash between the rename and the mark.
//!
//! A repair adds at most 16 KiB, twice the bytes that it takes out or inserts, and 16 bytes for
//! each damaged line. It adds less than twice the session file and 16 KiB.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac_sha256::Hash as Sha256;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sink::{Sink, write_nuls};

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
    /// Edits that touch each other, for the same reason, are one.
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
        /// What was inserted in their place: a newline, a header, or nothing.
        inserted: String,
        /// The number of bytes that were inserted, if they are not listed: a record of several
        /// lines, as one line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inserted_length: Option<u64>,
        /// When the repair began.
        time: String,
    },
    /// Many short edits. Only the first [`PLAIN`] edits of a repair, and the long ones, have an
    /// entry each.
    Pieces {
        /// The id of the repair.
        repair: Uuid,
        /// The offset at which the steps begin.
        offset: u64,
        /// The number of edits.
        count: u64,
        /// The steps through the repaired file, in base64 (see `edits.rs`).
        steps: String,
    },
    /// A run of NUL bytes that was taken out.
    Nuls {
        /// The id of the repair.
        repair: Uuid,
        /// The offset of the first of them.
        offset: u64,
        /// Their number.
        length: u64,
        /// Whether they were a hole of the file, and took no room.
        hole: bool,
        /// The name of the [`DamageKind`](super::damage::DamageKind).
        reason: String,
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
        /// The number of its `piece`, `pieces` and `nuls` entries.
        pieces: u64,
        /// The session file before the repair.
        original: Fingerprint,
        /// The session file after the repair.
        repaired: Fingerprint,
        /// What tells the repaired file from every other file of the filesystem, where the system
        /// has that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// The repaired file was put in place.
    Installed {
        /// The id of the repair.
        repair: Uuid,
        /// When it was put in place.
        time: String,
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

/// How many edits of a repair have an entry of their own even if they are short. Such an entry is
/// some 300 bytes long, and easy to read.
pub const PLAIN: u64 = 32;

/// An edit that removes so many bytes always has an entry of its own.
pub(super) const LONG: u64 = 1024;

/// The most bytes of steps in an [`Entry::Pieces`], but for the last edit.
pub(super) const STEPS: usize = 128 * 1024;

/// Length and digest of a file, by which a later call recognises it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The length in bytes.
    pub length: u64,
    /// The SHA-256 of the bytes, as 64 hexadecimal digits. Nobody can make another file with it. In
    /// place of a run of NULs that has an entry of its own, its length counts, as eight bytes, the
    /// lowest first.
    pub sha256: String,
    /// The number of NULs in these runs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nuls: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
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

/// Writes to the quarantine that the repaired file was put in place.
///
/// # Errors
///
/// The errors of writing.
pub(crate) fn mark_installed(quarantine: &mut impl Write, repair: Uuid) -> io::Result<()> {
    let time = now();
    write_entry(quarantine, &Entry::Installed { repair, time })
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

pub(crate) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// A writer that passes bytes on and computes their fingerprint.
pub(super) struct Tally<W> {
    inner: W,
    length: u64,
    digest: Sha256,
    in_line: bool,
    nuls: u64,
}

impl<W: Write> Tally<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, length: 0, digest: Sha256::new(), in_line: false, nuls: 0 }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.length += bytes.len() as u64;
        self.digest.update(bytes);
        self.in_line = bytes.last().map_or(self.in_line, |last| *last != b'\n');
        Ok(())
    }

    /// Takes a run of NULs that has an entry of its own.
    pub(super) fn put_nuls(&mut self, count: u64, hole: bool) -> io::Result<()>
    where
        W: Sink,
    {
        if hole {
            self.inner.hole(count)?;
        } else {
            write_nuls(&mut self.inner, count)?;
        }
        self.length += count;
        self.nuls += count;
        self.digest.update(count.to_le_bytes());
        self.in_line = true;
        Ok(())
    }

    /// Whether it ends inside a line.
    pub(super) fn is_in_line(&self) -> bool {
        self.in_line
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let digest = self.digest.finalize();
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Fingerprint { length: self.length, sha256, nuls: self.nuls }
    }
}
