//! The instances that a search has found, in words.

use std::path::PathBuf;

use crate::output::printable;
use crate::places::{Found, words};

/// The instances, one on a line, if the command line does not name them itself.
pub(super) fn listed(found: &Found) -> String {
    if !found.searched {
        return String::new();
    }
    let mut text = String::from("Instances:\n");
    for instance in found.instances() {
        let is_here = |path: &PathBuf| *path == instance.path;
        let directories = found.places.iter().filter(|place| is_here(&place.instance.path)).count();
        let program = instance.program.unwrap_or("no program that is known");
        let path = printable(&instance.path.display().to_string());
        let note = if instance.read_only { ", only looked at" } else { "" };
        let directories = super::count_of(directories, "directory", "directories");
        text += &format!("- {path} ({program}, {directories}{note})\n");
    }
    text
}

/// How to have fixed what is another program's, and the command that does it.
pub(super) fn to_be_named(found: &Found) -> (&'static str, String) {
    let others: Vec<_> = found
        .instances()
        .into_iter()
        .filter(|instance| instance.read_only)
        .map(|instance| instance.path.clone())
        .collect();
    match &words(&others)[..] {
        "" => ("", String::new()),
        words => (
            " What belongs to other programs is fixed only if it is named:",
            format!("\n  turnlock doctor --fix {words}"),
        ),
    }
}
