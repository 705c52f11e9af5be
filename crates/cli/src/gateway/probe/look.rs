//! The four facts, found out one after the other.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde::Serialize;
use turnlock::gateway::{self, Health};

use super::rpc::{self, Rpc};
use super::target::Target;

/// The longest answer of `/healthz` that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// What was found out about a gateway.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts {
    pub(super) listens: bool,
    /// Why it is not known to listen.
    pub(super) not_listening: Option<String>,
    pub(super) upgrades: bool,
    /// Why it did not upgrade to a WebSocket.
    pub(super) not_upgraded: Option<String>,
    pub(super) health: Health,
    pub(super) rpc: Rpc,
}

/// Looks at a gateway, for as long as `limit` for each fact.
pub(super) fn at(target: &Target, limit: Duration) -> Facts {
    // Closed at once: a server may talk to one client at a time.
    let address = match connect(target, limit) {
        Ok((address, _)) => address,
        Err(error) => return nobody(&error),
    };
    let health = match target.is_secure() {
        false => gateway::probe(address, limit),
        true => health_through_tls(target, limit),
    };
    let until = Instant::now() + limit;
    let asked = connect(target, limit)
        .map_err(|e| e.to_string())
        .and_then(|(_, stream)| rpc::ask(target, stream, until));
    let (upgraded, rpc) = match asked {
        Ok(rpc) => (Ok(()), rpc),
        Err(reason) => (Err(reason), Rpc::NotAsked),
    };
    Facts {
        listens: true,
        not_listening: None,
        upgrades: upgraded.is_ok(),
        not_upgraded: upgraded.err(),
        health,
        rpc,
    }
}

/// The facts about one to which there is no connection.
fn nobody(error: &io::Error) -> Facts {
    let health = match error.kind() {
        ErrorKind::ConnectionRefused => Health::Refused,
        _ => Health::Unknown(error.to_string()),
    };
    Facts {
        listens: false,
        not_listening: Some(error.to_string()),
        upgrades: false,
        not_upgraded: None,
        health,
        rpc: Rpc::NotAsked,
    }
}

/// Connects to one of the addresses of the target's name.
fn connect(target: &Target, limit: Duration) -> io::Result<(SocketAddr, TcpStream)> {
    let mut failed = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (target.host(), target.port()).to_socket_addrs()? {
        let address = SocketAddr::new(reachable(address.ip()), address.port());
        match TcpStream::connect_timeout(&address, limit.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok((address, stream)),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// One that listens on all addresses is reached at that of this machine.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn health_through_tls(target: &Target, limit: Duration) -> Health {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .max_redirects(0)
        .build();
    let authority = target.url.authority().map_or_else(String::new, ToString::to_string);
    let url = format!("https://{authority}/healthz");
    let answer = ureq::Agent::from(config).get(url).call().and_then(|mut answer| {
        let body = answer.body_mut().with_config().limit(LONGEST).read_to_vec()?;
        Ok((answer.status(), body))
    });
    match answer {
        Ok((status, body)) if status.is_success() => judge(&body),
        Ok((status, _)) => Health::Unhealthy(format!("HTTP {}", status.as_u16())),
        Err(ureq::Error::Timeout(_)) => Health::Silent,
        Err(error) => Health::Unhealthy(error.to_string()),
    }
}

fn judge(body: &[u8]) -> Health {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(answer) if answer.get("ok") == Some(&false.into()) => {
            Health::Unhealthy("it says ok: false".into())
        }
        Ok(answer) if answer.is_object() => Health::Healthy,
        _ => Health::Unhealthy("its answer is not a JSON object, so it is no gateway".into()),
    }
}
