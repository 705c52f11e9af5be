//! Failures of a command: a message for people, an exit code and a word for scripts.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use turnlock::Holder;
use turnlock::gateway::{self, Refused};

use crate::output::{self, Schema};

/// The command line is wrong.
const USAGE: u8 = 2;
/// A later attempt may succeed (`EX_TEMPFAIL`).
const BUSY: u8 = 75;
/// The input is not JSON (`EX_DATAERR`).
const BAD_DATA: u8 = 65;

/// Why a command failed. In JSON, what `docs/json.md` calls an error.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    code: &'static str,
    message: String,
    exit_code: u8,
    /// What it is about, where that is known.
    #[serde(flatten, serialize_with = "output::path_if_any")]
    path: Option<PathBuf>,
    /// A command that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// Who is in the way, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<Box<Holder>>,
}

impl Failure {
    /// A failure without a code of its own: 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with_code(1, message)
    }

    /// The input is invalid.
    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        Self::with_code(BAD_DATA, message)
    }

    /// A failure that scripts can tell from others by the exit code.
    pub(crate) fn with_code(exit_code: u8, message: impl Into<String>) -> Self {
        let code = match exit_code {
            USAGE => "usage",
            BAD_DATA => "bad-line",
            BUSY => "busy",
            _ => "failure",
        };
        Self { code, message: message.into(), exit_code, path: None, advice: None, holder: None }
    }

    /// Sets the word by which scripts can tell it from others in JSON.
    pub(crate) fn named(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// Adds a command that helps. It is shown on a line of its own.
    pub(crate) fn advising(mut self, command: Option<String>) -> Self {
        self.advice = command;
        self
    }

    /// The message for people, and the command that helps.
    pub(crate) fn text(&self) -> String {
        let message = output::printable(&self.message);
        match &self.advice {
            Some(advice) => format!("{message}\n  {}", output::printable(advice)),
            None => message,
        }
    }

    /// Appends a remark to the message.
    pub(crate) fn and(mut self, remark: &str) -> Self {
        self.message.push_str(remark);
        self
    }

    /// Tells of the failure, and returns the exit code: on standard error, and to who asked for
    /// JSON also as the answer.
    pub(crate) fn report(self) -> ExitCode {
        if output::is_json_asked_for() {
            // It is told on standard error in any case.
            let _ = output::answer_json(Schema::Error, &self);
        }
        self.tell()
    }

    /// Writes the message to standard error, and returns the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        output::tell_lines(&self.text());
        ExitCode::from(self.exit_code)
    }

    /// The exit code of an answer that tells of these failures. It is that of the last.
    pub(crate) fn tell_all(failed: &[Self]) -> ExitCode {
        failed.iter().fold(ExitCode::SUCCESS, |_, failure| failure.tell())
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure.message)
    }
}

impl From<turnlock::Error> for Failure {
    fn from(error: turnlock::Error) -> Self {
        let exit_code = match &error {
            busy if busy.is_busy() => BUSY,
            turnlock::Error::BadLine { .. } => BAD_DATA,
            _ => 1,
        };
        let (code, message) = (error.code(), error.to_string());
        let path = error.path().map(Path::to_owned);
        let holder = match error {
            turnlock::Error::Timeout { holder, .. } => holder,
            _ => None,
        };
        Self { code, message, exit_code, path, advice: None, holder }
    }
}

impl From<gateway::Error> for Failure {
    fn from(error: gateway::Error) -> Self {
        let exit_code = if error.is_busy() { BUSY } else { 1 };
        match error {
            gateway::Error::Lock(error) => error.into(),
            gateway::Error::Refused(refused) => {
                Self::with_code(exit_code, refused.to_string()).named(code_of(&refused))
            }
            other => Self::with_code(exit_code, other.to_string()),
        }
    }
}

fn code_of(refused: &Refused) -> &'static str {
    match refused {
        Refused::StateLocked { .. } => "state-locked",
        Refused::ConfigLocked { .. } => "config-locked",
        Refused::PortTaken { .. } => "port-taken",
        Refused::Bind { .. } => "cannot-bind",
        Refused::NeverHealthy { .. } => "never-healthy",
        Refused::Stranger { .. } => "stranger",
        Refused::NoOwner { .. } => "no-owner",
        Refused::NotTheOwner { .. } => "not-the-owner",
        Refused::PortNotFreed { .. } => "port-not-freed",
        _ => "refused",
    }
}
