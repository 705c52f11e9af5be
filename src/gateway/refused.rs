//! Why a gateway is refused, and what to do about it. The wording follows OpenClaw's messages.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{Health, Listener};
use crate::error::Holder;

/// Why a gateway may not start, or may not be ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Another gateway has the state directory.
    #[error(
        "gateway already running ({}); lock timeout after {}ms: it has the state directory {}; {}",
        ByPid(holder.as_deref()), waited.as_millis(), state_dir.display(),
        advice
    )]
    StateLocked {
        /// The state directory.
        state_dir: PathBuf,
        /// How long this start was allowed to wait.
        waited: Duration,
        /// The holder, as far as it can be told.
        holder: Option<Box<Holder>>,
        /// Whether more than the record says that this process holds it. A record is only text.
        verified: bool,
        /// What to do about it.
        advice: String,
    },

    /// Another gateway has the config file, with another state directory.
    #[error(
        "gateway already running ({}); lock timeout after {}ms: it has the config {}; {}; \
         several gateways on one config need multi-gateway mode, and a state directory and a port \
         each",
        ByPid(holder.as_deref()), waited.as_millis(), config.display(),
        advice
    )]
    ConfigLocked {
        /// The config file.
        config: PathBuf,
        /// How long this start was allowed to wait.
        waited: Duration,
        /// The holder, as far as it can be told.
        holder: Option<Box<Holder>>,
        /// Whether more than the record says that this process holds it. A record is only text.
        verified: bool,
        /// What to do about it.
        advice: String,
    },

    /// Another process listens on the port. It has neither lock of this gateway, since both were
    /// granted.
    #[error(
        "another gateway instance is already listening on {url}{}; \
         end it{}, or choose another port (base ports at least 120 apart)",
        ByListener(listener.as_deref()), Kill(listener.as_deref())
    )]
    PortTaken {
        /// The address, as `ws://127.0.0.1:18789`.
        url: String,
        /// The listener, as far as it can be seen.
        listener: Option<Box<Listener>>,
    },

    /// The socket cannot be bound, for another reason than that the port is taken.
    #[error("failed to bind gateway socket on {url}: {source}{}", bind_remedy(source))]
    Bind {
        /// The address, as `ws://127.0.0.1:18789`.
        url: String,
        /// The system's answer.
        source: io::Error,
    },

    /// A supervised start met another gateway, which never became healthy.
    #[error(
        "{cause}; and what is at {url} did not become healthy within {}s: {health}",
        waited.as_secs()
    )]
    NeverHealthy {
        /// Why this gateway could not start.
        cause: Box<super::Error>,
        /// The address, as `http://127.0.0.1:18789/healthz`.
        url: String,
        /// How long it was probed.
        waited: Duration,
        /// The last answer.
        health: Health,
    },

    /// A supervised start met a program on the port that is not the gateway of this state directory
    /// and config. However healthy it is, this gateway does not run.
    #[error(
        "{cause}; what answers at {url} is not this gateway: {why}{}",
        Unless(listener.as_deref(), cause)
    )]
    Stranger {
        /// Why this gateway could not start.
        cause: Box<super::Error>,
        /// The address, as `http://127.0.0.1:18789/healthz`.
        url: String,
        /// What tells it from this gateway.
        why: &'static str,
        /// The listener, as far as it can be seen.
        listener: Option<Box<Listener>>,
    },

    /// The named process is not the verified owner of this gateway's locks. Nothing was done to it.
    #[error("process {pid} is not ended: {reason}; {advice}")]
    NotTheOwner {
        /// The id of the named process.
        pid: i32,
        /// Why it is not the owner.
        reason: &'static str,
        /// How to see who is.
        advice: String,
    },

    /// No process was named, and there is not exactly one verified owner. Nothing was done.
    #[error("nothing is ended: {reason}; {advice}")]
    NoOwner {
        /// Why no owner was found.
        reason: String,
        /// How to see who has the locks and who listens.
        advice: String,
    },

    /// The owner was ended, and another process keeps the port.
    #[error(
        "process {pid} has been ended, but {url} is still taken{}; end that one too{}",
        ByListener(listener.as_deref()), Kill(listener.as_deref())
    )]
    PortNotFreed {
        /// The id of the process that was ended.
        pid: i32,
        /// The address, as `ws://127.0.0.1:18789`.
        url: String,
        /// The listener, as far as it can be seen.
        listener: Option<Box<Listener>>,
    },
}

impl Refused {
    /// Whether the cause is another gateway, or another process on the port, which may be gone
    /// later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::StateLocked { .. }
                | Self::ConfigLocked { .. }
                | Self::PortTaken { .. }
                | Self::NeverHealthy { .. }
                | Self::Stranger { .. }
        )
    }
}

struct ByPid<'a>(Option<&'a Holder>);

impl fmt::Display for ByPid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.and_then(|holder| holder.pid) {
            Some(pid) => write!(f, "pid {pid}"),
            None => f.write_str("pid unknown"),
        }
    }
}

struct ByListener<'a>(Option<&'a Listener>);

impl fmt::Display for ByListener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |listener| write!(f, " ({listener})"))
    }
}

/// How to end the listener, if it can be seen.
pub(super) struct Kill<'a>(pub(super) Option<&'a Listener>);

impl fmt::Display for Kill<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pid = self.0.and_then(|listener| listener.pids.first());
        pid.map_or(Ok(()), |pid| write!(f, " (`kill {pid}`)"))
    }
}

/// The listener, unless the cause names it already.
struct Unless<'a>(Option<&'a Listener>, &'a super::Error);

impl fmt::Display for Unless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            super::Error::Refused(Refused::PortTaken { .. }) => Ok(()),
            _ => ByListener(self.0).fmt(f),
        }
    }
}

fn bind_remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a special privilege, choose a higher one"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address, see `ip address`",
        _ => "",
    }
}
