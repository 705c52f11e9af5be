//! One gateway per state directory, config file and port.
//!
//! Two gateways on one state directory answer every message twice and fight over its sessions.
//! Before it touches anything else, a gateway therefore takes three layers, in this order:
//!
//! 1. The *state lock*: `gateway.state.lock` inside the state directory. It is one lock, whatever
//!    name, link or mount leads to the directory, and whichever user starts the gateway. Every
//!    gateway takes it, even where several share a config.
//! 2. The *config lock*: `gateway.<8 hex>.lock` in `<state dir>/tmp/openclaw-<uid>`. Its name holds
//!    the first digits of the SHA-256 of the canonical config path. OpenClaw's own gateways lock
//!    the same file, and its record is one that they understand.
//! 3. The *socket*: bound exclusively.
//!
//! Both locks are lock files like that of a session. The kernel's lock is the truth about life and
//! death: a gateway that was killed, in whatever way, does not delay the next one, even if the next
//! one has the same process id in a new container. Process id, start time and command line judge
//! only the records of programs that take no kernel lock.
//!
//! # Limitations
//!
//! A socket is exclusive within its network namespace, and a kernel lock within its kernel.
//! Gateways on *different machines* that share a state directory over a network filesystem exclude
//! each other only if that filesystem keeps locks between hosts.
//!
//! # Examples
//!
//! ```no_run
//! use turnlock::gateway::Gateway;
//!
//! # fn main() -> turnlock::gateway::Result<()> {
//! let mut gateway = Gateway::builder("/var/lib/agent").port(18789).acquire_blocking()?;
//! let listener = gateway.take_listener();
//! // … serve until told to end …
//! drop(listener);
//! gateway.release_blocking()?;
//! # Ok(()) }
//! ```

mod advice;
mod arguments;
mod builder;
mod doctor;
mod error;
mod family;
mod health;
mod layout;
mod listener;
mod owner;
mod refused;
mod remains;
mod report;
mod same;
mod socket;
mod stop;
mod supervise;
mod watch;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::compat::openclaw;
use crate::error::{Context, LostCause};
use crate::mode::{Mode, now_or_never};
use crate::session::Turn;
use crate::sys::{BorrowedFd, process};

pub use builder::GatewayBuilder;
pub use doctor::{Finding, Trouble, doctor};
pub use error::{Error, Result};
pub use health::{Health, probe};
pub use layout::Layout;
pub use listener::{Listener, listeners};
pub use owner::{Identity, OwnerProcess};
pub use refused::Refused;
pub use remains::{Remainder, Remains, end_remains, remains};
pub use report::{GatewayReport, LockFacts, status};
pub use stop::{Stop, Stopped, Stopping, stop};
pub use supervise::{EXIT_ALREADY_HEALTHY, Supervised, under_systemd};
pub use watch::{Change, Condition, Observation, Watch, observe, observe_address};

/// The port that a gateway listens on by default: 18789.
pub const DEFAULT_PORT: u16 = 18789;
const DEFAULT_HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The right to be the gateway of a state directory, a config file and a port.
///
/// Dropping it releases everything like [`release`](Self::release), without waiting and without
/// reporting errors.
#[derive(Debug)]
#[must_use = "dropping a gateway releases its locks and its port"]
pub struct Gateway {
    // The fields are dropped in this order.
    socket: Option<TcpListener>,
    config_lock: Option<Turn>,
    state_lock: Turn,
    layout: Layout,
    address: SocketAddr,
    owner_id: Uuid,
}

impl Gateway {
    /// Returns a builder for the gateway of a state directory.
    pub fn builder(state_dir: impl Into<std::path::PathBuf>) -> GatewayBuilder {
        GatewayBuilder::new(state_dir.into())
    }

    /// Returns the paths of its files.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the identity of this gateway. It is new at every start. Both lock files contain it
    /// as `ownerId`.
    #[must_use]
    pub fn owner_id(&self) -> Uuid {
        self.owner_id
    }

    /// Takes the socket, bound and listening, in blocking mode; `None` if it was taken before.
    ///
    /// On shutdown drop it before [`release`](Self::release), so that the socket closes before the
    /// locks are released.
    pub fn take_listener(&mut self) -> Option<TcpListener> {
        self.socket.take()
    }

    /// Like [`take_listener`](Self::take_listener), for tokio.
    ///
    /// # Errors
    /// [`Error::Lock`] with [`Io`](crate::Error::Io) if the runtime cannot watch the socket, which
    /// is then closed.
    ///
    /// # Panics
    /// Outside a tokio runtime, and in one that was built without `enable_io`.
    pub fn take_tokio_listener(&mut self) -> Result<Option<tokio::net::TcpListener>> {
        let Some(listener) = self.socket.take() else { return Ok(None) };
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(listener));
        let watched =
            listener.context("watch the socket of the gateway at", self.layout.state_dir());
        Ok(Some(watched?))
    }

    /// Returns how one of the locks was lost, or `None` if both are held.
    ///
    /// A lock is lost when it is revoked or its file is removed. Another gateway may run by then.
    /// The program should end, and leave a new start to its supervisor.
    ///
    /// **Blocking** only for a few quick system calls.
    ///
    /// # Errors
    /// [`Error::Lock`] if a lock file cannot be looked at.
    pub fn lost(&self) -> Result<Option<LostCause>> {
        let config_lock = self.config_lock.as_ref().map_or(Ok(None), Turn::lost);
        match (self.state_lock.lost(), config_lock) {
            // One lost lock is enough, whatever is known of the other.
            (Ok(Some(lost)), _) | (_, Ok(Some(lost))) => Ok(Some(lost)),
            (state_lock, config_lock) => Ok(state_lock.and(config_lock)?),
        }
    }

    /// The locked descriptors, for a child process that is to inherit the locks; see
    /// [`Turn::with_lock_fd`]. `None` after a release.
    ///
    /// No other gateway begins before all who have them are gone, unless this process releases
    /// them. What is left of a gateway that was killed is found by [`remains`].
    #[cfg(unix)]
    pub fn with_lock_fds<T>(&self, use_them: impl FnOnce(&[BorrowedFd<'_>]) -> T) -> Option<T> {
        self.state_lock.with_lock_fd(|state| match &self.config_lock {
            Some(config) => config.with_lock_fd(|config| use_them(&[state, config])),
            None => Some(use_them(&[state])),
        })?
    }

    /// Closes the socket, unless it was taken, and then releases the locks.
    ///
    /// **Cancel safe**: if the future is dropped, the locks are released all the same.
    ///
    /// # Errors
    /// [`Error::Lock`] with [`LockLost`](crate::Error::LockLost) if a lock was lost before.
    /// Everything is released in any case.
    pub async fn release(self) -> Result<()> {
        self.release_as(Mode::Async).await
    }

    /// Like [`release`](Self::release), for threads that may block.
    ///
    /// # Errors
    /// Those of [`release`](Self::release).
    pub fn release_blocking(self) -> Result<()> {
        now_or_never(self.release_as(Mode::Blocking))
    }

    async fn release_as(self, mode: Mode) -> Result<()> {
        drop(self.socket);
        let config = match self.config_lock {
            Some(lock) => lock.release_as(mode).await,
            None => Ok(()),
        };
        self.state_lock.release_as(mode).await?;
        Ok(config?)
    }
}

/// The fields by which a gateway's record differs from that of a session.
fn record(layout: &Layout, address: SocketAddr, owner_id: Uuid) -> Map<String, Value> {
    let start_time = process::own().start_time;
    openclaw::gateway_facts(layout.config(), layout.state_dir(), address, owner_id, start_time)
}
