//! Path arguments: literal paths, quoted globs, or none, which means the state directory.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::output;

/// The exit code for a wrong command line.
const USAGE: u8 = 2;

/// The paths meant by the arguments. A path that exists means itself, whatever its characters. Any
/// other may be a pattern.
pub(crate) fn meant_by(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for argument in arguments {
        if exists(argument) {
            paths.push(argument.clone());
        } else {
            paths.extend(matching(argument)?);
        }
    }
    Ok(paths)
}

/// Whether the path, or the lock of a session that has no file yet, exists.
fn exists(path: &Path) -> bool {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    path.symlink_metadata().is_ok() || Path::new(&lock).symlink_metadata().is_ok()
}

/// The paths meant by one argument, which may name a path that does not exist. Only patterns are
/// looked up.
pub(crate) fn meant_by_pattern(argument: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_pattern = argument.to_str().is_some_and(is_pattern) && !exists(argument);
    if is_pattern { matching(argument) } else { Ok(vec![argument.to_owned()]) }
}

/// Whether the text is a valid pattern. Any other text is a path.
fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[']) && glob::Pattern::new(text).is_ok()
}

/// The state directory of OpenClaw: `OPENCLAW_STATE_DIR`, or `~/.openclaw`.
pub(crate) fn state_directory() -> Result<PathBuf, Failure> {
    let named = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let dir = match (named("OPENCLAW_STATE_DIR"), named("HOME")) {
        (Some(dir), _) => PathBuf::from(dir),
        (None, Some(home)) => PathBuf::from(home).join(".openclaw"),
        (None, None) => {
            return Err(usage("no PATH was named, and neither OPENCLAW_STATE_DIR nor HOME is set"));
        }
    };
    if dir.is_dir() {
        return Ok(dir);
    }
    Err(usage(&format!(
        "there is no state directory {}; name a PATH, or set OPENCLAW_STATE_DIR",
        dir.display()
    )))
}

fn matching(pattern: &Path) -> Result<Vec<PathBuf>, Failure> {
    let shown = pattern.display();
    let Some(text) = pattern.to_str().filter(|text| is_pattern(text)) else {
        return Err(usage(&format!("no such file or directory: {shown}")));
    };
    let mut paths = Vec::new();
    expand(text, &mut paths).map_err(|error| usage(&format!("bad pattern {shown}: {error}")))?;
    paths.sort_unstable();
    paths.dedup();
    if paths.is_empty() { Err(usage(&format!("nothing matches {shown}"))) } else { Ok(paths) }
}

/// The paths that a pattern matches. `**` follows no links here, unlike in `glob`: with two links
/// that lead back, the number of paths would explode.
fn expand(pattern: &str, found: &mut Vec<PathBuf>) -> Result<(), glob::PatternError> {
    let components: Vec<_> = Path::new(pattern).components().collect();
    let Some(at) = components.iter().position(|component| component.as_os_str() == "**") else {
        for path in glob::glob(pattern)? {
            match path {
                Ok(path) => found.push(path),
                Err(error) => cannot_look_into(error.path(), error.error()),
            }
        }
        return Ok(());
    };
    below(components[..at].iter().collect(), components[at + 1..].iter().collect(), found)
}

/// The paths that match `before/**/after`.
fn below(
    before: PathBuf,
    after: PathBuf,
    found: &mut Vec<PathBuf>,
) -> Result<(), glob::PatternError> {
    let mut roots = vec![];
    if before.as_os_str().is_empty() {
        roots.push(before);
    } else {
        expand(&before.to_string_lossy(), &mut roots)?;
    }
    let trees = roots.into_iter().map(tree);
    if after.as_os_str().is_empty() {
        found.extend(trees.flat_map(|dirs| dirs.into_iter().skip(1)));
        return Ok(());
    }
    for dir in trees.flatten() {
        match dir.to_str() {
            Some(text) => expand(
                &Path::new(&glob::Pattern::escape(text)).join(&after).to_string_lossy(),
                found,
            )?,
            None => cannot_look_into(&dir, &"its name is not UTF-8, which no pattern matches"),
        }
    }
    Ok(())
}

/// A directory and all directories below it. An empty path is the current directory.
fn tree(root: PathBuf) -> Vec<PathBuf> {
    let mut dirs = vec![root];
    let mut looked_into = 0;
    while let Some(dir) = dirs.get(looked_into).cloned() {
        looked_into += 1;
        let named = if dir.as_os_str().is_empty() { Path::new(".") } else { &dir };
        match named.read_dir() {
            Ok(entries) => {
                let below = entries
                    .flatten()
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                dirs.extend(below.map(|entry| dir.join(entry.file_name())));
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => {}
            Err(error) => cannot_look_into(&dir, &error),
        }
    }
    dirs
}

/// Reports a directory that cannot be read. It never hides the rest.
fn cannot_look_into(dir: &Path, error: &dyn Display) {
    output::tell(&format!("cannot look into {}: {error}", dir.display()));
}

fn usage(message: &str) -> Failure {
    Failure::with_code(USAGE, message)
}
