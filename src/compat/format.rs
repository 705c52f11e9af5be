//! The formats of session files: by what their records are recognised, and what their first record
//! has to be.
//!
//! A format is recognised by its records, not by the path of the file. Nothing is said of a file
//! whose format is not known.
//!
//! | file | program | first record |
//! |---|---|---|
//! | `openclaw.rs` | OpenClaw and its forks, pi | `{"type":"session","id",…}` |
//! | `codex.rs` | Codex | `{"type":"session_meta","payload":{…}}` |
//! | `claude_code.rs` | Claude Code and its forks | any |
//! | `gemini_cli.rs` | Gemini CLI | `{"sessionId","projectHash",…}` |
//! | `copilot_cli.rs` | GitHub Copilot CLI | `{"type":"session.start","data":{…}}` |
//!
//! `members.rs` reads the members of a record, or of what is left of it.

mod claude_code;
mod codex;
mod copilot_cli;
mod gemini_cli;
pub(crate) mod members;
mod openclaw;

use std::fmt;

use serde::Serialize;

use members::Outline;

/// The format of a session file, by the program that it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// OpenClaw, its forks, and pi.
    #[serde(rename = "openclaw")]
    OpenClaw,
    /// Codex.
    Codex,
    /// Claude Code, and programs that have its format.
    ClaudeCode,
    /// Gemini CLI.
    GeminiCli,
    /// GitHub Copilot CLI.
    CopilotCli,
}

/// What is left of a session file whose header is lost.
pub(crate) struct Remains<'a> {
    /// What is before the first record: perhaps a part of the header.
    pub(crate) fragment: &'a [u8],
    /// Some of the first whole records.
    pub(crate) records: &'a [Vec<u8>],
    /// The name of the file, without its extension.
    pub(crate) name: &'a str,
    /// The time now, as RFC 3339.
    pub(crate) now: &'a str,
}

/// A header that was made of what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rebuilt {
    /// The line, without a newline.
    pub(crate) line: String,
    /// Which parts of it are not from the header that was lost, and where they are from.
    pub(crate) invented: Vec<String>,
}

impl Format {
    const ALL: [Self; 5] =
        [Self::OpenClaw, Self::Codex, Self::ClaudeCode, Self::GeminiCli, Self::CopilotCli];

    /// The format of a file with these records, by the first of them that tells. `None` if it is
    /// not known.
    #[cfg(test)]
    pub(crate) fn of<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        records.into_iter().find_map(Self::of_record)
    }

    /// The format that this record is of, if it tells. It need not be whole.
    pub(crate) fn of_record(record: &[u8]) -> Option<Self> {
        let outline = Outline::of(record);
        Self::ALL.into_iter().find(|format| format.is_told_by(&outline))
    }

    /// The format of the header that this is a part of, if it tells.
    pub(crate) fn of_fragment(fragment: &[u8]) -> Option<Self> {
        [
            (Self::OpenClaw, openclaw::is_of_header(fragment)),
            (Self::Codex, codex::is_of_header(fragment)),
            (Self::GeminiCli, gemini_cli::is_of_header(fragment)),
            (Self::CopilotCli, copilot_cli::is_of_header(fragment)),
        ]
        .into_iter()
        .find_map(|(format, is_of)| is_of.then_some(format))
    }

    fn is_told_by(self, outline: &Outline<'_>) -> bool {
        self.is_header_outline(outline)
            || match self {
                Self::OpenClaw => openclaw::is_record(outline),
                Self::Codex => codex::is_record(outline),
                Self::ClaudeCode => claude_code::is_record(outline),
                Self::GeminiCli => gemini_cli::is_record(outline),
                Self::CopilotCli => copilot_cli::is_record(outline),
            }
    }

    /// Whether this record is the one that a file of this format has to begin with.
    pub(crate) fn is_header(self, record: &[u8]) -> bool {
        self.is_header_outline(&Outline::of(record))
    }

    fn is_header_outline(self, outline: &Outline<'_>) -> bool {
        match self {
            Self::OpenClaw => openclaw::is_header(outline),
            Self::Codex => codex::is_header(outline),
            Self::ClaudeCode => false,
            Self::GeminiCli => gemini_cli::is_header(outline),
            Self::CopilotCli => copilot_cli::is_header(outline),
        }
    }

    /// Whether a file of this format has to begin with a header.
    pub(crate) fn wants_header(self) -> bool {
        self != Self::ClaudeCode
    }

    /// Makes a header of what is left.
    ///
    /// # Errors
    ///
    /// What it would have to be made of, and is not there.
    pub(crate) fn rebuild(self, remains: &Remains<'_>) -> Result<Rebuilt, &'static str> {
        match self {
            Self::OpenClaw => openclaw::rebuild(remains),
            Self::Codex => codex::rebuild(remains),
            Self::GeminiCli => gemini_cli::rebuild(remains),
            Self::ClaudeCode | Self::CopilotCli => Err("the facts that it had"),
        }
    }
}

/// The name of the program.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OpenClaw => "OpenClaw",
            Self::Codex => "Codex",
            Self::ClaudeCode => "Claude Code",
            Self::GeminiCli => "Gemini CLI",
            Self::CopilotCli => "Copilot CLI",
        })
    }
}

/// The last UUID in the name of a file.
fn uuid_in(name: &str) -> Option<&str> {
    const LENGTH: usize = 36;
    let starts = (0..=name.len().checked_sub(LENGTH)?).rev();
    starts.filter_map(|at| name.get(at..at + LENGTH)).find(|text| {
        let dash = |at| matches!(at, 8 | 13 | 18 | 23);
        (0..).zip(text.bytes()).all(|(at, byte)| match byte {
            b'-' => dash(at),
            _ => byte.is_ascii_hexdigit() && !dash(at),
        })
    })
}

/// The first time that one of the records has.
fn time_of(records: &[Vec<u8>]) -> Option<String> {
    records.iter().find_map(|record| Outline::of(record).text("timestamp"))
}

#[cfg(test)]
mod tests;
