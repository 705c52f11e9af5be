//! Where the programs that are known keep their sessions.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::{Instance, usage};
use crate::failure::Failure;

/// A program, and the directories of its sessions.
struct Layout {
    program: &'static str,
    /// The names of its directory in the home directory.
    homes: &'static [&'static str],
    /// Where in it sessions are looked for by default.
    parts: &'static [&'static str],
    shapes: &'static [Shape],
    /// It is OpenClaw's, so that its sessions are repaired also where they are not named.
    is_ours: bool,
}

/// How the path of a directory of sessions ends.
struct Shape {
    ends: &'static [Part],
    /// Also outside the program's directory.
    anywhere: bool,
    /// How the names of sessions begin.
    prefix: &'static str,
}

enum Part {
    Named(&'static str),
    Digits(usize),
    Any,
}

use Part::{Any, Digits, Named};

const fn at_home(ends: &'static [Part]) -> Shape {
    Shape { ends, anywhere: false, prefix: "" }
}

const LAYOUTS: [Layout; 6] = [
    Layout {
        program: "OpenClaw",
        homes: &[".openclaw", ".clawdbot", ".moltbot"],
        parts: &[""],
        shapes: &[
            Shape { ends: &[Named("agents"), Any, Named("sessions")], anywhere: true, prefix: "" },
            at_home(&[Named("sessions")]),
        ],
        is_ours: true,
    },
    Layout {
        program: "Codex",
        homes: &[".codex"],
        parts: &["sessions", "archived_sessions"],
        shapes: &[
            Shape {
                ends: &[Named("sessions"), Digits(4), Digits(2), Digits(2)],
                anywhere: true,
                prefix: "rollout-",
            },
            Shape { ends: &[Digits(4), Digits(2), Digits(2)], anywhere: true, prefix: "rollout-" },
            at_home(&[Named("archived_sessions")]),
        ],
        is_ours: false,
    },
    Layout {
        program: "Claude Code",
        homes: &[".claude"],
        parts: &["projects"],
        shapes: &[
            at_home(&[Named("projects"), Any, Any, Named("subagents")]),
            at_home(&[Named("projects"), Any]),
        ],
        is_ours: false,
    },
    Layout {
        program: "Copilot CLI",
        homes: &[".copilot"],
        parts: &["session-state"],
        shapes: &[at_home(&[Named("session-state"), Any]), at_home(&[Named("session-state")])],
        is_ours: false,
    },
    Layout {
        program: "pi",
        homes: &[".pi"],
        parts: &["agent/sessions"],
        shapes: &[
            at_home(&[Named("agent"), Named("sessions"), Any]),
            at_home(&[Named("agent"), Named("sessions")]),
        ],
        is_ours: false,
    },
    Layout {
        program: "Gemini CLI",
        homes: &[".gemini"],
        parts: &["tmp"],
        shapes: &[at_home(&[Named("tmp"), Any, Named("chats")])],
        is_ours: false,
    },
];

/// A directory of sessions of a program that is known.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) program: &'static str,
    pub(super) is_ours: bool,
    /// How many levels above it the directory of the instance is.
    pub(super) above: usize,
    prefix: &'static str,
}

impl Known {
    /// The directory of sessions of a state directory that has no agents.
    pub(super) const IN_STATE_DIR: Self =
        Self { program: "OpenClaw", is_ours: true, above: 1, prefix: "" };

    /// What the path of this directory tells, its links resolved.
    pub(super) fn by_path(names: &[OsString]) -> Option<Self> {
        LAYOUTS.iter().find_map(|layout| {
            let shape = layout.shapes.iter().find(|shape| shape.fits(names, layout.homes))?;
            Some(Self {
                program: layout.program,
                is_ours: layout.is_ours,
                above: shape.ends.len(),
                prefix: shape.prefix,
            })
        })
    }

    /// Whether a session of this program may have such a name.
    pub(super) fn may_be_named(&self, name: &[u8]) -> bool {
        name.starts_with(self.prefix.as_bytes())
    }
}

impl Shape {
    fn fits(&self, names: &[OsString], homes: &[&str]) -> bool {
        let Some(start) = names.len().checked_sub(self.ends.len()) else { return false };
        let is_home = || {
            let home = start.checked_sub(1).map(|at| &names[at]);
            home.is_some_and(|name| homes.iter().any(|home| name == home))
        };
        self.ends.iter().zip(&names[start..]).all(|(part, name)| part.is(name))
            && (self.anywhere || is_home())
    }
}

impl Part {
    fn is(&self, name: &OsStr) -> bool {
        match self {
            Named(word) => name == *word,
            Digits(count) => {
                name.len() == *count && name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
            }
            Any => true,
        }
    }
}

/// The names in a path with its links resolved.
pub(super) fn names(dir: &Path) -> Vec<OsString> {
    let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    real.components().map(|component| component.as_os_str().to_owned()).collect()
}

/// The instance of a directory of sessions.
pub(super) fn instance_of(dir: &Path, is_named: bool) -> Instance {
    match Known::by_path(&names(dir)) {
        Some(known) => instance(dir, known, !is_named),
        None => Instance { path: dir.to_owned(), program: None, read_only: false },
    }
}

/// The instance that has this directory of sessions.
pub(super) fn instance(dir: &Path, known: Known, is_foreign: bool) -> Instance {
    let path = match dir.ancestors().nth(known.above) {
        Some(path) if !path.as_os_str().is_empty() => path.to_owned(),
        // The path that was named begins below.
        _ => {
            let names = names(dir);
            names[..names.len().saturating_sub(known.above)].iter().collect()
        }
    };
    Instance { path, program: Some(known.program), read_only: is_foreign && !known.is_ours }
}

/// Where sessions are looked for if no path is named, and whether it was named in another way: the
/// state directory that the environment names, else what there is in the home directory.
pub(super) fn default_places() -> Result<Vec<(PathBuf, bool)>, Failure> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = named("OPENCLAW_STATE_DIR").map(PathBuf::from) {
        return if dir.is_dir() {
            Ok(vec![(dir, true)])
        } else {
            Err(usage(&format!(
                "there is no state directory {}; name a PATH, or set OPENCLAW_STATE_DIR",
                dir.display()
            )))
        };
    }
    let Some(home) = named("HOME").map(PathBuf::from) else {
        return Err(usage("no PATH was named, and neither OPENCLAW_STATE_DIR nor HOME is set"));
    };
    let places = places_in(&home);
    if places.is_empty() {
        let programs: Vec<_> = LAYOUTS.iter().map(|layout| layout.program).collect();
        return Err(usage(&format!(
            "nothing of {} is in {}; name a PATH, or set OPENCLAW_STATE_DIR",
            programs.join(", "),
            home.display()
        )));
    }
    Ok(places.into_iter().map(|place| (place, false)).collect())
}

/// Where in a home directory the programs keep their sessions, as far as it exists.
pub(super) fn places_in(home: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for layout in &LAYOUTS {
        for (dir, part) in
            layout.homes.iter().flat_map(|dir| layout.parts.iter().map(move |part| (dir, part)))
        {
            let place = home.join(dir).join(part);
            // Without the slash that an empty part leaves.
            let place: PathBuf = place.components().collect();
            if place.is_dir() {
                places.push(place);
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_known_by_their_paths() {
        for (path, known) in [
            ("/home/u/.openclaw/agents/main/sessions", Some(("OpenClaw", "/home/u/.openclaw"))),
            (
                "/opt/multi/data/oc7/config/agents/a/sessions",
                Some(("OpenClaw", "/opt/multi/data/oc7/config")),
            ),
            ("/home/u/.clawdbot/sessions", Some(("OpenClaw", "/home/u/.clawdbot"))),
            ("/srv/x/sessions", None),
            ("/home/u/.codex/sessions/2026/01/02", Some(("Codex", "/home/u/.codex"))),
            ("/backup/2026/01/02", Some(("Codex", "/backup"))),
            ("/backup/2026/1/02", None),
            ("/home/u/.codex/archived_sessions", Some(("Codex", "/home/u/.codex"))),
            ("/home/u/.claude/projects/-srv-x", Some(("Claude Code", "/home/u/.claude"))),
            (
                "/home/u/.claude/projects/-srv-x/9b/subagents",
                Some(("Claude Code", "/home/u/.claude")),
            ),
            ("/home/u/projects/x", None),
            ("/home/u/.copilot/session-state/9b", Some(("Copilot CLI", "/home/u/.copilot"))),
            ("/home/u/.copilot/session-state", Some(("Copilot CLI", "/home/u/.copilot"))),
            ("/home/u/.pi/agent/sessions/--srv--", Some(("pi", "/home/u/.pi"))),
            ("/home/u/.gemini/tmp/9b/chats", Some(("Gemini CLI", "/home/u/.gemini"))),
            ("/agents/sessions", None),
            ("/", None),
        ] {
            let instance = instance_of(Path::new(path), true);
            let expected = known.map_or((None, path), |(program, root)| (Some(program), root));
            assert_eq!((instance.program, instance.path.to_str().unwrap()), expected, "{path}");
        }
    }
}
