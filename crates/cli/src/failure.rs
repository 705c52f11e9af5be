//! Failures of a command: a message for people, an exit code for scripts.

use std::process::ExitCode;

use crate::output;

/// A later attempt may succeed (`EX_TEMPFAIL`).
const BUSY: u8 = 75;
/// The input is not JSON (`EX_DATAERR`).
const BAD_DATA: u8 = 65;

/// Why a command failed.
pub(crate) struct Failure {
    message: String,
    code: u8,
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

    /// A failure that scripts can tell from others.
    pub(crate) fn with_code(code: u8, message: impl Into<String>) -> Self {
        Self { message: message.into(), code }
    }

    /// Appends a remark to the message.
    pub(crate) fn and(mut self, remark: &str) -> Self {
        self.message.push_str(remark);
        self
    }

    /// Writes the message to standard error, and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        output::tell(&self.message);
        ExitCode::from(self.code)
    }
}

impl From<turnlock::Error> for Failure {
    fn from(error: turnlock::Error) -> Self {
        let code = match &error {
            busy if busy.is_busy() => BUSY,
            turnlock::Error::BadLine { .. } => BAD_DATA,
            _ => 1,
        };
        Self::with_code(code, error.to_string())
    }
}

impl From<turnlock::gateway::Error> for Failure {
    fn from(error: turnlock::gateway::Error) -> Self {
        match error {
            turnlock::gateway::Error::Lock(error) => error.into(),
            refused => {
                let code = if refused.is_busy() { BUSY } else { 1 };
                Self::with_code(code, refused.to_string())
            }
        }
    }
}
