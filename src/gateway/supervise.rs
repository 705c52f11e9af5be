//! A start under a supervisor, which restarts whatever fails. If another gateway is healthy, the
//! start counts as a success, not as a failure.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::health::health_url;
use super::report::{PROBE, find_address};
use super::{Error, Result};
use super::{Gateway, GatewayBuilder, Health, LockFacts, Refused, probe};
use crate::mode::{Mode, now_or_never};
use crate::rules::deadline_after;

/// The exit code after which a systemd unit with `RestartPreventExitStatus=78` does not restart.
pub const EXIT_ALREADY_HEALTHY: u8 = 78;

/// The pause between two probes of the other gateway.
const PAUSE: Duration = Duration::from_millis(500);
/// A shorter probe would prove nothing.
const SHORTEST: Duration = Duration::from_millis(100);

/// How a supervised start ended.
#[derive(Debug)]
#[must_use = "dropping a started gateway releases it"]
#[non_exhaustive]
pub enum Supervised {
    /// This process is the gateway.
    Started(Gateway),
    /// Another process is the gateway, and is healthy at this address. End successfully; see
    /// [`EXIT_ALREADY_HEALTHY`].
    AlreadyHealthy(SocketAddr),
}

/// Whether systemd started this process, judged by the environment variables `INVOCATION_ID` and
/// `NOTIFY_SOCKET`.
#[must_use]
pub fn under_systemd() -> bool {
    ["INVOCATION_ID", "NOTIFY_SOCKET"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

impl GatewayBuilder {
    /// Takes the three layers, unless another gateway has them and is healthy.
    ///
    /// If a layer is taken, it probes the other gateway and tries again, until that one is healthy
    /// or gone, or [`healthy_within`](Self::healthy_within) has passed.
    ///
    /// **Cancel safe** like [`acquire`](Self::acquire). Files and probes are handled on tokio's
    /// blocking pool.
    ///
    /// # Errors
    /// [`Error::Refused`] with [`NeverHealthy`](Refused::NeverHealthy) if the other gateway never
    /// became healthy; otherwise those of [`acquire`](Self::acquire).
    pub async fn acquire_supervised(self) -> Result<Supervised> {
        self.supervised_as(Mode::Async).await
    }

    /// Like [`acquire_supervised`](Self::acquire_supervised), for threads that may block.
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
            // The other gateway may be starting or ending.
            attempt = self.clone().acquire_timeout(PAUSE);
        }
    }

    /// Probes the other gateway: where its record says if it lives, else where this gateway would
    /// listen.
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
