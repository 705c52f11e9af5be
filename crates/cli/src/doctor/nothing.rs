//! The answer where no session was found: that is not healthy, but perhaps a wrong path.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::output::printable;

/// So many paths are named.
const MOST_NAMED: usize = 3;
/// So many directories are looked into for sessions.
const MOST_LOOKS: usize = 2_000;

/// What to say of paths where no session was found.
pub(super) fn told(paths: &[PathBuf]) -> String {
    let below: Vec<_> = with_sessions_below(paths).iter().filter_map(|dir| word(dir)).collect();
    let shown = listed(paths);
    if below.is_empty() {
        return format!(
            "No session found in {shown}. The name of a session ends in `.jsonl`. Name its \
             directory, or a state directory with agents/*/sessions.\n"
        );
    }
    format!(
        "No session found in {shown}, but below. To examine those:\n  turnlock doctor {}\n",
        below.join(" ")
    )
}

/// The first of the paths, and how many more there are.
fn listed(paths: &[PathBuf]) -> String {
    let named: Vec<_> =
        paths.iter().take(MOST_NAMED).map(|path| printable(&path.display().to_string())).collect();
    let more = paths.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &more
}

/// Some of the directories below that have sessions, the nearest first. Follows no link.
fn with_sessions_below(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut ahead: VecDeque<_> = paths.iter().cloned().collect();
    let mut found = Vec::new();
    for _ in 0..MOST_LOOKS {
        let Some(dir) = ahead.pop_front() else { break };
        let Ok(entries) = dir.read_dir() else { continue };
        let mut has_session = false;
        let mut below = Vec::new();
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            has_session |= kind.is_file() && is_session(&entry.path());
            if kind.is_dir() {
                below.push(entry.path());
            }
        }
        below.sort_unstable();
        ahead.extend(below);
        if has_session {
            found.push(dir);
        }
        if found.len() == MOST_NAMED {
            break;
        }
    }
    found
}

fn is_session(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

/// A path as a word for a shell. `None` if it cannot be shown as it is.
fn word(path: &Path) -> Option<String> {
    let text = path.to_str().filter(|text| printable(text) == *text)?;
    Some(format!("'{}'", text.replace('\'', "'\\''")))
}
