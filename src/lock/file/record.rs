//! The owner record: the JSON in a lock file. It is a superset of OpenClaw's, so that OpenClaw's
//! processes understand it.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::Want;
use super::verdict::{Claim, PidClaim};
use super::{Opened, open_to_look};
use crate::error::{Context, Holder, iso, printable};
use crate::place::Place;
use crate::sys::{self, process};

/// The field `protocol` of our records.
const PROTOCOL: &str = "turnlock/1";
/// A record that we write has at most this many bytes, and a newline, so that it fits in one block.
const MAX_WRITTEN: usize = 4095;
/// A record larger than this is not read.
const MAX_READ: usize = 64 * 1024;
/// A label is cut to this many bytes.
const MAX_LABEL: usize = 1024;
/// The first byte of a record that is being rewritten (I7). No JSON begins with it.
const SPOILED: u8 = b'~';

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
/// that is there already, but never more than a record of ours can have.
pub(crate) fn encode(want: &Want, began: SystemTime, length: usize) -> Vec<u8> {
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
    spoil(file)?;
    // Padding covers the old record unless a foreign program wrote more than we ever do.
    if length > bytes.len() {
        file.set_len(bytes.len() as u64)?;
    }
    sys::write_all_at(file, &bytes[1..], 1)?;
    sys::write_all_at(file, &bytes[..1], 0)
}

/// Spoils the record: it names nobody until it is rewritten.
pub(crate) fn spoil(file: &File) -> io::Result<()> {
    sys::write_all_at(file, &[SPOILED], 0)
}

/// Whether the file still begins with exactly the record that was written.
pub(crate) fn is_still(file: &File, bytes: &[u8]) -> io::Result<bool> {
    let mut buffer = [0; MAX_WRITTEN + 1];
    let Some(buffer) = buffer.get_mut(..bytes.len()) else { return Ok(false) };
    let read = read_at_most(file, buffer)?;
    Ok(buffer[..read] == *bytes)
}

fn read_at_most(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match sys::read_at(file, &mut buffer[read..], read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(read)
}

/// What a lock file says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reading {
    /// A record of this protocol.
    Ours(Record),
    /// A record of a program that takes no kernel lock.
    Foreign(Record),
    /// A record that a process of this protocol was rewriting, or is (I7).
    Spoiled,
    /// No record.
    Malformed {
        /// Whether the file is empty.
        empty: bool,
    },
}

/// A record, whoever wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// As written: in a foreign record, it may be anything.
    pub(crate) pid: PidClaim,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) start_time: Option<u64>,
    pub(crate) owner: Option<Uuid>,
    pub(crate) host: Option<String>,
    pub(crate) boot_id: Option<String>,
    pub(crate) pid_ns: Option<u64>,
    pub(crate) label: Option<String>,
    /// The port that a gateway listens on.
    pub(crate) port: Option<u64>,
    /// The address that a gateway listens on, if it says so.
    pub(crate) address: Option<IpAddr>,
}

/// The fields of a record that are understood, with any values. Others are skipped.
#[derive(Default)]
struct Fields {
    pid: Value,
    created_at: Value,
    starttime: Value,
    start_time: Value,
    protocol: Value,
    owner: Value,
    host: Value,
    boot_id: Value,
    pid_ns: Value,
    label: Value,
    port: Value,
    address: Value,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Pid,
    CreatedAt,
    Starttime,
    StartTime,
    Protocol,
    Owner,
    Host,
    BootId,
    PidNs,
    Label,
    Port,
    Address,
    #[serde(other)]
    Other,
}

/// Reads a record as JavaScript does: as an object, in which the last of several values counts. An
/// odd record is accepted too, since its writer may be alive (I13).
impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self::default())
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(field) = map.next_key()? {
            let value = match field {
                Field::Pid => &mut self.pid,
                Field::CreatedAt => &mut self.created_at,
                Field::Starttime => &mut self.starttime,
                Field::StartTime => &mut self.start_time,
                Field::Protocol => &mut self.protocol,
                Field::Owner => &mut self.owner,
                Field::Host => &mut self.host,
                Field::BootId => &mut self.boot_id,
                Field::PidNs => &mut self.pid_ns,
                Field::Label => &mut self.label,
                Field::Port => &mut self.port,
                Field::Address => &mut self.address,
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *value = map.next_value()?;
        }
        Ok(self)
    }
}

impl Record {
    /// What the record says about a foreign owner.
    pub(crate) fn claim(&self) -> Claim {
        Claim { pid: self.pid, created_at: self.created_at, start_time: self.start_time }
    }

    /// Whether it was written since this machine was booted, as far as it says.
    pub(crate) fn same_boot(&self) -> bool {
        self.boot_id.is_none() || self.boot_id == process::own().boot_id
    }

    /// The holder that it names, for messages.
    pub(crate) fn holder(&self, alive: bool, foreign: bool) -> Holder {
        let me = process::own();
        let pid = match self.pid {
            PidClaim::Pid(pid) => Some(i64::from(pid)),
            _ => None,
        };
        Holder {
            pid,
            alive,
            owner: self.owner,
            host: self.host.as_deref().map(printable),
            label: self.label.as_deref().map(printable),
            since: self.created_at.map(SystemTime::from),
            foreign,
            this_process: !foreign
                && pid == Some(i64::from(me.pid))
                && self.start_time == me.start_time
                && self.pid_ns == me.pid_namespace
                && self.same_boot(),
        }
    }
}

/// Reads a record. An error is a failure to read; it says nothing about the content (I13).
pub(crate) fn read(file: &File) -> io::Result<Reading> {
    let mut buffer = vec![0; 2048];
    let mut read = read_at_most(file, &mut buffer)?;
    if read == buffer.len() {
        buffer.resize(MAX_READ + 1, 0);
        read = read_at_most(file, &mut buffer)?;
    }
    Ok(parse(&buffer[..read]))
}

/// The record at a lock path, whoever wrote it; `None` if there is none.
#[cfg(feature = "gateway")]
pub(crate) fn read_record(place: &Place) -> crate::Result<Option<Record>> {
    let Opened::File(file, _) = open_to_look(place)? else { return Ok(None) };
    Ok(match read(&file).context("read", place.lock())? {
        Reading::Ours(record) | Reading::Foreign(record) => Some(record),
        Reading::Spoiled | Reading::Malformed { .. } => None,
    })
}

/// Parses the content of a lock file.
pub(crate) fn parse(bytes: &[u8]) -> Reading {
    match bytes.first() {
        None => return Reading::Malformed { empty: true },
        Some(&SPOILED) => return Reading::Spoiled,
        _ if bytes.len() > MAX_READ => return Reading::Malformed { empty: false },
        _ => {}
    }
    let Ok(fields) = serde_json::from_slice::<Fields>(bytes) else {
        return Reading::Malformed { empty: false };
    };
    let text = |value| if let Value::String(text) = value { Some(text) } else { None };
    let record = Record {
        pid: PidClaim::from_json(&fields.pid),
        created_at: fields.created_at.as_str().and_then(|time| time.parse().ok()),
        start_time: fields.starttime.as_u64().or_else(|| fields.start_time.as_u64()),
        owner: fields.owner.as_str().and_then(|owner| Uuid::parse_str(owner).ok()),
        host: text(fields.host),
        boot_id: text(fields.boot_id),
        pid_ns: fields.pid_ns.as_u64(),
        label: text(fields.label),
        port: fields.port.as_u64(),
        address: fields.address.as_str().and_then(|address| address.parse().ok()),
    };
    let speaks_ours =
        fields.protocol.as_str().is_some_and(|protocol| protocol.starts_with("turnlock/"));
    if speaks_ours && record.owner.is_some() {
        Reading::Ours(record)
    } else {
        Reading::Foreign(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn want(label: &str) -> Want {
        Want {
            owner: Uuid::now_v7(),
            label: Some(Arc::from(label)),
            facts: None,
            rules: Arc::default(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let want = want("a \"reply\"\nto\tsomebody");
        let bytes = encode(&want, SystemTime::now(), 0);
        let Reading::Ours(record) = parse(&bytes) else {
            panic!("{}", String::from_utf8_lossy(&bytes))
        };
        assert_eq!(record.owner, Some(want.owner));
        assert_eq!(record.label.as_deref(), want.label.as_deref());
        assert_eq!(record.pid, PidClaim::Pid(std::process::id() as i32));
        assert!(record.holder(true, false).this_process);
        assert!(
            !record.holder(true, false).label.unwrap().contains('\n'),
            "shown without control characters"
        );
    }

    #[test]
    fn a_record_stays_under_4096_bytes_whatever_the_label() {
        let label = "\u{1}".repeat(5000);
        let bytes = encode(&want(cut_label(&label)), SystemTime::now(), 100_000);
        assert!(bytes.len() <= 4096);
        assert!(matches!(parse(&bytes), Reading::Ours(_)));
    }

    #[test]
    fn further_facts_are_written_unless_they_are_too_long() {
        let facts =
            |path: String| Some(Arc::new(Map::from_iter([("configPath".to_owned(), path.into())])));
        let written = Want { facts: facts("/etc/x".into()), ..want("gateway") };
        let bytes = encode(&written, SystemTime::now(), 0);
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["configPath"], "/etc/x");
        let written = Want { facts: facts("x".repeat(4096)), ..want("gateway") };
        let bytes = encode(&written, SystemTime::now(), 0);
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap().get("configPath"), None);
        let Reading::Ours(record) = parse(&bytes) else { panic!() };
        assert_eq!(record.owner, Some(written.owner));
    }

    #[test]
    fn a_shorter_record_is_padded_over_a_longer_one() {
        let file = tempfile::tempfile().unwrap();
        let long = encode(&want(&"long ".repeat(50)), SystemTime::now(), 0);
        rewrite(&file, &long, 0).unwrap();
        let short = want("short");
        let bytes = encode(&short, SystemTime::now(), long.len());
        rewrite(&file, &bytes, long.len()).unwrap();
        assert!(is_still(&file, &bytes).unwrap());
        assert!(!is_still(&file, &long).unwrap());
        let Reading::Ours(record) = read(&file).unwrap() else { panic!() };
        assert_eq!(record.owner, Some(short.owner));
    }

    #[test]
    fn hostile_records_are_told_apart() {
        assert_eq!(parse(b""), Reading::Malformed { empty: true });
        assert_eq!(parse(b"{"), Reading::Malformed { empty: false });
        assert_eq!(parse(&vec![b' '; MAX_READ + 1]), Reading::Malformed { empty: false });
        assert_eq!(parse(b"~\"pid\":1}"), Reading::Spoiled);
        assert_eq!(parse(b"[4242]"), Reading::Malformed { empty: false });
        assert_eq!(parse(b"4242"), Reading::Malformed { empty: false });
        assert_eq!(parse("[".repeat(60_000).as_bytes()), Reading::Malformed { empty: false });
        for (text, pid) in [
            (r#"{"pid":-1}"#, PidClaim::Invalid),
            (r#"{"pid":0}"#, PidClaim::Invalid),
            (r#"{"pid":18446744073709551616}"#, PidClaim::Invalid),
            (r#"{"pid":"1; rm -rf /"}"#, PidClaim::Invalid),
            (r#"{"pid":1.5}"#, PidClaim::Invalid),
            (r#"{}"#, PidClaim::Missing),
            (r#"{"pid":77}"#, PidClaim::Pid(77)),
            (r#"{"pid":1,"x":[{}],"pid":77,"x":0}"#, PidClaim::Pid(77)),
        ] {
            let Reading::Foreign(record) = parse(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(record.pid, pid, "{text}");
        }
    }

    #[test]
    fn a_foreign_record_is_understood() {
        let text = r#"{ "pid": 42, "createdAt": "2026-04-15T10:00:00.123Z", "starttime": 99,
            "maxHoldMs": 300000 }"#;
        let Reading::Foreign(record) = parse(text.as_bytes()) else { panic!() };
        assert_eq!((record.pid, record.start_time), (PidClaim::Pid(42), Some(99)));
        assert_eq!(format!("{:.3}", record.created_at.unwrap()), "2026-04-15T10:00:00.123Z");
    }
}
