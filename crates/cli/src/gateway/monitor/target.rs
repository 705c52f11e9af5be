//! The gateways that a monitor watches, and one look at one of them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use turnlock::gateway::{self, Condition, Observation};

use crate::gateway::config::of_state_dir;
use crate::gateway::metrics::Seen;

/// A gateway to watch.
#[derive(Clone)]
pub(super) enum Target {
    StateDir(PathBuf),
    Address(SocketAddr),
    /// A host's name and a port. What it stands for is found out at each look.
    Name(String),
}

impl FromStr for Target {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.parse() {
            Ok(address) => Self::Address(address),
            Err(_) if is_name(text) => Self::Name(text.into()),
            Err(_) => Self::StateDir(text.into()),
        })
    }
}

/// Whether it is a host's name and a port, as `localhost:18789`, and not a directory's path.
fn is_name(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !host.is_empty()
        && host.chars().all(is_host)
        && port.parse::<u16>().is_ok()
        && !PathBuf::from(text).exists()
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::StateDir(dir) => dir.display().fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl Target {
    pub(super) fn observe(&self) -> Look {
        match self {
            Self::Address(address) => gateway::observe_address(*address).into(),
            Self::StateDir(dir) => match gateway::observe(&of_state_dir(dir), None) {
                Ok(seen) => seen.into(),
                Err(error) => Look {
                    condition: if is_missing(&error) {
                        Condition::Gone
                    } else {
                        Condition::Unknown
                    },
                    seen: None,
                    error: Some(error.to_string()),
                },
            },
            Self::Name(name) => observe_name(name),
        }
    }
}

/// Whether there is no such state directory. Whatever else is wrong says nothing about the gateway.
fn is_missing(error: &gateway::Error) -> bool {
    matches!(
        error,
        gateway::Error::Lock(turnlock::Error::Io { source, .. })
            if source.kind() == ErrorKind::NotFound
    )
}

/// Looks at all addresses of a name, until one of them is healthy; `localhost` has two.
fn observe_name(name: &str) -> Look {
    let addresses = match name.to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(error) => {
            return Look::unknown(format!("cannot find the address of the name: {error}"));
        }
    };
    let mut best: Option<Observation> = None;
    for address in addresses {
        let seen = gateway::observe_address(address);
        if seen.condition == Condition::Healthy {
            return seen.into();
        }
        // What answers badly says more than that nobody answers elsewhere.
        let says_nothing =
            |seen: &Observation| matches!(seen.condition, Condition::Gone | Condition::Unknown);
        if best.as_ref().is_none_or(says_nothing) {
            best = Some(seen);
        }
    }
    best.map_or_else(|| Look::unknown("the name has no address".into()), Look::from)
}

/// The result of a look: what was seen, or why nothing was, and the condition that follows.
pub(super) struct Look {
    pub(super) condition: Condition,
    pub(super) seen: Option<Observation>,
    pub(super) error: Option<String>,
}

impl From<Observation> for Look {
    fn from(seen: Observation) -> Self {
        Self { condition: seen.condition, seen: Some(seen), error: None }
    }
}

impl Look {
    /// What metrics tell of it.
    pub(super) fn seen(&self) -> Seen {
        match &self.seen {
            Some(seen) => Seen::of(seen),
            None => Seen { condition: self.condition, locks: BTreeMap::new() },
        }
    }

    fn unknown(error: String) -> Self {
        Self { condition: Condition::Unknown, seen: None, error: Some(error) }
    }

    pub(super) fn hangs() -> Self {
        let error = format!("it could not be looked at within {} s", super::LONGEST_LOOK.as_secs());
        Self { condition: Condition::LockedUp, seen: None, error: Some(error) }
    }
}
