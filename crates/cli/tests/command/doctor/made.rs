//! Damaged session files, made from a seed, and what a repair has to leave of them; and helpers
//! that all tests here share.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use turnlock_testing::{Ended, ended};

use crate::program::turnlock;
use crate::schema::document;

/// A small generator of numbers: the same seed, the same files.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// A session file, and the records that have to be there after a repair, in order.
#[derive(Default)]
pub struct Made {
    pub bytes: Vec<u8>,
    pub records: Vec<Vec<u8>>,
    pub damaged: bool,
    /// The bytes of records that were cut, and of what is no record.
    torn: usize,
    rubbish: usize,
    next: usize,
}

const TEXT: &str = "Grüße, 世界 🦀! ";

impl Made {
    /// A record of about `size` bytes; no two are alike.
    fn record(&mut self, size: usize) -> Vec<u8> {
        self.next += 1;
        let n = self.next;
        if size <= 1 {
            return (n % 10).to_string().into_bytes();
        }
        let text = TEXT.repeat(size.div_ceil(TEXT.len()));
        format!(
            r#"{{"type":"message","id":"r{n}","message":{{"role":"user","content":"{text}"}}}}"#
        )
        .into_bytes()
    }

    fn object(&mut self, size: usize) -> Vec<u8> {
        self.record(size.max(2))
    }

    fn keep(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.records.push(record.to_vec());
    }

    pub fn whole(&mut self, size: usize) {
        let record = self.record(size);
        self.keep(&record);
        self.bytes.push(b'\n');
    }

    /// One damaged line of the class `class`, from [`CLASSES`].
    pub fn damage(&mut self, class: usize, size: usize, dice: &mut Dice) {
        self.damaged = true;
        let record = self.object(size);
        // Anywhere before the text ends, also inside of a character.
        let cut = 1 + dice.below(record.len() - 4);
        match class {
            4 => self.rubbish += record.len() + 1,
            5 => self.rubbish += 22,
            0 | 6 => self.torn += cut,
            _ => {}
        }
        match class {
            0 => {
                self.bytes.extend_from_slice(&record[..cut]);
                let whole = self.object(size / 2);
                if record[..cut].ends_with(b":") {
                    // It cannot be told from a nested object.
                    self.bytes.extend_from_slice(&whole);
                } else {
                    self.keep(&whole);
                }
            }
            1 => {
                self.keep(&record);
                let whole = self.object(size / 2);
                self.keep(&whole);
            }
            2 => {
                self.bytes.extend(std::iter::repeat_n(0, 1 + dice.below(4000)));
                self.keep(&record);
            }
            3 => self.bytes.extend(std::iter::repeat_n(0, 284)),
            4 => {
                let mut bad = record;
                let at = bad.len() - 5;
                bad[at] = 0xff;
                self.bytes.extend_from_slice(&bad);
            }
            5 => self.bytes.extend_from_slice(b"Killed: out of memory"),
            _ => self.bytes.extend_from_slice(&record[..cut]),
        }
        self.bytes.push(b'\n');
    }

    /// How the file ends: as it should, torn, in NULs, without a newline.
    pub fn end(&mut self, how: usize, dice: &mut Dice) {
        match how {
            0 => {}
            1 => {
                let record = self.object(200);
                let cut = 1 + dice.below(record.len() - 4);
                self.torn += cut;
                self.bytes.extend_from_slice(&record[..cut]);
            }
            2 => self.bytes.extend(std::iter::repeat_n(0, 1 + dice.below(2000))),
            _ => {
                let record = self.object(200);
                self.keep(&record);
            }
        }
        self.damaged |= how != 0;
    }

    /// Whether a repair leaves enough of it. Otherwise the file is left alone.
    pub fn is_understood(&self) -> bool {
        let kept: usize = self.records.iter().map(Vec::len).sum();
        self.rubbish <= kept && (kept > 0 || self.torn == 0)
    }

    /// What a repair has to leave.
    pub fn repaired(&self) -> Vec<u8> {
        self.records.iter().flat_map(|record| [&record[..], b"\n"].concat()).collect()
    }
}

pub const CLASSES: usize = 7;

/// `turnlock doctor` with arguments.
pub fn doctor(arguments: &[&str], path: &Path) -> Command {
    let mut command = turnlock(["doctor"]);
    command.args(arguments).arg(path);
    command
}

/// What the doctor found, as JSON, and its exit code.
pub fn found(arguments: &[&str], path: &Path) -> (Value, Ended) {
    let mut command = doctor(&["--json"], path);
    command.args(arguments);
    let answer = ended(command);
    (document(&answer.out, "turnlock.doctor/1"), answer)
}
