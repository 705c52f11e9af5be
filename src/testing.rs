//! The inside, for this project's own tests, benches and fuzzers. Built with the feature `testing`
//! only, and promised to nobody.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use uuid::Uuid;

use crate::error::{Error, Holder};
use crate::lock::Want;
use crate::lock::testing::{Processes, Reading, Record, cut_label, encode, judge, parse};
use crate::sessions::SessionsBuilder;

pub use crate::transcript::json::Validator;
pub use crate::transcript::quarantine::mark_undone;
pub use crate::transcript::repair::{repair, survey};
pub use crate::transcript::restore::restore;
pub use crate::transcript::scan::Scanner;

impl SessionsBuilder {
    /// Uses only what every Unix has: no unnamed files, no marks.
    pub fn portable(mut self, portable: bool) -> Self {
        self.rules.portable = portable;
        self
    }

    /// Takes every filesystem for one that several hosts share.
    pub fn shared(mut self, shared: bool) -> Self {
        self.rules.shared = shared;
        self
    }
}

/// As many bytes as the longest record that is written takes; what is told of a holder is never longer.
const MOST_TOLD: usize = 16 * 1024;

/// Any bytes as a lock file's record: read, judged, told of, and its label written again.
pub fn record(bytes: &[u8]) {
    let (record, foreign) = match parse(bytes) {
        Reading::Ours(record) => (record, false),
        Reading::Foreign(record) => (record, true),
        Reading::Spoiled => return assert_eq!(bytes.first(), Some(&b'~')),
        Reading::Malformed { empty } => return assert_eq!(empty, bytes.is_empty()),
    };
    assert!(foreign || record.owner.is_some(), "who speaks our protocol names an owner");
    told(record.holder(true, foreign));
    judged(&record);
    written_again(&record);
}

/// What a terminal gets to see is short, and cannot command it.
fn told(holder: Holder) {
    assert!(serde_json::to_vec(&holder).is_ok(), "a report is JSON");
    let lock = "s.jsonl.lock".into();
    let error =
        Error::Timeout { lock, waited: Duration::ZERO, holder: Some(Box::new(holder)) }.to_string();
    assert!(error.len() < MOST_TOLD && !error.chars().any(char::is_control), "{error:?}");
}

/// Two ways of weighing the same evidence agree: what our own memory knows lives, whatever else is written.
fn judged(record: &Record) {
    let judged = |held_here| {
        let facts = Processes { held_here };
        judge(&record.claim(), &facts, Timestamp::now(), Duration::from_secs(1))
    };
    assert!(judged(true).alive());
    let unknown = judged(false);
    assert!(unknown.alive() || !unknown.reasons.is_empty(), "a lock is taken for a reason");
}

/// A label that came from anywhere goes into a record that can be read again.
fn written_again(record: &Record) {
    let label = record.label.as_deref().map(|label| Arc::from(cut_label(label)));
    let want = Want { owner: Uuid::from_u128(1), label, facts: None, rules: Arc::default() };
    let bytes = encode(&want, SystemTime::now(), record.start_time.unwrap_or(0) as usize);
    assert!(bytes.len() <= 4096);
    let Reading::Ours(again) = parse(&bytes) else { panic!("{}", String::from_utf8_lossy(&bytes)) };
    assert_eq!(again.owner, Some(want.owner));
    assert!(again.label.is_none() || again.label.as_deref() == want.label.as_deref());
}
