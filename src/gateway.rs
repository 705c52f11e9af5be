//! One gateway per state directory, config file and port.
//!
//! Two gateways on one state directory answer twice and fight over its sessions. A gateway therefore takes three layers, in this
//! order and before it touches anything else:
//!
//! 1. the *state lock*, `gateway.state.lock` inside the state directory: whatever name, link or mount leads to the directory, and
//!    whichever user comes, it is one lock. Every gateway takes it, also where several share a config.
//! 2. the *config lock*, `gateway.<8 hex>.lock` in `<state dir>/tmp/openclaw-<uid>`, keyed by the SHA-256 of the canonical config
//!    path. It is the file that OpenClaw's own gateways lock, with a record that they understand.
//! 3. the *socket*, bound exclusively.
//!
//! Both locks are lock files like a session's: the kernel's lock is the truth about life and death, so that a gateway killed in
//! whatever way leaves nothing that delays the next one, also when that has the same process id in a new container. Only
//! the records of programs that take no kernel lock are judged by process id, start time and command line.
//!
//! # Limitations
//!
//! A socket is exclusive within its network namespace, a kernel lock within its kernel. Gateways on *different machines* that share
//! a state directory over a network filesystem are told apart only as far as that filesystem keeps locks between hosts.
//!
//! ```no_run
//! # fn main() -> turnlock::gateway::Result<()> {
//! let mut gateway = turnlock::gateway::Gateway::builder("/var/lib/agent").port(18789).acquire_blocking()?;
//! let listener = gateway.take_listener();
//! // … serve until told to end …
//! drop(listener);
//! gateway.release_blocking()?;
//! # Ok(()) }
//! ```

mod builder;
mod doctor;
mod error;
mod health;
mod layout;
mod listener;
mod owner;
mod refused;
mod remains;
mod report;
mod socket;
mod stop;
mod supervise;
mod watch;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{Context, LostCause};
use crate::mode::{Mode, now_or_never};
use crate::session::Turn;
use crate::sys::BorrowedFd;

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
pub use stop::{Stopped, stop};
pub use supervise::{EXIT_ALREADY_HEALTHY, Supervised, under_systemd};
pub use watch::{Change, Condition, Observation, Watch, observe, observe_address};

/// Where a gateway listens unless told otherwise: port 18789.
pub const DEFAULT_PORT: u16 = 18789;
const DEFAULT_HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The right to be the gateway of a state directory, a config file and a port.
///
/// Dropped, it lets go like [`release`](Self::release), without waiting.
#[derive(Debug)]
#[must_use = "a gateway that is dropped lets its locks and its port go"]
pub struct Gateway {
    // In this order they are let go.
    socket: Option<TcpListener>,
    config_lock: Option<Turn>,
    state_lock: Turn,
    layout: Layout,
    address: SocketAddr,
    owner_id: Uuid,
}

impl Gateway {
    /// Describes the gateway of a state directory; see [`GatewayBuilder`].
    pub fn builder(state_dir: impl Into<std::path::PathBuf>) -> GatewayBuilder {
        GatewayBuilder::new(state_dir.into())
    }

    /// Where its files are.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// This gateway's identity: new at every start, and written as `ownerId` into both lock files.
    #[must_use]
    pub fn owner_id(&self) -> Uuid {
        self.owner_id
    }

    /// The listener, bound and listening, in blocking mode; once. On shutdown drop it before [`release`](Self::release):
    /// first the socket closes, then the locks go.
    pub fn take_listener(&mut self) -> Option<TcpListener> {
        self.socket.take()
    }

    /// [`take_listener`](Self::take_listener) for tokio.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the runtime cannot watch it.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one built without `enable_io`.
    pub fn take_tokio_listener(&mut self) -> Result<Option<tokio::net::TcpListener>> {
        let Some(listener) = self.socket.take() else { return Ok(None) };
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(listener));
        let watched =
            listener.context("watch the socket of the gateway at", self.layout.state_dir());
        Ok(Some(watched?))
    }

    /// Whether one of the locks has been lost: revoked, or its file removed by somebody. Another gateway may run by now:
    /// end, and let the supervisor start anew. A few quick system calls; never waits.
    ///
    /// # Errors
    /// If a lock file cannot be looked at.
    pub fn lost(&self) -> Result<Option<LostCause>> {
        let config_lock = self.config_lock.as_ref().map_or(Ok(None), Turn::lost);
        match (self.state_lock.lost(), config_lock) {
            // One that is lost is enough, whatever is known of the other.
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

    /// Closes the socket, unless it was taken, then lets the locks go.
    ///
    /// **Cancel safe**: dropped before it is done, they go all the same.
    ///
    /// # Errors
    /// [`Error::LockLost`](crate::Error::LockLost) if a lock had been lost before; all is let go in every case.
    pub async fn release(self) -> Result<()> {
        self.release_as(Mode::Async).await
    }

    /// [`release`](Self::release) for threads that may block.
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

/// What OpenClaw's gateways write into their record, and the address, beside what every record of ours has.
fn record(layout: &Layout, address: SocketAddr, owner_id: Uuid) -> Map<String, Value> {
    let mut facts = Map::new();
    facts.insert("configPath".into(), layout.config().to_string_lossy().into());
    facts.insert("stateDir".into(), layout.state_dir().to_string_lossy().into());
    facts.insert("ownerId".into(), owner_id.to_string().into());
    facts.insert("role".into(), "gateway".into());
    facts.insert("address".into(), address.ip().to_string().into());
    if address.port() != 0 {
        facts.insert("port".into(), address.port().into());
    }
    if let Some(start_time) = crate::sys::process::own().start_time {
        facts.insert("startTime".into(), start_time.into());
    }
    facts
}
