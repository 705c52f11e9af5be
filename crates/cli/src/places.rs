//! Where sessions are looked for. `status` and `doctor` take the same paths: directories, which are
//! searched downwards, session files, lock files, and quoted globs of those. Without a path they
//! look where the programs that are known keep their sessions.

mod layouts;
mod nothing;
mod pattern;
mod search;

pub(crate) use nothing::words;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::Failure;
use crate::output;

/// The exit code for a wrong command line.
const USAGE: u8 = 2;

/// A directory of sessions, or one session.
pub(crate) struct Place {
    /// Its path, as the arguments lead to it.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// What the library's doctor is told to examine for it.
    pub(crate) examined: PathBuf,
    pub(crate) instance: Instance,
}

/// What a place is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    Session,
    /// A link where a directory of sessions would be. It is not followed.
    Link,
}

/// Whose sessions they are: those of one state directory, or of one directory of any kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instance {
    #[serde(flatten, serialize_with = "output::plain_path")]
    pub(crate) path: PathBuf,
    /// The program whose layout it is, if that is known.
    pub(crate) program: Option<&'static str>,
    /// It is another program's and was not named, so that nothing is changed there.
    pub(crate) read_only: bool,
}

/// What the arguments lead to.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) places: Vec<Place>,
    /// Directories that may be those of a gateway.
    pub(crate) state_dirs: BTreeSet<PathBuf>,
    /// What could not be looked at.
    pub(crate) failed: Vec<Failure>,
    /// Whether there is any session.
    pub(crate) has_sessions: bool,
    /// Whether more was found than what the arguments name themselves.
    pub(crate) searched: bool,
    /// The directories that were searched.
    looked_below: Vec<PathBuf>,
    /// Those of them that an argument names, and that have nothing at all.
    empty: Vec<PathBuf>,
    /// For whom the advice is.
    subcommand: &'static str,
    /// Directories that have sessions, and are in no layout that is known.
    others: Vec<PathBuf>,
}

impl Found {
    /// What the arguments of this subcommand lead to. A bad path never hides the rest.
    ///
    /// # Errors
    /// If there is no argument, and nothing is where it is looked by default.
    pub(crate) fn of(arguments: &[PathBuf], subcommand: &'static str) -> Result<Self, Failure> {
        let mut found = Self { subcommand, ..Self::default() };
        if arguments.is_empty() {
            found.searched = true;
            for (dir, is_named) in layouts::default_places()? {
                found.search(&dir, is_named);
            }
        }
        for argument in arguments {
            match pattern::meant_by(argument) {
                Ok(paths) => {
                    let is_pattern = paths != [argument.clone()];
                    paths.iter().for_each(|path| found.add(path));
                    // Of what a pattern matches, some may be empty.
                    if is_pattern {
                        found.empty.retain(|dir| !paths.contains(dir));
                    }
                }
                Err(failure) => found.failed.push(failure),
            }
        }
        // Where there is no session at all, that is told of all of them.
        if found.has_sessions {
            for dir in std::mem::take(&mut found.empty) {
                let told = nothing::told(&[dir], &[], subcommand);
                found.failed.push(told.named("no-sessions"));
            }
        }
        Ok(found)
    }

    fn add(&mut self, path: &Path) {
        if path.is_dir() && !with_lock(path).exists() {
            return self.search(path, true);
        }
        if !exists(path) {
            let failure = Failure::new(format!(
                "no such file or directory: {}{}",
                path.display(),
                nothing::advice_beside(path, self.subcommand)
            ));
            return self.failed.push(failure.named("not-found"));
        }
        if !has_session_name(path) && !with_lock(path).exists() {
            let failure = Failure::new(format!(
                "{} is no session: the name of a session ends in `.jsonl`",
                path.display()
            ));
            return self.failed.push(failure.named("not-a-session"));
        }
        // The doctor has a finding for it.
        if self.subcommand == "status"
            && let Some(failure) = no_regular_file(path)
        {
            return self.failed.push(failure);
        }
        let is_lock = path.as_os_str().as_bytes().ends_with(b".jsonl.lock");
        let session = if is_lock { path.with_extension("") } else { path.to_owned() };
        let dir = session.parent().filter(|dir| !dir.as_os_str().is_empty());
        let instance = layouts::instance_of(dir.unwrap_or(Path::new(".")), true);
        self.has_sessions = true;
        self.places.push(Place {
            path: session,
            kind: Kind::Session,
            examined: path.to_owned(),
            instance,
        });
    }

    fn search(&mut self, dir: &Path, is_named: bool) {
        let walked = search::below(dir, is_named);
        if walked.failed.is_empty() {
            self.looked_below.push(dir.to_owned());
            let is_empty = walked.places.is_empty() && walked.state_dirs.is_empty();
            if is_empty && !walked.has_sessions {
                self.empty.push(dir.to_owned());
            }
        }
        self.searched |= walked.places.iter().any(|place| place.path != dir);
        self.has_sessions |= walked.has_sessions;
        self.places.extend(walked.places);
        self.state_dirs.extend(walked.state_dirs);
        self.failed.extend(walked.failed);
        self.others.extend(walked.others);
    }

    /// The instances, each once.
    pub(crate) fn instances(&self) -> BTreeSet<&Instance> {
        self.places.iter().map(|place| &place.instance).collect()
    }

    /// What to say where no session was found: that is not healthy, but perhaps a wrong path.
    /// `None` if other failures say what is wrong.
    pub(crate) fn nothing(&self) -> Option<Failure> {
        if self.looked_below.is_empty() {
            return None;
        }
        let told = nothing::told(&self.looked_below, &self.others, self.subcommand);
        Some(told.named("no-sessions"))
    }
}

/// What to say of a path that is a link, or another kind of file, and has no lock. Its sessions, if
/// it leads to any, have their locks elsewhere.
fn no_regular_file(path: &Path) -> Option<Failure> {
    let kind = path.symlink_metadata().ok()?.file_type();
    let why = if kind.is_symlink() {
        "it is a symbolic link; name the file itself"
    } else {
        "it is no regular file"
    };
    let is_one = kind.is_file() || with_lock(path).symlink_metadata().is_ok();
    let told = || Failure::new(format!("{}: {why}", path.display())).named("not-a-session");
    (!is_one).then(told)
}

fn has_session_name(path: &Path) -> bool {
    let name = path.as_os_str().as_bytes();
    name.ends_with(b".jsonl") || name.ends_with(b".jsonl.lock")
}

/// Whether the path, or the lock of a session that has no file yet, exists.
fn exists(path: &Path) -> bool {
    let is_there = |path: &Path| match path.symlink_metadata() {
        Ok(_) => true,
        // Whoever looks at it closely says what is wrong.
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    };
    is_there(path) || is_there(&with_lock(path))
}

fn with_lock(path: &Path) -> PathBuf {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    lock.into()
}

fn usage(message: &str) -> Failure {
    Failure::with_code(USAGE, message)
}
