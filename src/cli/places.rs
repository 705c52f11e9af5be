//! The paths that a command was given: as they stand, as quoted globs, or none, for which the state directory stands.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::output;

/// The command line was wrong.
const USAGE: u8 = 2;

/// The paths meant by the arguments. A path that exists means itself, whatever characters it has; otherwise it may be a pattern.
pub(crate) fn meant_by(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for argument in arguments {
        if is_there(argument) {
            paths.push(argument.clone());
        } else {
            paths.extend(matching(argument)?);
        }
    }
    Ok(paths)
}

/// A session may have nothing but its lock.
fn is_there(path: &Path) -> bool {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    path.symlink_metadata().is_ok() || Path::new(&lock).symlink_metadata().is_ok()
}

/// The paths meant by one argument of a command that may name what does not exist: only patterns are looked up.
pub(crate) fn meant_by_pattern(argument: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_pattern = argument.to_str().is_some_and(is_pattern) && !is_there(argument);
    if is_pattern { matching(argument) } else { Ok(vec![argument.to_owned()]) }
}

/// What cannot be one is a path, that of no file perhaps.
fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[']) && glob::Pattern::new(text).is_ok()
}

/// The state directory of OpenClaw: `OPENCLAW_STATE_DIR`, or `~/.openclaw`.
pub(crate) fn state_directory() -> Result<PathBuf, Failure> {
    let named = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let dir = match (named("OPENCLAW_STATE_DIR"), named("HOME")) {
        (Some(dir), _) => PathBuf::from(dir),
        (None, Some(home)) => PathBuf::from(home).join(".openclaw"),
        (None, None) => return Err(usage("no PATH was named, and neither OPENCLAW_STATE_DIR nor HOME is set")),
    };
    if dir.is_dir() {
        return Ok(dir);
    }
    Err(usage(&format!("there is no state directory {}; name a PATH, or set OPENCLAW_STATE_DIR", dir.display())))
}

fn matching(pattern: &Path) -> Result<Vec<PathBuf>, Failure> {
    let shown = pattern.display();
    let Some(text) = pattern.to_str().filter(|text| is_pattern(text)) else {
        return Err(usage(&format!("no such file or directory: {shown}")));
    };
    let found = glob::glob(text).map_err(|error| usage(&format!("bad pattern {shown}: {error}")))?;
    let mut paths = Vec::new();
    for path in found {
        match path {
            Ok(path) => paths.push(path),
            // One directory that cannot be read never hides the rest.
            Err(error) => output::tell(&format!("cannot look into {}: {}", error.path().display(), error.error())),
        }
    }
    if paths.is_empty() { Err(usage(&format!("nothing matches {shown}"))) } else { Ok(paths) }
}

fn usage(message: &str) -> Failure {
    Failure::with_code(USAGE, message)
}
