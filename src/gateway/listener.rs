//! Which process listens on a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::owner::command_of;
use crate::sys::sockets;

/// A socket that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Listener {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// The ids of the processes that have it open, without those of other users.
    pub pids: Vec<i32>,
    /// The command line of the first of these processes.
    pub command: Option<String>,
}

impl Listener {
    /// Whether a connection to `address` reaches it, or a bind of `address` conflicts with it.
    ///
    /// A socket at `::` usually has IPv4 connections too. None of another family has.
    fn serves(&self, address: SocketAddr) -> bool {
        let (ours, theirs) = (address.ip().to_canonical(), self.address.ip().to_canonical());
        match (ours, theirs) {
            (IpAddr::V4(_), IpAddr::V6(theirs)) => theirs.is_unspecified(),
            (IpAddr::V6(ours), IpAddr::V4(_)) => ours.is_unspecified(),
            _ => ours == theirs || ours.is_unspecified() || theirs.is_unspecified(),
        }
    }
}

/// The socket that a connection to `address` reaches, or that a bind of it conflicts with. One of
/// its own family goes first.
pub(super) fn listener_at(address: SocketAddr) -> Option<Listener> {
    let serving = listeners(address.port()).into_iter().filter(|found| found.serves(address));
    serving.min_by_key(|found| found.address.is_ipv4() != address.is_ipv4())
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pids.first(), &self.command) {
            (Some(pid), Some(command)) => write!(f, "pid {pid}, {command}"),
            (Some(pid), None) => write!(f, "pid {pid}"),
            _ => f.write_str(
                "a process that cannot be seen from here: of another user, or in another container",
            ),
        }
    }
}

/// Returns the sockets that listen on a TCP port of this network namespace.
///
/// Empty if there are none, and on systems other than Linux, where they cannot be seen.
///
/// **Blocking**: it reads `/proc`, which takes some milliseconds.
#[must_use]
pub fn listeners(port: u16) -> Vec<Listener> {
    let listening = sockets::listening_on(port).into_iter();
    listening
        .map(|socket| {
            let command = socket.pids.first().and_then(|&pid| command_of(pid));
            Listener { address: socket.address, pids: socket.pids, command }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_of_the_other_family_are_no_listeners() {
        let serves = |theirs: &str, ours: &str| {
            let address = SocketAddr::new(theirs.parse().unwrap(), 1);
            let listener = Listener { address, pids: Vec::new(), command: None };
            listener.serves(SocketAddr::new(ours.parse().unwrap(), 1))
        };
        for (theirs, ours) in [
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("127.0.0.1", "0.0.0.0"),
            ("::", "127.0.0.1"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "::"),
            ("::1", "::"),
        ] {
            assert!(serves(theirs, ours), "{theirs} {ours}");
        }
        for (theirs, ours) in [
            ("::1", "127.0.0.1"),
            ("::1", "0.0.0.0"),
            ("0.0.0.0", "::1"),
            ("127.0.0.1", "::1"),
            ("127.0.0.2", "127.0.0.1"),
        ] {
            assert!(!serves(theirs, ours), "{theirs} {ours}");
        }
    }
}
