//! The gateways of the named state directories: their locks, and whether their owners listen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use turnlock::gateway::{Finding, Trouble, doctor};

use super::Args;
use crate::gateway::of_state_dir;
use crate::output::{printable, state_dir_path, terminal};

/// What is wrong with the gateway of one state directory.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfGateway {
    #[serde(flatten, serialize_with = "state_dir_path")]
    state_dir: PathBuf,
    #[serde(flatten)]
    finding: Finding,
}

/// So many are looked at at the same time: each may take a second.
const AT_ONCE: usize = 8;

/// Looks at the gateway of each state directory. With `--fix`, stale gateway locks and orphaned
/// `.reclaim` directories are removed.
pub(super) fn look(state_dirs: &BTreeSet<PathBuf>, args: &Args) -> Vec<OfGateway> {
    let state_dirs: Vec<_> = state_dirs.iter().collect();
    let mut found = Vec::new();
    for some in state_dirs.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let looks: Vec<_> = some
                .iter()
                .map(|dir| {
                    let started =
                        std::thread::Builder::new().spawn_scoped(scope, || look_at(dir, args));
                    (dir, started)
                })
                .collect();
            for (dir, look) in looks {
                found.extend(match look.map(std::thread::ScopedJoinHandle::join) {
                    Ok(Ok(findings)) => findings,
                    // No thread was to be had.
                    _ => look_at(dir, args),
                });
            }
        });
    }
    found
}

fn look_at(state_dir: &Path, args: &Args) -> Vec<OfGateway> {
    let gateway = of_state_dir(state_dir).assume_local(args.local.assume_local);
    let findings = doctor(&gateway, None, args.fix).unwrap_or_default();
    // Without a gateway here, a listener on its port may belong to another instance.
    let is_strangers = |what: &Trouble| matches!(what, Trouble::UnknownListener(_));
    let is_stranger = findings.iter().any(|finding| is_strangers(&finding.what));
    let of_locks = findings.into_iter().filter(|finding| match &finding.what {
        Trouble::UnknownListener(_) => false,
        Trouble::NotHealthy(_) => !is_stranger,
        _ => true,
    });
    of_locks.map(|finding| OfGateway { state_dir: state_dir.to_owned(), finding }).collect()
}

pub(super) fn remaining(found: &[OfGateway]) -> usize {
    found.iter().filter(|of| !of.finding.fixed).count()
}

/// Whether `--fix` would fix any of it.
pub(super) fn fixable(found: &[OfGateway]) -> bool {
    let fixable =
        |what: &Trouble| matches!(what, Trouble::StaleLock(_) | Trouble::OrphanedReclaim(_));
    found.iter().any(|of| !of.finding.fixed && fixable(&of.finding.what))
}

/// One line per finding, or several on a terminal with this many columns.
pub(super) fn lines(found: &[OfGateway], columns: Option<usize>) -> String {
    let line = |of: &OfGateway| {
        let line = format!("- gateway of {}: {}\n", of.state_dir.display(), of.finding);
        let line = printable(line.trim_end()).to_string();
        columns.map_or_else(|| line.clone(), |columns| terminal::wrapped(&line, columns, 2)) + "\n"
    };
    found.iter().map(line).collect()
}
