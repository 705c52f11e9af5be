//! Starting under a supervisor, which starts again whatever fails: where another gateway is well, that is success and no failure.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::health::health_url;
use super::report::{PROBE, find_address};
use super::{Error, Result};
use super::{Gateway, GatewayBuilder, Health, LockFacts, Refused, probe};
use crate::mode::{Mode, now_or_never};
use crate::rules::deadline_after;

/// The exit code by which a systemd unit with `RestartPreventExitStatus=78` knows not to start again.
pub const EXIT_ALREADY_HEALTHY: u8 = 78;

/// How long the other one gets between two probes.
const PAUSE: Duration = Duration::from_millis(500);
/// A shorter probe tells nothing.
const SHORTEST: Duration = Duration::from_millis(100);

/// How a supervised start ended.
#[derive(Debug)]
#[must_use = "it may be the gateway"]
#[non_exhaustive]
pub enum Supervised {
    /// This process is the gateway.
    Started(Gateway),
    /// Another one is, and it is well at this address: end successfully, see [`EXIT_ALREADY_HEALTHY`].
    AlreadyHealthy(SocketAddr),
}

/// Whether systemd started this process, as far as its environment tells.
#[must_use]
pub fn under_systemd() -> bool {
    ["INVOCATION_ID", "NOTIFY_SOCKET"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

impl GatewayBuilder {
    /// Takes the three layers; if another one has them, asks whether that one is well, and goes on trying until it is, or is
    /// gone, or [`healthy_within`](Self::healthy_within) has passed.
    ///
    /// **Cancel safe** and **blocking** as [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// [`Refused::NeverHealthy`] if the other one never became healthy; otherwise those of [`acquire`](Self::acquire).
    pub async fn acquire_supervised(self) -> Result<Supervised> {
        self.supervised_as(Mode::Async).await
    }

    /// [`acquire_supervised`](Self::acquire_supervised) for threads that may block.
    ///
    /// # Errors
    /// Those of [`acquire_supervised`](Self::acquire_supervised).
    pub fn acquire_supervised_blocking(self) -> Result<Supervised> {
        now_or_never(self.supervised_as(Mode::Blocking))
    }

    async fn supervised_as(self, mode: Mode) -> Result<Supervised> {
        let mut attempt = self.clone();
        let mut until = None;
        loop {
            let cause = match attempt.acquire_as(mode).await {
                Ok(gateway) => return Ok(Supervised::Started(gateway)),
                Err(error) if is_taken(&error) => error,
                Err(error) => return Err(error),
            };
            let until = *until.get_or_insert_with(|| deadline_after(Some(self.healthy_within)));
            let left = || {
                until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
            };
            let asked = self.clone();
            let limit = left().clamp(SHORTEST, PROBE);
            let (address, health) = mode.run(move || asked.ask(limit)).await??;
            if health.is_healthy() {
                return Ok(Supervised::AlreadyHealthy(address));
            }
            if left() <= PAUSE {
                return Err(Error::Refused(Refused::NeverHealthy {
                    cause: Box::new(cause),
                    url: health_url(address),
                    waited: self.healthy_within,
                    health,
                }));
            }
            // The other one may be starting, or ending.
            attempt = self.clone().acquire_timeout(PAUSE);
        }
    }

    /// Asks the one in the way, where it says that it listens if it lives, else where this gateway would listen.
    fn ask(&self, limit: Duration) -> Result<(SocketAddr, Health)> {
        let layout = self.layout(false)?;
        let locks = [LockFacts::of(layout.state_lock()), LockFacts::of(layout.config_lock())];
        let address = find_address((None, None), locks.iter().flatten(), self.address());
        Ok((address, probe(address, limit)))
    }
}

fn is_taken(error: &Error) -> bool {
    matches!(
        error,
        Error::Refused(
            Refused::StateLocked { .. } | Refused::ConfigLocked { .. } | Refused::PortTaken { .. }
        )
    )
}
