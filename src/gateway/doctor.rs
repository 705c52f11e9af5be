//! Finds what is wrong with a gateway's locks and its port, and repairs what can be repaired
//! safely.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::Result;
use super::refused::Kill;
use super::{GatewayBuilder, GatewayReport, Health, Layout, advice, status};
use crate::compat::openclaw;
use crate::rules::Rules;
use crate::sessions::paths;
use crate::sessions::sweep::{self, LockReport, LockState};
use crate::sys::{Dir, FileKind};

/// Something that is wrong.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    #[serde(flatten)]
    pub what: Trouble,
    /// Whether it has been repaired.
    pub fixed: bool,
    /// Why it could not be repaired.
    pub error: Option<String>,
}

/// What can be wrong.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "trouble", content = "facts")]
#[non_exhaustive]
pub enum Trouble {
    /// A gateway lock that nobody holds.
    StaleLock(LockReport),
    /// A gateway lock of a foreign program that may live in another container.
    UnseenLock(LockReport),
    /// A gateway lock that cannot be looked at.
    UnreadableLock(LockReport),
    /// A directory that an interrupted reclaim of OpenClaw left. OpenClaw's gateway waits for it
    /// forever.
    OrphanedReclaim(#[serde(serialize_with = "paths::path")] PathBuf),
    /// The process that listens on the port is named by no lock.
    UnknownListener(#[serde(serialize_with = "story")] String),
    /// The owner of the lock does not listen on its port.
    OwnerDoesNotListen(#[serde(serialize_with = "story")] String),
    /// The gateway accepts connections and does not answer, or answers that it is unhealthy.
    NotHealthy(#[serde(serialize_with = "story")] String),
}

/// Facts are an object, whatever the trouble is.
fn story<S: serde::Serializer>(text: &str, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map([("text", text)])
}

impl Finding {
    /// Whether [`doctor`] with `fix` would remove it.
    #[must_use]
    pub fn is_fixable(&self) -> bool {
        let is_left_behind =
            matches!(self.what, Trouble::StaleLock(_) | Trouble::OrphanedReclaim(_));
        is_left_behind && !self.fixed && self.error.is_none()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Trouble::StaleLock(lock) => {
                let pid = lock.holder.as_ref().and_then(|holder| holder.pid);
                let reasons: Vec<_> = lock.reasons.iter().map(|reason| reason.as_str()).collect();
                write!(f, "{} ", lock.lock.display())?;
                pid.map_or(Ok(()), |pid| write!(f, "pid={pid} (dead) "))?;
                write!(f, "stale=yes ({})", reasons.join(", "))?;
            }
            Trouble::UnseenLock(lock) => {
                let pid = lock.holder.as_ref().and_then(|holder| holder.pid).unwrap_or_default();
                write!(
                    f,
                    "{} pid={pid} (unknown): it may live in another container; if none uses this \
                     directory, add --assume-local",
                    lock.lock.display()
                )?;
            }
            Trouble::UnreadableLock(lock) => {
                write!(
                    f,
                    "{}: {}",
                    lock.lock.display(),
                    lock.error.as_deref().unwrap_or("cannot be looked at")
                )?;
            }
            Trouble::OrphanedReclaim(path) => {
                write!(f, "{} orphaned reclaim directory", path.display())?
            }
            Trouble::UnknownListener(story)
            | Trouble::OwnerDoesNotListen(story)
            | Trouble::NotHealthy(story) => {
                f.write_str(story)?;
            }
        }
        if self.fixed {
            f.write_str(" [removed]")?;
        }
        self.error.as_ref().map_or(Ok(()), |error| write!(f, " [{error}]"))
    }
}

/// Looks for what is wrong with a gateway.
///
/// The port is the one that the owner recorded, or that of `gateway`, unless `port` names another.
/// With `fix`,
/// stale gateway locks and orphaned `.reclaim` directories are removed. It never ends a process,
/// and never removes a lock that may be held.
///
/// **Blocking**, for a second or so.
///
/// # Errors
/// [`Error::Lock`](super::Error::Lock) if there is no such state directory.
pub fn doctor(gateway: &GatewayBuilder, port: Option<u16>, fix: bool) -> Result<Vec<Finding>> {
    let layout = gateway.layout(false)?;
    let rules = Arc::new(gateway.rules());
    let mut findings = Vec::new();
    for dir in lock_dirs(&layout) {
        findings.extend(locks_in(&dir).iter().filter_map(|lock| examine(lock, &rules, fix)));
        let Ok(dir) = Dir::open(&dir) else { continue };
        let guards = orphaned_guards_in(&dir);
        findings.extend(guards.iter().map(|name| remove_guard(&dir, name, fix)));
    }
    findings.extend(port_troubles(gateway, &status(gateway, port)?).into_iter().map(reported));
    Ok(findings)
}

fn reported(what: Trouble) -> Finding {
    Finding { what, fixed: false, error: None }
}

/// The directories of gateway locks, and those of sessions, whose locks OpenClaw reclaims too.
fn lock_dirs(layout: &Layout) -> Vec<PathBuf> {
    // A link could lead to a directory of somebody else's.
    let is_link = |path: &Path| path.is_symlink() || path.parent().is_some_and(Path::is_symlink);
    let mut dirs = layout.session_dirs();
    dirs.retain(|dir| !is_link(dir));
    dirs.push(layout.state_dir().to_owned());
    dirs.extend(layout.config_lock().parent().map(Path::to_owned));
    dirs
}

fn names_in(dir: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn locks_in(dir: &Path) -> Vec<PathBuf> {
    names_in(dir).filter(|path| openclaw::is_gateway_lock(path)).collect()
}

fn examine(lock: &Path, rules: &Arc<Rules>, fix: bool) -> Option<Finding> {
    let report = if fix { sweep::sweep_one(lock, rules) } else { sweep::look(lock, rules) }?;
    match report.state {
        LockState::Stale => {
            let (fixed, error) = (report.removed, report.error.clone());
            Some(Finding { fixed, error, what: Trouble::StaleLock(report) })
        }
        LockState::Unseen => Some(reported(Trouble::UnseenLock(report))),
        LockState::Unreadable => Some(reported(Trouble::UnreadableLock(report))),
        _ => None,
    }
}

/// The reclaim guards in a directory whose makers must have died.
fn orphaned_guards_in(dir: &Dir) -> Vec<OsString> {
    let is_orphaned = |name: &OsString| match dir.stat(name) {
        Ok(Some(stat)) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let age = now.checked_sub(stat.modified);
            stat.kind == FileKind::Directory && age.is_some_and(|age| age > openclaw::RECLAIM_GRACE)
        }
        _ => false,
    };
    let names = dir.names().into_iter().flatten().flatten();
    names.filter(|name| openclaw::is_reclaim_guard(name)).filter(is_orphaned).collect()
}

/// Removes a guard as its maker would: only if it is empty. What has a guard's name and holds files
/// is somebody's data.
fn remove_guard(dir: &Dir, name: &OsStr, fix: bool) -> Finding {
    let removed = if fix { dir.remove_empty_dir(name) } else { Ok(()) };
    let error = removed.as_ref().err().map(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => {
            "it is not empty, so it may be no guard: left alone; look into it".to_owned()
        }
        _ => format!("cannot remove it: {error}"),
    });
    let what = Trouble::OrphanedReclaim(dir.path().join(name));
    Finding { fixed: fix && removed.is_ok(), error, what }
}

fn port_troubles(gateway: &GatewayBuilder, report: &GatewayReport) -> Vec<Trouble> {
    let address = report.address;
    let mut found = Vec::new();
    let owner =
        report.locks().find(|lock| lock.owner_lives()).and_then(|lock| lock.process.as_ref());
    match (&report.listener, report.owner_lives()) {
        (Some(listener), false) => {
            found.push(Trouble::UnknownListener(format!(
                "{listener} listens on {address}, and no gateway lock names it; if it is not \
                 wanted there, end it{}",
                Kill(Some(listener))
            )));
        }
        (Some(listener), true) if report.listener_is_owner == Some(false) => {
            found.push(Trouble::UnknownListener(format!(
                "{listener} listens on {address}, and does not belong to the owner of the lock; \
                 if it is not wanted there, end it{}",
                Kill(Some(listener))
            )));
        }
        (None, true) if report.health == Health::Refused => {
            let pid = owner.map_or_else(String::new, |owner| format!(" (pid {})", owner.pid));
            found.push(Trouble::OwnerDoesNotListen(format!(
                "the owner of the lock{pid} does not listen on {address}; it may be starting, or \
                 end it with `{}`",
                advice::command("stop", gateway)
            )));
        }
        _ => {}
    }
    if let Health::Silent | Health::Unhealthy(_) = report.health {
        found.push(Trouble::NotHealthy(format!("{address} is {}", report.health)));
    }
    found
}
