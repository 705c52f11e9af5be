//! OpenClaw and its forks: how their processes are called, where their files are, and what their
//! gateways write.
//!
//! Its lock record is a JSON object with `pid`, `createdAt`, `starttime` (field 22 of
//! `/proc/<pid>/stat`) and, in a gateway's, `configPath`, `stateDir`, `ownerId`, `role`, `port` and
//! `startTime`. The record of this library has the same names for the same things.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// One of these is in the command line of each program that writes such records.
const AGENT_WORDS: [&str; 6] = ["node", "bun", "deno", "openclaw", "clawdbot", "moltbot"];

/// Whether a process may be one of those programs, by its command line. An empty command line is
/// one that cannot be read.
pub(crate) fn is_agent(command_line: &[OsString]) -> bool {
    command_line.is_empty() || command_line.iter().any(|word| has_agent_word(word))
}

/// Whether a process is one of those programs by its own name, whatever its arguments are.
pub(crate) fn is_called_agent(command_line: &[OsString]) -> bool {
    command_line
        .first()
        .and_then(|program| Path::new(program).file_name())
        .is_some_and(has_agent_word)
}

fn has_agent_word(word: &OsStr) -> bool {
    let word = word.to_string_lossy().to_lowercase();
    AGENT_WORDS.iter().any(|agent| word.contains(agent))
}

/// Below a state directory: a directory for each agent.
pub(crate) const AGENTS: &str = "agents";
/// Below an agent's directory, and in old layouts below the state directory.
pub(crate) const SESSIONS: &str = "sessions";

/// Whether a file is no session, though its name is that of one: a trajectory, or what was set
/// aside as corrupt, replaced or reset. Quarantines of this library are such, too.
pub(crate) fn is_set_aside(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let has = |part: &[u8]| memchr::memmem::find(name, part).is_some();
    let marks = [&b".corrupt-"[..], b".bak", b".reset.", b".deleted."];
    has(b".jsonl")
        && !name.ends_with(b".jsonl.lock")
        && !name.ends_with(b".tmp")
        && (name.ends_with(b".trajectory.jsonl")
            || name.ends_with(b".jsonl.damaged")
            || marks.into_iter().any(has))
}

/// Whether a path is that of a gateway's lock, `gateway.<key>.lock`, by its name. The key is 8 hex
/// digits for a config, or `state`, which only this library writes.
pub(crate) fn is_gateway_lock(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let key = name.strip_prefix(b"gateway.").and_then(|rest| rest.strip_suffix(b".lock"));
    key.is_some_and(|key| {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        key == b"state" || key.len() == 8 && key.iter().all(is_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_aside_is_no_session() {
        let is = |name: &str| is_set_aside(OsStr::new(name));
        for name in [
            "s.trajectory.jsonl",
            "s.jsonl.corrupt-20260101",
            "s.corrupt-20260101.jsonl",
            "s.jsonl.bak-3",
            "s.bak-3.jsonl",
            "s.jsonl.bak",
            "s.jsonl.reset.2026-01-02T03-04-05.000Z",
            "s.jsonl.deleted.2026-01-02T03-04-05.000Z",
            "s.jsonl.damaged",
        ] {
            assert!(is(name), "{name}");
        }
        for name in [
            "s.jsonl",
            "s.jsonl.lock",
            "s.trajectory.jsonl.lock",
            "s.jsonl.rewrite-01890000-0000-7000-8000-000000000000.tmp",
            "reset.jsonl",
            "notes.bak",
            "trajectory.jsonl",
        ] {
            assert!(!is(name), "{name}");
        }
    }
}

#[cfg(feature = "gateway")]
pub(crate) use gateway::*;

#[cfg(feature = "gateway")]
mod gateway {
    use std::ffi::OsStr;
    use std::net::SocketAddr;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use hmac_sha256::Hash as Sha256;
    use serde_json::{Map, Value};
    use uuid::Uuid;

    /// The name of the config file in a state directory.
    pub(crate) const CONFIG: &str = "openclaw.json";
    /// The lock that this library takes in the state directory itself.
    pub(crate) const STATE_LOCK: &str = "gateway.state.lock";

    /// Where the locks of configs are.
    pub(crate) fn lock_dir(state_dir: &Path, user_id: u32) -> PathBuf {
        state_dir.join(format!("tmp/openclaw-{user_id}"))
    }

    /// The name of a config's lock: keyed by the first 8 hex digits of the SHA-256 of its path.
    pub(crate) fn config_lock(config: &Path) -> String {
        let digest = Sha256::hash(config.as_os_str().as_encoded_bytes());
        let key: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("gateway.{key}.lock")
    }

    /// What a gateway writes into its record, beside what every record has. The address is ours.
    pub(crate) fn gateway_facts(
        config: &Path,
        state_dir: &Path,
        address: SocketAddr,
        owner_id: Uuid,
        start_time: Option<u64>,
    ) -> Map<String, Value> {
        let mut facts = Map::new();
        facts.insert("configPath".into(), config.to_string_lossy().into());
        facts.insert("stateDir".into(), state_dir.to_string_lossy().into());
        facts.insert("ownerId".into(), owner_id.to_string().into());
        facts.insert("role".into(), "gateway".into());
        facts.insert("address".into(), address.ip().to_string().into());
        if address.port() != 0 {
            facts.insert("port".into(), address.port().into());
        }
        if let Some(start_time) = start_time {
            facts.insert("startTime".into(), start_time.into());
        }
        facts
    }

    /// A reclaim guard exists for milliseconds, unless the process that made it has died.
    pub(crate) const RECLAIM_GRACE: Duration = Duration::from_secs(30);

    /// Whether it is the name of the directory with which OpenClaw guards the reclaim of a lock, of
    /// a session or of a gateway.
    pub(crate) fn is_reclaim_guard(name: &OsStr) -> bool {
        let lock = Path::new(name).with_extension("");
        name.as_encoded_bytes().ends_with(b".lock.reclaim")
            && (lock.as_os_str().as_encoded_bytes().ends_with(b".jsonl.lock")
                || super::is_gateway_lock(&lock))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_key_is_the_one_that_sha256sum_gives() {
            let lock = config_lock(Path::new("/etc/agent/openclaw.json"));
            assert_eq!(lock, "gateway.bfbc5971.lock");
        }
    }
}
