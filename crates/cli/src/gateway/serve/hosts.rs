//! The names by which clients may address the gateway.
//!
//! The owner of a foreign site can have its name lead to this machine. To the browser of whoever
//! visits the site, the gateway is then a part of the site, and its answers are for the site to
//! read (DNS rebinding). The browser still sends the site's name as `Host`.

use std::net::IpAddr;

use hyper::Request;
use hyper::header::HOST;

/// The names that are admitted beside addresses, `localhost` and names without a dot, which no
/// public site has.
pub(in crate::gateway) struct Hosts(Vec<String>);

impl Hosts {
    pub(in crate::gateway) fn new(allowed: &[String]) -> Self {
        Self(allowed.iter().map(|name| plain(name)).collect())
    }

    /// Whether a request is addressed to this gateway. Browsers always name a host.
    pub(super) fn admit<T>(&self, request: &Request<T>) -> bool {
        let named = request.headers().get_all(HOST).iter();
        named
            .map(|host| host.to_str().ok())
            .chain(request.uri().authority().map(|a| Some(a.as_str())))
            .all(|host| host.is_some_and(|host| self.admits(host)))
    }

    fn admits(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else { return false };
        let name = plain(name);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        name.parse::<IpAddr>().is_ok()
            || (!name.is_empty() && name.chars().all(is_name))
            || name.strip_suffix(".localhost").is_some_and(|own| !own.is_empty())
            || self.0.contains(&name)
    }
}

/// In small letters, and without the dot of the root.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The name or address in `NAME`, `NAME:PORT`, `[IPv6]` and `[IPv6]:PORT`.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(name)
}
