//! The walk through the directories, the nearest first.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::{Progress, Walked};
use crate::failure::Failure;
use crate::places::layouts::{self, Known};
use crate::places::{Instance, Kind, Place};

/// So many levels below a directory are looked at.
const DEEPEST: usize = 12;
/// So many directories are looked into.
const MOST: usize = 20_000;
/// Directories in which nobody keeps sessions, and which may be very large.
const PASSED: [&str; 3] = ["node_modules", ".git", "lost+found"];
/// The system's own.
const SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A directory that is ahead.
struct Ahead {
    dir: PathBuf,
    /// The names in its path, with links resolved.
    names: Vec<OsString>,
    depth: usize,
    /// It is the `sessions` of a state directory.
    is_of_state_dir: bool,
}

pub(super) struct Walk<'a> {
    root: PathBuf,
    is_named: bool,
    progress: &'a Progress,
    /// How many names the path of the root has.
    root_length: usize,
    /// What the look into one directory finds.
    found: Walked,
}

impl<'a> Walk<'a> {
    pub(super) fn new(root: &Path, is_named: bool, progress: &'a Progress) -> Self {
        let root_length = layouts::names(root).len();
        // Without a slash at the end.
        let root = root.components().collect();
        Self { root, is_named, progress, root_length, found: Walked::default() }
    }

    pub(super) fn run(mut self) {
        let (dir, names) = (self.root.clone(), layouts::names(&self.root));
        let mut ahead = VecDeque::from([Ahead { dir, names, depth: 0, is_of_state_dir: false }]);
        let mut is_cut = false;
        while let Some(next) = ahead.pop_front() {
            if self.progress.looked_into() >= MOST {
                is_cut = true;
                break;
            }
            self.progress.found().1.clone_from(&next.dir);
            self.progress.looked_into.fetch_add(1, Ordering::Relaxed);
            let below = self.look_into(&next);
            self.progress.found().0.add(std::mem::take(&mut self.found));
            if next.depth < DEEPEST {
                ahead.extend(below);
            }
        }
        // What lies in a state directory itself are no sessions.
        let is_instance =
            |place: &Place| place.instance.program.is_some() && place.instance.path == self.root;
        let found = &mut self.progress.found().0;
        if found.places.iter().any(is_instance) {
            found.places.retain(|place| place.instance.program.is_some());
        }
        if is_cut {
            let told = format!(
                "{}: {MOST} directories were looked into, and there are more: name a directory \
                 further down",
                self.root.display()
            );
            found.failed.push(Failure::new(told).named("search-limit"));
        }
    }

    /// Notes what is in a directory, and returns the directories in it.
    fn look_into(&mut self, here: &Ahead) -> Vec<Ahead> {
        let known = match Known::by_path(&here.names) {
            None if here.is_of_state_dir => Some(Known::IN_STATE_DIR),
            known => known,
        };
        let entries = match here.dir.read_dir() {
            Ok(entries) => entries,
            // Whoever looks at it closely says what is wrong.
            Err(_) if here.depth == 0 || known.is_some() => {
                self.found.has_sessions = true;
                self.note(here, known);
                return Vec::new();
            }
            Err(error) => {
                let told = format!("cannot look into {}: {error}", here.dir.display());
                self.found.failed.push(Failure::new(told).named("io"));
                return Vec::new();
            }
        };
        let (mut dirs, mut links) = (Vec::new(), Vec::new());
        let (mut has_session, mut is_used, mut is_state_dir) = (false, false, false);
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            if kind.is_dir() {
                is_state_dir |= name == "agents";
                dirs.push(name.clone());
            } else if kind.is_symlink() {
                links.push(name.clone());
            }
            let bytes = name.as_bytes();
            is_state_dir |= name == "gateway.state.lock";
            has_session |= is_session(bytes) && known.is_none_or(|known| known.may_be_named(bytes));
            is_used |= bytes.starts_with(b".turnlock-") || contains(bytes, b".jsonl");
        }
        if is_state_dir && (here.depth == 0 || here.dir.join("gateway.state.lock").exists()) {
            self.found.state_dirs.insert(here.dir.clone());
        }
        let is_place = match known {
            Some(known) => has_session || known.is_ours || here.depth == 0 && is_used,
            None => here.depth == 0 && is_used,
        };
        if is_place {
            self.found.has_sessions |= has_session;
            self.note(here, known);
        } else if has_session {
            self.found.others.push(here.dir.clone());
        }
        let below = |name: OsString| {
            let is_of_state_dir = name == "sessions" && (is_state_dir || here.depth == 0);
            let (dir, mut names) = (here.dir.join(&name), here.names.clone());
            names.push(name);
            Ahead { dir, names, depth: here.depth + 1, is_of_state_dir }
        };
        for link in links.into_iter().map(below) {
            self.note_link(&link);
        }
        dirs.sort_unstable();
        let is_passed = |name: &OsString| PASSED.iter().any(|passed| name == passed);
        let ahead = dirs.into_iter().filter(|name| !is_passed(name)).map(below);
        ahead.filter(|ahead| !SYSTEM.iter().any(|dir| ahead.dir == Path::new(dir))).collect()
    }

    fn note(&mut self, here: &Ahead, known: Option<Known>) {
        let (instance, examined) = match known {
            Some(known) => self.instance(here, known),
            None => {
                let path = here.dir.clone();
                (Instance { path, program: None, read_only: false }, here.dir.clone())
            }
        };
        self.found.places.push(Place {
            path: here.dir.clone(),
            kind: Kind::Directory,
            examined,
            instance,
        });
    }

    fn instance(&mut self, here: &Ahead, known: Known) -> (Instance, PathBuf) {
        let root_of_instance = here.names.len() - known.above;
        let is_named = self.is_named && self.root_length >= root_of_instance;
        let instance = layouts::instance(&here.dir, known, !is_named);
        // A state directory is examined as such: the links in it are reported.
        let is_below = root_of_instance >= self.root_length;
        if known.is_ours && is_below {
            self.found.state_dirs.insert(instance.path.clone());
            (instance.clone(), instance.path)
        } else {
            (instance, here.dir.clone())
        }
    }

    /// A link in the place of a directory of sessions is not followed, and told.
    fn note_link(&mut self, link: &Ahead) {
        let known = Known::by_path(&link.names);
        if !link.is_of_state_dir && known.is_none_or(|known| !known.is_ours) {
            return;
        }
        let known = known.unwrap_or(Known::IN_STATE_DIR);
        let (instance, examined) = self.instance(link, known);
        if examined == link.dir {
            let told = format!(
                "{} is a symbolic link, and not followed; name its target to have that looked at",
                link.dir.display()
            );
            self.found.failed.push(Failure::new(told).named("link"));
            return;
        }
        self.found.has_sessions = true;
        self.found.places.push(Place {
            path: link.dir.clone(),
            kind: Kind::Link,
            examined,
            instance,
        });
    }
}

fn is_session(name: &[u8]) -> bool {
    name.ends_with(b".jsonl") || name.ends_with(b".jsonl.lock")
}

fn contains(name: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(name, part).is_some()
}
