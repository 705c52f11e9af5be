//! The parts of OpenClaw's config that tell what a gateway claims. The config is JSON5.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use crate::failure::Failure;

#[derive(Deserialize, Default)]
pub(super) struct Config {
    pub(super) gateway: Option<Gateway>,
    pub(super) agents: Option<Agents>,
    pub(super) browser: Option<Browser>,
}

#[derive(Deserialize, Default)]
pub(super) struct Gateway {
    pub(super) port: Option<u16>,
}

#[derive(Deserialize, Default)]
pub(super) struct Agents {
    pub(super) defaults: Option<Agent>,
    #[serde(default)]
    pub(super) list: Vec<Agent>,
}

#[derive(Deserialize, Default)]
pub(super) struct Agent {
    pub(super) workspace: Option<String>,
}

#[derive(Deserialize, Default)]
pub(super) struct Browser {
    #[serde(default)]
    pub(super) profiles: BTreeMap<String, BrowserProfile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BrowserProfile {
    pub(super) cdp_port: Option<u16>,
}

impl Config {
    /// Reads the config. A state directory without one has all the defaults.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(|e| unreadable(path, &e))?,
        };
        json5::from_str(&text).map_err(|e| unreadable(path, &e))
    }
}

/// The config at `path` cannot be used, for this reason.
pub(super) fn unreadable(path: &Path, reason: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("cannot read the config {}: {reason}", path.display()))
}
