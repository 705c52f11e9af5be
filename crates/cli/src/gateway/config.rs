//! The parts of OpenClaw's config that tell what a gateway claims. The config is JSON5.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Deserializer};
use turnlock::gateway::GatewayBuilder;

use crate::failure::Failure;

#[derive(Deserialize, Default)]
pub(in crate::gateway) struct Config {
    pub(in crate::gateway) gateway: Option<Gateway>,
    pub(in crate::gateway) agents: Option<Agents>,
    pub(in crate::gateway) browser: Option<Browser>,
}

#[derive(Deserialize, Default)]
pub(in crate::gateway) struct Gateway {
    #[serde(default, deserialize_with = "port")]
    pub(in crate::gateway) port: Option<u16>,
    pub(in crate::gateway) auth: Option<Auth>,
    pub(in crate::gateway) remote: Option<Remote>,
}

#[derive(Deserialize, Default)]
pub(in crate::gateway) struct Auth {
    #[serde(default, deserialize_with = "plain_text")]
    pub(in crate::gateway) token: Option<String>,
}

#[derive(Deserialize, Default)]
pub(in crate::gateway) struct Remote {
    #[serde(default, deserialize_with = "plain_text")]
    pub(in crate::gateway) url: Option<String>,
    #[serde(default, deserialize_with = "plain_text")]
    pub(in crate::gateway) token: Option<String>,
}

#[derive(Deserialize, Default)]
pub(in crate::gateway) struct Agents {
    pub(in crate::gateway) defaults: Option<Agent>,
    #[serde(default)]
    pub(in crate::gateway) list: Vec<Agent>,
}

#[derive(Deserialize, Default)]
pub(in crate::gateway) struct Agent {
    pub(in crate::gateway) workspace: Option<String>,
}

#[derive(Deserialize, Default)]
pub(in crate::gateway) struct Browser {
    #[serde(default)]
    pub(in crate::gateway) profiles: BTreeMap<String, BrowserProfile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::gateway) struct BrowserProfile {
    #[serde(default, deserialize_with = "port")]
    pub(in crate::gateway) cdp_port: Option<u16>,
}

/// A port, however the number is written: JSON5 has one kind of number.
fn port<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    let Some(number) = Option::<f64>::deserialize(from)? else { return Ok(None) };
    let is_port = number.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&number);
    // In range and whole, so that the cast loses nothing.
    let port = is_port.then_some(number as u16);
    port.map(Some).ok_or_else(|| serde::de::Error::custom(format!("{number} is no port")))
}

/// A text that means itself: no variable, no reference to a secret, no empty one.
fn plain_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    let text = value.as_str().filter(|text| !text.is_empty() && !text.contains("${"));
    Ok(text.map(str::to_owned))
}

/// A config is read only up to this many bytes …
const MAX_BYTES: u64 = 4 << 20;
/// … and only if it is nested no deeper than this: the parser would run out of stack.
const MAX_DEPTH: usize = 128;

impl Config {
    /// Reads the config. A state directory without one has all the defaults.
    pub(in crate::gateway) fn read(path: &Path) -> Result<Self, Failure> {
        let text = match read(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(|e| unreadable(path, &e))?,
        };
        if depth(&text) > MAX_DEPTH {
            return Err(unreadable(path, &format!("nested deeper than {MAX_DEPTH} levels")));
        }
        json5::from_str(&text).map_err(|e| unreadable(path, &e))
    }
}

/// The config of a gateway that names no other.
pub(super) fn in_state_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("openclaw.json")
}

/// The gateway of a state directory, with the port in its config.
pub(crate) fn of_state_dir(state_dir: &Path) -> GatewayBuilder {
    let builder = turnlock::gateway::Gateway::builder(state_dir);
    match port_in(&in_state_dir(state_dir)) {
        Ok(Some(port)) => builder.port(port),
        _ => builder,
    }
}

/// The port of the gateway in a config. If that cannot be read, says so.
pub(super) fn told_port(config: &Path) -> Option<u16> {
    port_in(config).unwrap_or_else(|failure| {
        failure.and("; its gateway.port is not known").tell();
        None
    })
}

fn port_in(config: &Path) -> Result<Option<u16>, Failure> {
    let gateway = Config::read(config)?.gateway.unwrap_or_default();
    Ok(gateway.port.filter(|port| *port != 0))
}

/// The text of a regular file of reasonable size. Waits for no pipe.
fn read(path: &Path) -> io::Result<String> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// How deep objects and arrays are nested in JSON5, strings and comments left out.
fn depth(text: &str) -> usize {
    let mut bytes = text.bytes().peekable();
    let (mut depth, mut deepest) = (0_usize, 0);
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' | b'\'' => {
                while let Some(next) = bytes.next() {
                    match next {
                        b'\\' => drop(bytes.next()),
                        _ if next == byte => break,
                        _ => {}
                    }
                }
            }
            b'/' if bytes.peek() == Some(&b'/') => skip_line(&mut bytes),
            b'/' if bytes.peek() == Some(&b'*') => skip_comment(&mut bytes),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Skips a comment up to the end of its line. Those of JSON5 are LF, CR, U+2028
/// and U+2029.
fn skip_line(bytes: &mut impl Iterator<Item = u8>) {
    let mut last = [0; 3];
    for byte in bytes {
        last = [last[1], last[2], byte];
        if matches!(byte, b'\n' | b'\r') || matches!(last, [0xe2, 0x80, 0xa8 | 0xa9]) {
            return;
        }
    }
}

/// Skips a comment up to its end.
fn skip_comment(bytes: &mut impl Iterator<Item = u8>) {
    // The asterisk that begins it does not end it.
    bytes.next();
    let mut last = 0;
    for byte in bytes {
        if (last, byte) == (b'*', b'/') {
            return;
        }
        last = byte;
    }
}

/// The config at `path` cannot be used, for this reason.
pub(in crate::gateway) fn unreadable(path: &Path, reason: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("cannot read the config {}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_and_comments_do_not_nest_and_all_others_do() {
        for (text, expected) in [
            ("{ a: [1, [2]] }", 3),
            ("{ a: '[[[', b: \"{{{\\\"[[\" }", 1),
            ("{ a: '\\'[[[' } // [[[", 1),
            ("/* [[[ */ {}", 1),
            ("/*/ [[[ */ {}", 1),
            ("/* ' */ [[[", 3),
            ("/* \" **/ [[[", 3),
            ("// ' \n[[[", 3),
            ("// ' \r[[[", 3),
            ("// ' \u{2028}[[[", 3),
            ("// ' \u{2029}[[[", 3),
            ("/ [[[", 3),
        ] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }
}
