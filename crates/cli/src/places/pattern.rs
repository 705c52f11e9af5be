//! Quoted globs, and the paths that they match.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{exists, usage};
use crate::failure::Failure;
use crate::output;

/// The paths meant by one argument. A path that exists means itself, whatever its characters, and
/// so does one that is no pattern.
pub(super) fn meant_by(argument: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_pattern = argument.to_str().is_some_and(is_pattern) && !exists(argument);
    if is_pattern { matching(argument) } else { Ok(vec![argument.to_owned()]) }
}

/// Whether the text is a valid pattern. Any other text is a path.
fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[']) && glob::Pattern::new(text).is_ok()
}

fn matching(pattern: &Path) -> Result<Vec<PathBuf>, Failure> {
    let shown = pattern.display();
    let text = pattern.to_str().unwrap_or_default();
    let mut paths = Vec::new();
    expand(text, &mut paths).map_err(|error| usage(&format!("bad pattern {shown}: {error}")))?;
    paths.sort_unstable();
    paths.dedup();
    if paths.is_empty() {
        return Err(Failure::new(format!("nothing matches {shown}")).named("not-found"));
    }
    Ok(paths)
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
