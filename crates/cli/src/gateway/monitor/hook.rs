//! The commands of `--on-unhealthy` and `--on-recovered`.

use std::process::Stdio;

use tokio::process::Command;

use super::Report;
use crate::output::{self, printable};

/// The system limits the environment of a process. A reason may be a file name of somebody else's.
const LONGEST: usize = 4096;

/// A command, with what it is told of a change.
pub(super) struct Hook {
    /// The option that names it.
    option: &'static str,
    command: String,
    facts: [(&'static str, String); 7],
    /// Whether a failure to start it has been told.
    told: bool,
}

impl Hook {
    pub(super) fn new((option, command): (&'static str, &str), report: &Report) -> Self {
        let previous = report.change.from.map(|from| from.to_string());
        let facts = [
            ("TURNLOCK_TARGET", bounded(&report.target, "")),
            ("TURNLOCK_STATE", report.change.to.to_string()),
            ("TURNLOCK_PREVIOUS", previous.unwrap_or_default()),
            ("TURNLOCK_REASON", reason(report)),
            ("TURNLOCK_ADDRESS", report.address.map_or_else(String::new, |it| it.to_string())),
            ("TURNLOCK_AT", output::moment(report.change.at)),
            ("TURNLOCK_PID", report.pid.map_or_else(String::new, |it| it.to_string())),
        ];
        Self { option, command: command.to_owned(), facts, told: false }
    }

    /// Starts it, or gives it back. Only `--once` waits for its end: a command that hangs must not
    /// blind the monitor.
    pub(super) async fn start(mut self, waits: bool) -> Result<(), Self> {
        let started = Command::new("sh")
            .args(["-c", &self.command])
            .envs(self.facts.iter().map(|(name, fact)| (name, fact)))
            .stdin(Stdio::null())
            // Standard output has the answers.
            .stdout(std::io::stderr())
            .spawn();
        match started {
            Ok(mut child) if waits => drop(child.wait().await),
            Ok(mut child) => drop(tokio::spawn(async move { child.wait().await })),
            Err(error) => {
                if !self.told {
                    output::tell(&format!("cannot run the command of {}: {error}", self.option));
                }
                self.told = true;
                return Err(self);
            }
        }
        Ok(())
    }
}

fn reason(report: &Report) -> String {
    match report.reasons {
        reasons if reasons.len() > 1 => {
            bounded(&report.reason(), &format!("… ({} reasons)", reasons.len()))
        }
        _ => bounded(&report.reason(), "…"),
    }
}

/// A printable text of at most [`LONGEST`] bytes, which ends with `rest` if it was cut.
fn bounded(text: &str, rest: &str) -> String {
    let mut text = printable(text);
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST - rest.len()));
        text += rest;
    }
    text
}
