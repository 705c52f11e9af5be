//! Asks a gateway whether it is healthy.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::sys;

/// The longest answer that is read, in bytes. A gateway's is shorter.
const MAX_ANSWER: u64 = 64 * 1024;

/// What `/healthz` of an address answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "reason")]
#[non_exhaustive]
pub enum Health {
    /// It answered 2xx with a JSON object that does not say `"ok": false`.
    Healthy,
    /// It answered something else, or the request failed, for this reason.
    Unhealthy(String),
    /// Connections are accepted there, and no answer came in time.
    Silent,
    /// Nobody listens there.
    Refused,
    /// It could not be asked, for this reason. That says nothing about it.
    Unknown(String),
}

impl Health {
    /// Whether a healthy gateway answered.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Unhealthy(reason) => write!(f, "unhealthy ({reason})"),
            Self::Silent => f.write_str("silent (it accepts connections and does not answer)"),
            Self::Refused => f.write_str("refused (nobody listens)"),
            Self::Unknown(reason) => write!(f, "unknown ({reason})"),
        }
    }
}

/// The URL of the health check of a gateway.
pub(super) fn health_url(address: SocketAddr) -> String {
    format!("http://{}/healthz", reachable(address))
}

/// The address to connect to in order to reach a process that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Requests `/healthz` from an address.
///
/// **Blocking**, for at most `limit`.
#[must_use]
pub fn probe(address: SocketAddr, limit: Duration) -> Health {
    ask(address, limit).health
}

/// What `/healthz` answered, and what the gateway said of itself.
pub(super) struct Answer {
    pub(super) health: Health,
    pub(super) state_dir: Option<String>,
}

impl From<Health> for Answer {
    fn from(health: Health) -> Self {
        Self { health, state_dir: None }
    }
}

/// Requests `/healthz` from an address. Blocks for at most `limit`.
pub(super) fn ask(address: SocketAddr, limit: Duration) -> Answer {
    // The request goes to the address itself, whatever proxy the environment names.
    let config = Agent::config_builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .build();
    let agent = Agent::with_parts(config, DefaultConnector::default(), Known(reachable(address)));
    let answer = agent.get(health_url(address)).call().and_then(|mut answer| {
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok((answer.status(), body))
    });
    match answer {
        Ok((status, body)) if status.is_success() => judge(&body),
        Ok((status, _)) => Health::Unhealthy(format!("HTTP {}", status.as_u16())).into(),
        Err(ureq::Error::Timeout(_)) => Health::Silent.into(),
        Err(ureq::Error::Io(e)) => unanswered(&e).into(),
        Err(ureq::Error::ConnectionFailed) => Health::Refused.into(),
        Err(e) => Health::Unhealthy(e.to_string()).into(),
    }
}

type Found = std::result::Result<ResolvedSocketAddrs, ureq::Error>;

/// An address that needs no resolver. That of ureq starts a thread, and panics where it may not.
#[derive(Debug)]
struct Known(SocketAddr);

impl Resolver for Known {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Found {
        let mut found = self.empty();
        found.push(self.0);
        Ok(found)
    }
}

fn unanswered(e: &io::Error) -> Health {
    match e.kind() {
        _ if sys::is_own_failure(e) => Health::Unknown(e.to_string()),
        io::ErrorKind::ConnectionRefused => Health::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Health::Unknown(e.to_string())
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Health::Silent,
        _ => Health::Unhealthy(e.to_string()),
    }
}

/// Some web servers answer every path with a page. They are no gateways.
fn judge(body: &[u8]) -> Answer {
    let Ok(serde_json::Value::Object(answer)) = serde_json::from_slice(body) else {
        let reason = "its answer is not a JSON object, so it is no gateway";
        return Health::Unhealthy(reason.into()).into();
    };
    let health = if answer.get("ok") == Some(&false.into()) {
        Health::Unhealthy("it says ok: false".into())
    } else {
        Health::Healthy
    };
    let state_dir = answer.get("stateDir").and_then(|dir| dir.as_str()).map(str::to_owned);
    Answer { health, state_dir }
}
