//! The answer where no session was found: that is not healthy, but perhaps a wrong path.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// So many directories are looked into for sessions, and so many of those that have some are named.
const MOST_LOOKS: usize = 2_000;
const MOST_NAMED: usize = 3;

/// What to say of paths where no session was found.
pub(super) fn told(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    let shown = shown.join(", ");
    let below = with_sessions_below(paths);
    if !below.is_empty() {
        let quoted: Vec<_> = below.iter().map(|dir| quoted(dir)).collect();
        return format!(
            "No session found in {shown}, but below. To examine those:\n  turnlock doctor {}\n",
            quoted.join(" ")
        );
    }
    format!(
        "No session found in {shown}. The name of a session ends in `.jsonl`. Name its directory, \
         or a state directory with agents/*/sessions.\n"
    )
}

/// Some of the directories below that have sessions, the nearest first. Follows no link.
fn with_sessions_below(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut ahead: VecDeque<_> = paths.iter().cloned().collect();
    let mut found = Vec::new();
    let mut looks = 0;
    while let Some(dir) = ahead.pop_front()
        && looks < MOST_LOOKS
        && found.len() < MOST_NAMED
    {
        looks += 1;
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
    }
    found
}

fn is_session(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

/// As a word for a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
