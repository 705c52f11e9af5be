//! What to say where no session was found: that is not healthy, but perhaps a wrong path. The
//! advice is a command that finds some.

use std::path::{Path, PathBuf};

use super::layouts;
use crate::failure::Failure;
use crate::output::printable;

/// So many paths are named.
const MOST_NAMED: usize = 3;

/// What to say of paths where no session was found, and a command that finds some. Some of the
/// `others` below have sessions, and are in no layout that is known.
pub(super) fn told(paths: &[PathBuf], others: &[PathBuf], subcommand: &str) -> Failure {
    let shown = listed(paths);
    let advise = |words: &str| Some(format!("turnlock {subcommand} {words}"));
    let below = words(others);
    if !below.is_empty() {
        let told = format!("No session found in {shown}, but below. To look at those:");
        return Failure::new(told).advising(advise(&below));
    }
    let mut known = std::env::home_dir().map(|home| layouts::places_in(&home)).unwrap_or_default();
    known.retain(|place| !paths.contains(place));
    let known = words(&known);
    let told = format!("No session found in {shown}. The name of a session ends in `.jsonl`.");
    if known.is_empty() {
        let more = " Name its directory, or a state directory with agents/*/sessions.";
        return Failure::new(told + more);
    }
    let more = " To look where programs that are known keep theirs:";
    Failure::new(told + more).advising(advise(&known))
}

/// What to do about a path that does not exist: what is beside it, where that has sessions.
pub(super) fn advice_beside(path: &Path, subcommand: &str) -> String {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_session = |path: &Path| path.extension().is_some_and(|kind| kind == "jsonl");
    let entries = dir.read_dir().into_iter().flatten().flatten();
    let has_sessions = entries.take(10_000).any(|entry| is_session(&entry.path()));
    match word(dir).filter(|_| has_sessions) {
        Some(dir) => format!("; its directory has sessions: turnlock {subcommand} {dir}"),
        None => format!("; to see what there is: turnlock {subcommand}"),
    }
}

/// The first of the paths, and how many more there are.
fn listed(paths: &[PathBuf]) -> String {
    let named: Vec<_> =
        paths.iter().take(MOST_NAMED).map(|path| printable(&path.display().to_string())).collect();
    let more = paths.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &more
}

/// Paths as words for a shell, without those that cannot be shown as they are.
pub(crate) fn words(paths: &[PathBuf]) -> String {
    paths.iter().filter_map(|dir| word(dir)).collect::<Vec<_>>().join(" ")
}

fn word(path: &Path) -> Option<String> {
    let text = path.to_str().filter(|text| printable(text) == *text)?;
    Some(format!("'{}'", text.replace('\'', "'\\''")))
}
