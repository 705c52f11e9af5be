//! The gateways that are probed.

use turnlock::gateway;
use ureq::http::Uri;

use super::Args;
use crate::failure::Failure;
use crate::gateway::config::{self, Config};

/// A gateway that is probed.
pub(super) struct Target {
    /// Which one it is: `local`, `remote` or `url`.
    pub(super) name: &'static str,
    pub(super) url: Uri,
    pub(super) token: Option<String>,
}

/// Parses a URL of a gateway.
pub(super) fn url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|e| format!("{e}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("ws" | "wss"), Some(_)) => Ok(url),
        _ => Err("it must begin with ws:// or wss://".to_owned()),
    }
}

impl Target {
    /// Those that are named; else the local one, and the remote one of the config.
    pub(super) fn all(args: &Args) -> Result<Vec<Self>, Failure> {
        let token = |of_config: Option<String>| {
            args.token.clone().or(of_config).filter(|token| !token.is_empty())
        };
        if !args.urls.is_empty() {
            let target = |url: &Uri| Self { name: "url", url: url.clone(), token: token(None) };
            return Ok(args.urls.iter().map(target).collect());
        }
        let told = gateway::status(&args.which.builder(args.port)?, args.port)?;
        let config = Config::read(&told.config).unwrap_or_else(|failure| {
            failure.and("; its token and its remote gateway are not known").tell();
            Config::default()
        });
        let own = config.gateway.unwrap_or_default();
        let address = format!("ws://{}", told.address);
        let local = url(&address).map_err(|e| Failure::new(format!("{address}: {e}")))?;
        let of_auth = own.auth.unwrap_or_default().token;
        let mut targets = vec![Self { name: "local", url: local, token: token(of_auth) }];
        let remote = own.remote.unwrap_or_default();
        if let Some(text) = remote.url {
            let url = url(&text).map_err(|e| {
                let reason = format!("gateway.remote.url {text}: {e}");
                config::unreadable(&told.config, &reason)
            })?;
            targets.push(Self { name: "remote", url, token: token(remote.token) });
        }
        Ok(targets)
    }

    /// Whether it is spoken to through TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.url.scheme_str() == Some("wss")
    }

    pub(super) fn host(&self) -> &str {
        let host = self.url.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_u16().unwrap_or(if self.is_secure() { 443 } else { 80 })
    }
}
