//! The third layer: the socket, bound exclusively.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use super::Refused;
use super::listener::listener_at;
use super::{Error, Result};
use crate::mode::Mode;

/// How often a taken port is tried again, and the pause before each retry.
const RETRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// Binds and listens.
///
/// `SO_REUSEPORT` is not set, so that the kernel refuses the second of two listeners. `std` sets
/// `SO_REUSEADDR` on Unix: on Linux it admits a new listener while connections of an old one
/// linger, and never beside a living listener.
pub(super) async fn bind(
    address: SocketAddr,
    mode: Mode,
    deadline: Option<Instant>,
) -> Result<(TcpListener, SocketAddr)> {
    let refused = |source| Error::Refused(Refused::Bind { url: url(address), source });
    let mut tries = 0;
    loop {
        match TcpListener::bind(address)
            .and_then(|listener| listener.local_addr().map(|bound| (listener, bound)))
        {
            Ok(bound) => return Ok(bound),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
            Err(e) => return Err(refused(e)),
        }
        let again = Instant::now().checked_add(PAUSE);
        if tries == RETRIES
            || deadline.is_some_and(|deadline| again.is_none_or(|again| again > deadline))
        {
            let listener = mode.run(move || listener_at(address)).await?;
            return Err(Error::Refused(Refused::PortTaken {
                url: url(address),
                listener: listener.map(Box::new),
            }));
        }
        tries += 1;
        mode.pause(PAUSE).await;
    }
}

/// The URL of a gateway at this address.
pub(super) fn url(address: SocketAddr) -> String {
    format!("ws://{address}")
}
