//! `--beside openclaw`: passes OpenClaw's own check for its processes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::exec::own_program;
use crate::failure::Failure;

/// The program whose check is to pass.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Program {
    // Since 2026.5.12 it removes the lock of any process without an argument `openclaw`.
    Openclaw,
}

/// The name has to be an argument of its own. `--beside openclaw` makes it one. For
/// `--beside=openclaw` the command starts itself again with the two separated.
pub(crate) fn be_seen() -> Result<(), Failure> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "turnlock".into());
    let Some(separated) = separate(arguments) else { return Ok(()) };
    let failed = Command::new(own_program()?).arg0(name).args(separated).exec();
    Err(Failure::new(format!("cannot start again for --beside: {failed}")))
}

/// The arguments with `--beside=WORD` as two of them; `None` if none is written so.
fn separate(arguments: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let (mut separated, mut found, mut ours) = (Vec::new(), false, true);
    for argument in arguments {
        // The rest belongs to another program.
        ours &= argument != "--";
        match argument.as_bytes().strip_prefix(b"--beside=") {
            Some(word) if ours => {
                separated.extend(["--beside".into(), OsStr::from_bytes(word).to_owned()]);
                found = true;
            }
            _ => separated.push(argument),
        }
    }
    found.then_some(separated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_option_is_separated() {
        let separated = |line: &str| separate(line.split(' ').map(OsString::from));
        assert_eq!(separated("--beside openclaw status"), None);
        assert_eq!(separated("run s.jsonl -- x --beside=openclaw"), None);
        let expected: Vec<OsString> =
            ["run", "--beside", "openclaw", "s.jsonl"].map(OsString::from).into();
        assert_eq!(separated("run --beside=openclaw s.jsonl"), Some(expected));
    }
}
