//! Asking a gateway whether it is well.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

/// A longer answer is not a gateway's.
const MAX_ANSWER: u64 = 64 * 1024;

/// What `/healthz` of an address answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "reason")]
#[non_exhaustive]
pub enum Health {
    /// It answered 2xx with a JSON object that does not say otherwise.
    Healthy,
    /// It answered something else.
    Unhealthy(String),
    /// Somebody accepts connections there, and did not answer in time.
    Silent,
    /// Nobody listens there.
    Refused,
}

impl Health {
    /// Whether a gateway is well there.
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
        }
    }
}

/// The address at which `/healthz` of a gateway is asked for.
pub(super) fn health_url(address: SocketAddr) -> String {
    format!("http://{}/healthz", reachable(address))
}

/// Where to connect to whoever listens on an address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Asks for `/healthz`. Blocking, for at most `limit`.
#[must_use]
pub fn probe(address: SocketAddr, limit: Duration) -> Health {
    // Whatever stands in the environment, this is asked of the address itself.
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .build();
    let answer = config.new_agent().get(health_url(address)).call().and_then(|mut answer| {
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok((answer.status(), body))
    });
    match answer {
        Ok((status, body)) if status.is_success() => judge(&body),
        Ok((status, _)) => Health::Unhealthy(format!("HTTP {}", status.as_u16())),
        Err(ureq::Error::Timeout(_)) => Health::Silent,
        Err(ureq::Error::Io(e)) => unanswered(&e),
        Err(ureq::Error::ConnectionFailed) => Health::Refused,
        Err(e) => Health::Unhealthy(e.to_string()),
    }
}

fn unanswered(e: &io::Error) -> Health {
    match e.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Health::Refused,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Health::Silent,
        _ => Health::Unhealthy(e.to_string()),
    }
}

/// Many a web server answers every path with its page: that is no gateway.
fn judge(body: &[u8]) -> Health {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(serde_json::Value::Object(answer)) if answer.get("ok") == Some(&false.into()) => {
            Health::Unhealthy("it says ok: false".into())
        }
        Ok(serde_json::Value::Object(_)) => Health::Healthy,
        _ => Health::Unhealthy("its answer is no JSON object, so it is no gateway".into()),
    }
}
