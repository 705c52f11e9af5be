//! Listening sockets on Linux, from `/proc`.

use std::collections::HashMap;

use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
use procfs::process::{FDTarget, all_processes};

use super::Listening;

pub(super) fn listening_on(port: u16) -> Vec<Listening> {
    let sockets: Vec<TcpNetEntry> = [tcp(), tcp6()]
        .into_iter()
        .flatten()
        .flatten()
        .filter(|socket| socket.state == TcpState::Listen && socket.local_address.port() == port)
        .collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let mut owners = owners_of(&sockets);
    let listening = |socket: &TcpNetEntry| {
        let mut pids = owners.remove(&socket.inode).unwrap_or_default();
        pids.sort_unstable();
        Listening { address: socket.local_address, pids }
    };
    sockets.iter().map(listening).collect()
}

/// The processes that have each of the sockets open, by the socket's inode.
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
