//! How a command fails: a message for people, an exit code for scripts.

use std::process::ExitCode;

use crate::output;

/// Another try later may do (`EX_TEMPFAIL`).
const BUSY: u8 = 75;
/// The input is no JSON (`EX_DATAERR`).
const BAD_DATA: u8 = 65;

/// Why a command failed.
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Any failure that has no code of its own.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with_code(1, message)
    }

    /// The input is not what it should be.
    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        Self::with_code(BAD_DATA, message)
    }

    /// A failure that scripts are to tell from others.
    pub(crate) fn with_code(code: u8, message: impl Into<String>) -> Self {
        Self { message: message.into(), code }
    }

    /// The same failure, with something more to say about it.
    pub(crate) fn and(mut self, remark: &str) -> Self {
        self.message.push_str(remark);
        self
    }

    /// Tells it on standard error; gives the exit code.
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
