//! The owner record: the JSON in a lock file. It is a superset of OpenClaw's, so that OpenClaw's
//! processes understand it.

mod write;

use std::fmt;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use uuid::Uuid;

use super::super::Want;
use super::verdict::{Claim, PidClaim};
use crate::error::{Holder, printable};
use crate::sys::process::ProcessState;
use crate::sys::{self, process};
pub(crate) use write::{cut_label, encode, is_still, rewrite, rewrite_at_server, spoil, write_new};

/// A record larger than this is not read.
const MAX_READ: usize = 64 * 1024;
/// The first byte of a record that is being rewritten (I7). No JSON begins with it.
const SPOILED: u8 = b'~';

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
    /// The trace of the session file, if a turn has created it and none has written into it.
    pub(crate) made_session: Option<String>,
    /// The port that a gateway listens on.
    pub(crate) port: Option<u64>,
    /// The address that a gateway listens on, if it says so.
    pub(crate) address: Option<IpAddr>,
    /// The state directory of a gateway, as it sees it.
    pub(crate) state_dir: Option<String>,
    /// The config of a gateway, as it sees it.
    pub(crate) config_path: Option<String>,
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

    /// Describes the owner where it may be on another host, and nobody tells whether it lives.
    pub(crate) fn holder_elsewhere(&self) -> Holder {
        Holder {
            hidden: Some("whether it lives cannot be told from this host".into()),
            ..self.holder(true, self.owner.is_none())
        }
    }

    /// Whether the process that it names is one of this PID namespace, and has ended.
    fn has_ended(&self) -> bool {
        let PidClaim::Pid(pid) = self.pid else { return false };
        let is_of_here = self.pid_ns.is_some()
            && self.pid_ns == process::own().pid_namespace
            && self.boot_id.is_some()
            && self.same_boot();
        is_of_here
            && match process::state(pid) {
                ProcessState::Gone | ProcessState::Zombie => true,
                ProcessState::Alive => {
                    let recorded = self.start_time;
                    recorded.is_some()
                        && process::start_time(pid).is_ok_and(|live| live != recorded)
                }
                ProcessState::Unknown => false,
            }
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
            host_pid: None,
            container: None,
            unseen: false,
            ended: alive && !foreign && self.has_ended(),
            hidden: None,
            this_machine: self.same_boot(),
            this_process: pid == Some(i64::from(me.pid))
                && self.start_time == me.start_time
                && if foreign {
                    alive && me.start_time.is_some()
                } else {
                    self.pid_ns == me.pid_namespace && self.same_boot()
                },
        }
    }
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
    made_session: Value,
    port: Value,
    address: Value,
    state_dir: Value,
    config_path: Value,
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
    MadeSession,
    Port,
    Address,
    StateDir,
    ConfigPath,
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
                Field::MadeSession => &mut self.made_session,
                Field::Port => &mut self.port,
                Field::Address => &mut self.address,
                Field::StateDir => &mut self.state_dir,
                Field::ConfigPath => &mut self.config_path,
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

/// Reads a record. An error is a failure to read; it says nothing about the content (I13).
pub(crate) fn read(file: &File) -> io::Result<Reading> {
    let mut buffer = vec![0; 2048];
    // A record that is whole and does not fill the buffer ends there. This spares a read.
    if let Ok(first) = sys::read_at(file, &mut buffer, 0)
        && first < buffer.len()
        && let whole @ (Reading::Ours(_) | Reading::Foreign(_)) = parse(&buffer[..first])
    {
        return Ok(whole);
    }
    let mut read = read_at_most(file, &mut buffer)?;
    if read == buffer.len() {
        buffer.resize(MAX_READ + 1, 0);
        read = read_at_most(file, &mut buffer)?;
    }
    Ok(parse(&buffer[..read]))
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
        made_session: text(fields.made_session),
        port: fields.port.as_u64(),
        address: fields.address.as_str().and_then(|address| address.parse().ok()),
        state_dir: text(fields.state_dir),
        config_path: text(fields.config_path),
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
mod tests;
