//! Where a gateway's files are.

use std::io;
use std::path::{Path, PathBuf};

use super::Result;
use crate::compat::openclaw;
use crate::error::Context;
use crate::sys::{self, Dir};

/// Where a gateway's files are. Links are resolved, so that one gateway has one layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    state_dir: PathBuf,
    config: PathBuf,
    state_lock: PathBuf,
    config_lock: PathBuf,
}

impl Layout {
    /// Finds the files of the gateway of a state directory.
    ///
    /// `config` and `lock_dir` have the meaning and the defaults of
    /// [`GatewayBuilder`](super::GatewayBuilder). With `create`, missing directories are created
    /// (0700).
    ///
    /// **Blocking**.
    ///
    /// # Errors
    /// [`Error::Lock`](super::Error::Lock) if a directory can be neither found nor created.
    pub fn resolve(
        state_dir: &Path,
        config: Option<&Path>,
        lock_dir: Option<&Path>,
        create: bool,
    ) -> Result<Self> {
        let state_dir = directory(state_dir, create)?;
        let config = canonical_file(
            &config.map_or_else(|| state_dir.join(openclaw::CONFIG), Path::to_owned),
        )?;
        let uid = sys::process::user_id();
        let lock_dir = lock_dir.map_or_else(|| openclaw::lock_dir(&state_dir, uid), Path::to_owned);
        let lock_dir =
            if create || lock_dir.exists() { directory(&lock_dir, create)? } else { lock_dir };
        Ok(Self {
            state_lock: state_dir.join(openclaw::STATE_LOCK),
            config_lock: lock_dir.join(openclaw::config_lock(&config)),
            state_dir,
            config,
        })
    }

    /// Returns the state directory.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Returns the config file, which need not exist.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Returns the lock file of the state directory.
    #[must_use]
    pub fn state_lock(&self) -> &Path {
        &self.state_lock
    }

    /// Returns the lock file of the config file.
    #[must_use]
    pub fn config_lock(&self) -> &Path {
        &self.config_lock
    }

    /// Returns the directories below the state directory that hold sessions:
    /// `agents/<agent>/sessions` and `sessions`, as far as they exist.
    ///
    /// **Blocking**.
    #[must_use]
    pub fn session_dirs(&self) -> Vec<PathBuf> {
        let agents = std::fs::read_dir(self.state_dir.join(openclaw::AGENTS))
            .into_iter()
            .flatten()
            .flatten();
        let mut dirs: Vec<_> = agents.map(|agent| agent.path().join(openclaw::SESSIONS)).collect();
        dirs.push(self.state_dir.join(openclaw::SESSIONS));
        dirs.retain(|dir| dir.is_dir());
        dirs.sort_unstable();
        dirs
    }
}

fn directory(dir: &Path, create: bool) -> Result<PathBuf> {
    let opened = if create {
        Dir::create_all(dir).context("create the directory", dir)?
    } else {
        Dir::open(dir).context("find the directory", dir)?
    };
    Ok(opened.path().to_owned())
}

/// Resolves the links in the path of a file. Neither the file nor its directory need exist.
fn canonical_file(file: &Path) -> Result<PathBuf> {
    match file.canonicalize() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        found => return Ok(found.context("find", file)?),
    }
    let file = std::path::absolute(file).context("find", file)?;
    match (file.parent(), file.file_name()) {
        (Some(dir), Some(name)) if dir.exists() => {
            Ok(dir.canonicalize().context("find", dir)?.join(name))
        }
        (Some(dir), Some(name)) => Ok(canonical_file(dir)?.join(name)),
        _ => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_one_layout_even_if_files_are_missing() {
        let room = tempfile::tempdir().unwrap();
        let (real, link) = (room.path().join("real"), room.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let through =
            |dir: &Path| Layout::resolve(dir, Some(&dir.join("a/b/c.json")), None, false).unwrap();
        assert_eq!(through(&real), through(&link));
        assert!(!real.join("tmp").exists(), "looking creates nothing");
        Layout::resolve(&link, None, None, true).unwrap();
        assert!(real.join("tmp").exists());
    }
}
