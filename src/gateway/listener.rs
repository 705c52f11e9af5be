//! Which process listens on a port.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

/// Somebody who listens on a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Listener {
    /// The address it listens on.
    pub address: SocketAddr,
    /// Its processes, as far as they can be seen: another user's cannot.
    pub pids: Vec<i32>,
    /// The command line of the first of them.
    pub command: Option<String>,
}

impl Listener {
    /// Whether a connection to `address` reaches it, or a bind of it meets it.
    pub(super) fn serves(&self, address: SocketAddr) -> bool {
        let (ours, theirs): (IpAddr, IpAddr) = (address.ip(), self.address.ip());
        ours == theirs || ours.is_unspecified() || theirs.is_unspecified()
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.pids.first(), &self.command) {
            (Some(pid), Some(command)) => write!(f, "pid {pid}, {command}"),
            (Some(pid), None) => write!(f, "pid {pid}"),
            _ => f.write_str(
                "a process that cannot be seen from here: of another user, or in another container",
            ),
        }
    }
}

/// Who listens on a TCP port of this network namespace. Blocking; reads `/proc`, some milliseconds.
///
/// Empty if nobody does, and where there is no `/proc`.
#[must_use]
pub fn listeners(port: u16) -> Vec<Listener> {
    platform::listeners(port)
}

#[cfg(target_os = "linux")]
mod platform {
    use std::collections::HashMap;

    use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
    use procfs::process::{FDTarget, all_processes};

    use super::Listener;

    pub(super) fn listeners(port: u16) -> Vec<Listener> {
        let sockets: Vec<TcpNetEntry> = [tcp(), tcp6()]
            .into_iter()
            .flatten()
            .flatten()
            .filter(|socket| {
                socket.state == TcpState::Listen && socket.local_address.port() == port
            })
            .collect();
        if sockets.is_empty() {
            return Vec::new();
        }
        let mut owners = owners_of(&sockets);
        let listener = |socket: &TcpNetEntry| {
            let mut pids = owners.remove(&socket.inode).unwrap_or_default();
            pids.sort_unstable();
            let command = pids.first().and_then(|&pid| crate::gateway::owner::command_of(pid));
            Listener { address: socket.local_address, pids, command }
        };
        sockets.iter().map(listener).collect()
    }

    /// The processes that have each of the sockets open.
    fn owners_of(sockets: &[TcpNetEntry]) -> HashMap<u64, Vec<i32>> {
        let mut owners: HashMap<u64, Vec<i32>> =
            sockets.iter().map(|socket| (socket.inode, Vec::new())).collect();
        for process in all_processes().into_iter().flatten().flatten() {
            for file in process.fd().into_iter().flatten().flatten() {
                if let FDTarget::Socket(inode) = file.target
                    && let Some(pids) = owners.get_mut(&inode)
                    && !pids.contains(&process.pid)
                {
                    pids.push(process.pid);
                }
            }
        }
        owners
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    pub(super) fn listeners(_port: u16) -> Vec<super::Listener> {
        Vec::new()
    }
}
