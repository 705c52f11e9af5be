//! How a command fails: a message for people, an exit code for scripts.

use std::process::ExitCode;

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
        Self { message: message.into(), code: 1 }
    }

    /// Tells it on standard error; gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        eprintln!("turnlock: {}", self.message);
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
        Self { message: error.to_string(), code }
    }
}
