//! Internals for this project's own tests, benches and fuzzers. They exist only with the feature
//! `testing`. They are no part of the public API and may change at any time.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use uuid::Uuid;

use crate::error::{Error, Holder};
use crate::lock::Want;
use crate::lock::testing::{
    Claim, Elsewhere, Facts, Limits, Reading, Record, cut_label, encode, judge, parse,
};
use crate::place::Place;
use crate::session::SlotRef;
use crate::sessions::SessionsBuilder;
use crate::sys::process::ProcessState;

pub use crate::transcript::json::Validator;
pub use crate::transcript::quarantine::mark_undone;
pub use crate::transcript::repair::{repair, survey};
pub use crate::transcript::restore::restore;
pub use crate::transcript::scan::Scanner;

impl SessionsBuilder {
    /// Uses only what every Unix has: no unnamed files and no marks.
    pub fn portable(mut self, portable: bool) -> Self {
        self.rules.portable = portable;
        self
    }

    /// Does not look whether other programs have a session open for writing. How many system calls
    /// that takes depends on what else runs.
    pub fn looks_for_writers(mut self, looks: bool) -> Self {
        self.rules.looks_for_writers = looks;
        self
    }

    /// Treats every filesystem as one that several hosts share.
    pub fn shared(mut self, shared: bool) -> Self {
        self.rules.shared = shared;
        self
    }
}

/// How many tasks and threads of this process are in the queue for the turn on a session.
///
/// # Panics
/// If there is no such directory.
#[allow(clippy::expect_used, reason = "a test has made the directory")]
pub fn waiters_here(session: &Path) -> usize {
    let place = Place::resolve(session, false).expect("the directory is there");
    SlotRef::of(place).turn_queue.len()
}

/// The same for its data lock.
///
/// # Panics
/// If there is no such directory.
#[allow(clippy::expect_used, reason = "a test has made the directory")]
pub fn data_waiters_here(session: &Path) -> usize {
    let place = Place::resolve(session, false).expect("the directory is there");
    SlotRef::of(place).data_queue.len()
}

/// No message about a holder reaches this length in bytes, whatever its record contains.
const MAX_MESSAGE: usize = 16 * 1024;

/// Checks any bytes as the record in a lock file. The record is parsed and judged, its holder is
/// shown in messages, and its label is written into a new record.
///
/// # Panics
/// If one of the properties below does not hold.
pub fn record(bytes: &[u8]) {
    let (record, foreign) = match parse(bytes) {
        Reading::Ours(record) => (record, false),
        Reading::Foreign(record) => (record, true),
        Reading::Spoiled => return assert_eq!(bytes.first(), Some(&b'~')),
        Reading::Malformed { empty } => return assert_eq!(empty, bytes.is_empty()),
    };
    assert!(foreign || record.owner.is_some(), "a record of this protocol names an owner");
    check_messages(record.holder(true, foreign));
    check_judgement(&record);
    check_rewritten_label(&record);
}

/// A message about a holder is short and contains no control characters.
fn check_messages(holder: Holder) {
    assert!(serde_json::to_vec(&holder).is_ok(), "a holder can be written as JSON");
    let lock = "s.jsonl.lock".into();
    let error =
        Error::Timeout { lock, waited: Duration::ZERO, holder: Some(Box::new(holder)) }.to_string();
    assert!(error.len() < MAX_MESSAGE && !error.chars().any(char::is_control), "{error:?}");
}

/// An owner that this process knows to hold the lock is alive, whatever its record says. Any other
/// owner is alive, or there is a reason to take its lock.
fn check_judgement(record: &Record) {
    let judged = |held_here, exists| {
        let limits = Limits { too_old: Duration::from_secs(1), assume_local: false };
        judge(&record.claim(), &World { held_here, exists }, Timestamp::now(), limits)
    };
    for exists in [false, true] {
        assert!(judged(true, exists).alive());
        let unknown = judged(false, exists);
        assert!(unknown.alive() || !unknown.reasons.is_empty(), "taken without a reason");
    }
}

/// A world in which every process exists, or none. To look at the real one takes too long here.
struct World {
    held_here: bool,
    exists: bool,
}

impl Facts for World {
    fn own_pid(&self) -> i32 {
        1
    }
    fn own_start_time(&self) -> Option<u64> {
        Some(1)
    }
    fn held_here(&self) -> bool {
        self.held_here
    }
    fn state(&self, _pid: i32) -> ProcessState {
        if self.exists { ProcessState::Alive } else { ProcessState::Gone }
    }
    fn start_time(&self, _pid: i32) -> io::Result<Option<u64>> {
        Ok(self.exists.then_some(1))
    }
    fn clock_unseen(&self, _pid: i32) -> bool {
        false
    }
    fn started_at(&self, _pid: i32) -> Option<Timestamp> {
        self.exists.then_some(Timestamp::UNIX_EPOCH)
    }
    fn command_line(&self, _pid: i32) -> Option<Vec<OsString>> {
        None
    }
    fn boot_time(&self) -> Option<Timestamp> {
        Some(Timestamp::UNIX_EPOCH)
    }
    fn elsewhere(&self, _claim: &Claim, lives: &dyn Fn(i32) -> bool) -> Elsewhere {
        if lives(2) { Elsewhere::Lives(2) } else { Elsewhere::Unseen }
    }
}

/// A record with any label, from whatever source, can be parsed again.
fn check_rewritten_label(record: &Record) {
    let label = record.label.as_deref().map(|label| Arc::from(cut_label(label)));
    let want = Want { owner: Uuid::from_u128(1), label, facts: None, rules: Arc::default() };
    let bytes = encode(&want, None, SystemTime::now(), record.start_time.unwrap_or(0) as usize);
    assert!(bytes.len() <= 4096);
    let Reading::Ours(again) = parse(&bytes) else { panic!("{}", String::from_utf8_lossy(&bytes)) };
    assert_eq!(again.owner, Some(want.owner));
    assert!(again.label.is_none() || again.label.as_deref() == want.label.as_deref());
}
