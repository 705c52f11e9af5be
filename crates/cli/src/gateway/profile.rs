//! Profiles, as OpenClaw has them: a name for a state directory, its config and its service.

use std::path::PathBuf;
use std::str::FromStr;

use crate::failure::Failure;

/// The longest name of a profile.
const LONGEST: usize = 64;

/// The name of a profile.
#[derive(Clone)]
pub(super) struct Profile(String);

impl FromStr for Profile {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins_well && name.len() <= LONGEST && name.chars().all(is_of_name) {
            Ok(Self(name.to_owned()))
        } else {
            Err("a profile has letters, digits, - and _, and begins with a letter or digit")
        }
    }
}

impl Profile {
    /// The name, unless it is that of the profile that has none.
    fn name(&self) -> Option<&str> {
        Some(&*self.0).filter(|name| !name.eq_ignore_ascii_case("default"))
    }

    /// The port of a profile that has one of its own.
    pub(super) fn port(&self) -> Option<u16> {
        (self.0 == "dev").then_some(19001)
    }

    /// The name itself, for the environment of a program.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The state directory of a profile.
pub(super) fn state_dir(profile: Option<&Profile>) -> Result<PathBuf, Failure> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let home =
        home.ok_or_else(|| Failure::new("there is no home directory; name the --state-dir"))?;
    Ok(match profile.and_then(Profile::name) {
        Some(name) => home.join(format!(".openclaw-{name}")),
        None => home.join(".openclaw"),
    })
}

/// The unit of systemd that OpenClaw makes for a profile.
pub(super) fn unit(profile: Option<&Profile>) -> String {
    match profile.and_then(Profile::name) {
        Some(name) => format!("openclaw-gateway-{name}.service"),
        None => "openclaw-gateway.service".to_owned(),
    }
}
