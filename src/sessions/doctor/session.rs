//! One session: its lock, what was left beside it, its transcript.

use std::ffi::OsStr;
use std::path::Path;

use super::census::Entry;
use super::checkup::{Checkup, look_through};
use super::finding::{Finding, Problem, Remedy, Treatment};
use super::{Scope, modes};
use crate::datafile::read::Transcript;
use crate::error::{Error, Holder};
use crate::lock::Reason;
use crate::sessions::Sessions;
use crate::sessions::sweep::leftover::{self, Leftover};
use crate::sessions::sweep::look::{Directory, Looker};
use crate::sessions::sweep::pool::Pulse;
use crate::sessions::sweep::{LockReport, LockState};
use crate::sys::{self, Stat, stat_path};

pub(super) struct Visit {
    pub(super) sessions: Sessions,
    pub(super) looker: Looker,
    pub(super) scope: Scope,
}

impl Visit {
    /// Everything about one session.
    pub(super) fn see(&self, dir: &Directory, entry: &Entry, pulse: &Pulse) -> Vec<Finding> {
        let mut findings = Vec::new();
        let lock = entry.lock.as_deref().and_then(|name| self.lock(dir, name));
        let in_use = lock.as_ref().and_then(who_is_at_it);
        if self.scope.locks {
            findings.extend(lock.map(lock_finding));
        }
        for (name, leftover) in &entry.leftovers {
            findings.extend(self.leftover(dir, name, *leftover, in_use.as_ref()));
        }
        if let Some(name) = entry.transcript.as_deref().filter(|_| self.scope.transcripts) {
            self.transcript(dir, name, in_use.as_ref(), pulse, &mut findings);
        }
        findings
    }

    fn lock(&self, dir: &Directory, name: &OsStr) -> Option<LockReport> {
        if self.scope.fix && self.scope.locks {
            self.looker.sweep(dir, name)
        } else {
            self.looker.look(dir, name)
        }
    }

    fn leftover(
        &self,
        dir: &Directory,
        name: &OsStr,
        leftover: Leftover,
        in_use: Option<&InUse>,
    ) -> Option<Finding> {
        let wanted =
            if leftover == Leftover::Rewrite { self.scope.transcripts } else { self.scope.locks };
        let path = dir.real().join(name);
        // What a living holder works with is no leftover, nor is what has found its place meanwhile.
        if !wanted || in_use.is_some() || stat_path(&path).is_ok_and(|stat| stat.is_none()) {
            return None;
        }
        let treatment = if self.scope.fix {
            match leftover::remove(&path, &self.looker.rules) {
                Ok(true) => Treatment::Done { remedy: Remedy::Remove, note: None },
                Ok(false) => kept("somebody may still work with it"),
                Err(_) if stat_path(&path).is_ok_and(|stat| stat.is_none()) => return None,
                Err(error) => Treatment::Failed { error: error.to_string() },
            }
        } else {
            Treatment::Would { remedy: Remedy::Remove }
        };
        Some(Finding::new(dir.named.join(name), Problem::Leftover { leftover }, treatment))
    }

    fn transcript(
        &self,
        dir: &Directory,
        name: &OsStr,
        in_use: Option<&InUse>,
        pulse: &Pulse,
        findings: &mut Vec<Finding>,
    ) {
        let (path, named) = (dir.real().join(name), dir.named.join(name));
        // Gone since the directory was read: nothing is wrong with it.
        let Ok(Some(stat)) = stat_path(&path) else { return };
        if let Some((mode, right)) = modes::wrong(&stat) {
            let treatment = self.set_mode(&path, &stat, right, in_use);
            findings.push(Finding::new(
                named.clone(),
                Problem::WrongMode { mode, right },
                treatment,
            ));
        }
        let looked = Transcript::open(&path).map_err(Error::from).and_then(|transcript| {
            let looked = look_through(transcript.file(), pulse);
            looked.map_err(|source| Error::Io { action: "read", path: named.clone(), source })
        });
        match looked {
            Ok(checkup) => self.checked(&path, &named, checkup, in_use, pulse, findings),
            Err(Error::NoSession { .. }) => {}
            Err(error) => {
                let error = match error {
                    // The path is told beside it.
                    Error::NotASession { reason, .. } => reason.to_owned(),
                    other => other.to_string(),
                };
                let problem = Problem::UnreadableTranscript { error };
                findings.push(Finding::reported(named, problem, "it was not looked into"));
            }
        }
    }

    fn set_mode(&self, path: &Path, stat: &Stat, right: u32, in_use: Option<&InUse>) -> Treatment {
        match in_use {
            Some(in_use) => in_use.kept(),
            None if !self.scope.fix => Treatment::Would { remedy: Remedy::SetMode },
            None => match sys::set_mode(path, stat.id, right) {
                Ok(()) => Treatment::Done { remedy: Remedy::SetMode, note: None },
                Err(error) => Treatment::Failed { error: error.to_string() },
            },
        }
    }

    fn checked(
        &self,
        path: &Path,
        named: &Path,
        checkup: Checkup,
        in_use: Option<&InUse>,
        pulse: &Pulse,
        findings: &mut Vec<Finding>,
    ) {
        let mut tell =
            |problem, treatment| findings.push(Finding::new(named.to_owned(), problem, treatment));
        let Checkup { survey, lineage } = checkup;
        if !survey.is_healthy() {
            let treatment = self.repair(path, in_use, pulse);
            tell(Problem::DamagedTranscript { survey }, treatment);
        }
        if lineage.more_headers > 0 {
            let problem = Problem::DuplicateHeader {
                more: lineage.more_headers,
                first_line: lineage.first_header,
            };
            tell(problem, report("which of them counts is for people to say"));
        }
        if lineage.chain.orphans > 0 {
            tell(
                Problem::BrokenChain { chain: lineage.chain },
                report("what is lost cannot be invented"),
            );
        }
    }

    /// Under the turn, if it can be had at once.
    fn repair(&self, path: &Path, in_use: Option<&InUse>, pulse: &Pulse) -> Treatment {
        match in_use {
            Some(in_use) => return in_use.kept(),
            None if !self.scope.fix => return Treatment::Would { remedy: Remedy::Repair },
            None => {}
        }
        // However large the file: the repair gets on, and its locks are only tried.
        let _patient = pulse.be_patient();
        let repaired =
            self.sessions.turn(path).label("doctor").try_acquire().and_then(|mut turn| {
                let repair = turn.repair_blocking()?;
                // If the turn is lost only now, the session is repaired all the same.
                let _ = turn.release_blocking();
                Ok(repair)
            });
        match repaired {
            Ok(repair) if repair.changed() => Treatment::Done {
                remedy: Remedy::Repair,
                note: Some(format!(
                    "{} bytes and what they say are in {}.damaged",
                    repair.survey.bytes_removed,
                    path.file_name().unwrap_or_default().display()
                )),
            },
            Ok(_) => Treatment::Done {
                remedy: Remedy::Repair,
                note: Some("somebody else was faster".into()),
            },
            Err(Error::Timeout { holder: Some(holder), .. }) => InUse::by(Some(*holder)).kept(),
            Err(error) if error.is_busy() => kept(&error.to_string()),
            Err(error) => Treatment::Failed { error: error.to_string() },
        }
    }
}

/// A session that somebody holds, or may hold.
struct InUse {
    reason: String,
    holder: Option<Holder>,
}

impl InUse {
    fn by(holder: Option<Holder>) -> Self {
        let reason = match &holder {
            Some(Holder { pid: Some(pid), label: Some(label), .. }) => {
                format!("held by pid {pid} (\"{label}\")")
            }
            Some(Holder { pid: Some(pid), .. }) => format!("held by pid {pid}"),
            _ => "somebody holds it, or may hold it".to_owned(),
        };
        Self { reason: format!("{reason}; try again when it is done"), holder }
    }

    fn kept(&self) -> Treatment {
        Treatment::Kept { reason: self.reason.clone(), holder: self.holder.clone().map(Box::new) }
    }
}

fn who_is_at_it(report: &LockReport) -> Option<InUse> {
    match report.state {
        LockState::Stale => None,
        LockState::Held
        | LockState::Foreign
        | LockState::Fresh
        | LockState::Remote
        | LockState::Unreadable => Some(InUse::by(report.holder.clone())),
    }
}

fn lock_finding(lock: LockReport) -> Finding {
    let too_old = lock.reasons.contains(&Reason::TooOld);
    let treatment = match (lock.state, &lock.error) {
        (LockState::Stale, _) if lock.removed => {
            Treatment::Done { remedy: Remedy::Remove, note: None }
        }
        (LockState::Stale, Some(error)) => Treatment::Failed { error: error.clone() },
        (LockState::Stale, None) => Treatment::Would { remedy: Remedy::Remove },
        (LockState::Held, _) if too_old => {
            report("held for very long, by a living process: `turnlock break` takes it away")
        }
        (LockState::Foreign, _) if too_old => {
            report("held for very long, by a living process: only ending that frees it")
        }
        (LockState::Held | LockState::Foreign, _) => Treatment::None,
        (LockState::Fresh, _) => {
            kept("somebody may be writing it; it counts as stale 30 s after its last change")
        }
        (LockState::Remote, _) => report(
            "whether its owner lives cannot be seen from here; if that host is gone, `turnlock break`",
        ),
        (LockState::Unreadable, _) => report("what cannot be read may be held"),
    };
    Finding::new(lock.lock.clone(), Problem::Lock(lock), treatment)
}

fn report(reason: &str) -> Treatment {
    Treatment::Report { reason: reason.to_owned() }
}

fn kept(reason: &str) -> Treatment {
    Treatment::Kept { reason: reason.to_owned(), holder: None }
}
