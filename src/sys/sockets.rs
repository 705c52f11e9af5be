//! Which processes listen on a TCP port.

#[cfg_attr(target_os = "linux", path = "sockets/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "sockets/portable.rs")]
mod system;

use std::net::SocketAddr;

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    /// The processes that have it open, in ascending order. Those of other users are missing.
    pub(crate) pids: Vec<i32>,
}

/// Returns the sockets that listen on a TCP port of this network namespace; none where the system
/// does not tell. Blocks for some milliseconds.
pub(crate) fn listening_on(port: u16) -> Vec<Listening> {
    system::listening_on(port)
}
