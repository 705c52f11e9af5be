//! Options that several subcommands share.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use turnlock::{Durability, Sessions};

use crate::failure::Failure;

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    After(Duration),
    Never,
}

/// Parses `10s`, `1500ms`, `0`, `none`.
pub(crate) fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" | "infinite" => Ok(Limit::Never),
        _ => humantime::parse_duration(text).map(Limit::After).map_err(|e| {
            format!("{e}; say for example 10s, 1500ms, 0 (one try) or none (no limit)")
        }),
    }
}

/// The option of all subcommands that judge the locks of foreign programs.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Local {
    /// All that use the sessions are in this PID namespace, or can be seen from it: locks of
    /// processes that are not there are stale, and not respected for another container's sake
    #[arg(long, env = "TURNLOCK_ASSUME_LOCAL", value_parser = FalseyValueParser::new())]
    pub(crate) assume_local: bool,
}

/// The options of all subcommands that wait for a session.
#[derive(clap::Args)]
pub(crate) struct Wait {
    /// How long to wait for the session: 10s, 1500ms, 0 (one try), none (no limit)
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = limit)]
    timeout: Limit,

    #[command(flatten)]
    local: Local,
}

impl Wait {
    /// Sessions by these options.
    pub(crate) fn sessions(&self, durability: Durability) -> Result<Sessions, Failure> {
        let builder =
            Sessions::builder().durability(durability).assume_local(self.local.assume_local);
        let builder = match self.timeout {
            Limit::After(timeout) => builder.acquire_timeout(timeout),
            Limit::Never => builder.no_acquire_timeout(),
        };
        Ok(builder.build()?)
    }
}

/// The option of subcommands that begin a turn, and so create the session.
#[derive(clap::Args)]
pub(crate) struct Create {
    /// Create the session's directory if it does not exist (beware of mistyped paths)
    #[arg(long)]
    create: bool,
}

impl Create {
    /// Refuses a session in a directory that does not exist and is not to be created.
    pub(crate) fn check(&self, session: &Path) -> Result<(), Failure> {
        let dir = session.parent().filter(|dir| !dir.as_os_str().is_empty());
        let is_missing =
            |dir: &&Path| dir.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        match dir.filter(is_missing) {
            Some(dir) if !self.create => Err(Failure::new(format!(
                "no such directory: {}; check the path, or create it with --create",
                dir.display()
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let after = |millis| Ok(Limit::After(Duration::from_millis(millis)));
        assert_eq!(limit("10s"), after(10_000));
        assert_eq!(limit("1500ms"), after(1500));
        assert_eq!(limit("1m 30s"), after(90_000));
        assert_eq!(limit("0"), after(0));
        assert_eq!(limit("0s"), after(0));
        assert_eq!(limit("none"), Ok(Limit::Never));
        assert_eq!(limit("infinite"), Ok(Limit::Never));
        for bad in
            ["", "10", "-1s", "1e3", "1e3s", "0x1000", "10 parsecs", "9007199254740993h", "NaN"]
        {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }
}
