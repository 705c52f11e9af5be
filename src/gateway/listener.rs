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
    pub(super) fn serves(&self, address: SocketAddr) -> bool {
        let (ours, theirs): (IpAddr, IpAddr) = (address.ip(), self.address.ip());
        ours == theirs || ours.is_unspecified() || theirs.is_unspecified()
    }
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
