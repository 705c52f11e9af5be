//! A start under a supervisor, which restarts whatever fails. If another gateway is healthy, the
//! start counts as a success, not as a failure.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::health::health_url;
use super::report::PROBE;
use super::same::{Met, meet};
use super::{Error, Result};
use super::{Gateway, GatewayBuilder, Refused};
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
    /// If a layer is taken, it probes the other gateway at once, and tries again, until that one is
    /// healthy or gone, or [`healthy_within`](Self::healthy_within) has passed, or the
    /// [timeout](Self::acquire_timeout) if that is longer.
    ///
    /// The other gateway is the one of this very state directory and config, by the record of its
    /// lock and, where `/healthz` tells it, by its state directory. Another program on the port is
    /// an error once the timeout has passed, however healthy it is.
    ///
    /// **Cancel safe** like [`acquire`](Self::acquire). Files and probes are handled on tokio's
    /// blocking pool.
    ///
    /// # Errors
    /// [`Error::Refused`] with [`NeverHealthy`](Refused::NeverHealthy) if the other gateway never
    /// became healthy, with [`Stranger`](Refused::Stranger) if another program is in its place;
    /// otherwise those of [`acquire`](Self::acquire).
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
        // One that is healthy is seen at once, and not after the timeout.
        let mut attempt = self.clone().acquire_timeout(Duration::ZERO);
        let began = Instant::now();
        let left = |limit: Duration| match deadline_after(Some(limit)) {
            Some(_) => limit.saturating_sub(began.elapsed()),
            None => Duration::MAX,
        };
        let bound = self.healthy_within.max(self.timeout);
        loop {
            let cause = match attempt.acquire_as(mode).await {
                Ok(gateway) => return Ok(Supervised::Started(gateway)),
                Err(error) if is_taken(&error) => error,
                Err(error) => return Err(error),
            };
            let asked = self.clone();
            let limit = left(bound).clamp(SHORTEST, PROBE);
            let met = mode.run(move || meet(&asked, limit)).await??;
            if met.stranger.is_none() && met.health.is_healthy() {
                return Ok(Supervised::AlreadyHealthy(met.address));
            }
            let is_stranger = met.stranger.is_some() && met.health.is_healthy();
            if left(if is_stranger { self.timeout } else { bound }) <= PAUSE {
                return Err(Error::Refused(self.met(met, cause)));
            }
            // The other one may be starting or ending.
            attempt = self.clone().acquire_timeout(PAUSE);
        }
    }

    /// Why this gateway does not run, and another one does not either.
    fn met(&self, met: Met, cause: Error) -> Refused {
        let (cause, url) = (Box::new(cause), health_url(met.address));
        match met.stranger {
            Some(why) if met.health.is_healthy() => {
                Refused::Stranger { cause, url, why, listener: met.listener.map(Box::new) }
            }
            _ => {
                let waited = self.healthy_within;
                Refused::NeverHealthy { cause, url, waited, health: met.health }
            }
        }
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
