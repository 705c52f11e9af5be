//! The source as text: arrows between the library's rooms go one way, what is the system's is in
//! `sys`, and lines are short.
//!
//! Test code of the library is exempt from the first two: files named `tests.rs`, what is in
//! folders `tests`, and what stands under `#[cfg(test)]`.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `src`, each of which may refer to itself and to those below it.
const ROOMS: [&str; 18] = [
    // `src/lib.rs`, and `src/testing.rs`.
    "lib",
    "gateway",
    "sessions",
    "session",
    "lock",
    "datafile",
    "metrics",
    "place",
    "rules",
    "mode",
    "keeper",
    "threads",
    "outside",
    "faults",
    "error",
    "transcript",
    "compat",
    "sys",
];

/// What only `sys` may name.
const SYSTEM: [&str; 5] = ["rustix", "nix::", "libc", "std::os::", "windows_sys"];

const COLUMNS: usize = 100;

/// How far down a room is, by a name at the root of the crate.
fn rank(name: &str) -> Option<usize> {
    let room = match name {
        "testing" => "lib",
        "Error" | "Result" => "error",
        name => name,
    };
    ROOMS.iter().position(|one| *one == room)
}

/// A file of the library: its modules from the root of the crate on, and its code.
struct Source {
    path: PathBuf,
    modules: Vec<String>,
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        &self.modules[0]
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for path in files(&root().join("src"), "rs") {
        let path = path.strip_prefix(root()).unwrap().to_owned();
        let modules: Vec<_> = path
            .with_extension("")
            .iter()
            .skip(1)
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        if modules.iter().all(|module| module != "tests") {
            let code = code(&fs::read_to_string(root().join(&path)).unwrap());
            sources.push(Source { path, modules, code });
        }
    }
    assert!(sources.len() > 50, "the source is not where it was");
    sources
}

/// Files below a directory whose names end so. What tools made or fetched is passed over.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy();
        let passed = name.starts_with('.')
            || ["target", "node_modules", "corpus", "artifacts"].contains(&&*name);
        if path.is_dir() && !path.is_symlink() {
            if !passed {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found
}

/// A file without the lines that are comments, and without its tests. Lines keep their numbers.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut of_a_test = false;
    for line in text.lines() {
        of_a_test |= line == "#[cfg(test)]";
        if of_a_test {
            // A module of tests that is not in a file of its own is the last thing in its file.
            of_a_test = line.starts_with("#[") || !line.ends_with(';') || line.starts_with(' ');
        } else if !line.trim_start().starts_with("//") {
            code.push_str(line);
        }
        code.push('\n');
    }
    code
}

/// The names at the root of the crate that this code refers to, each with its line.
fn references(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        if within_a_name(code, at) {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let path = &code[at + prefix.len()..];
        let names = if path.starts_with('{') { listed(path) } else { vec![name(path)] };
        found.extend(names.into_iter().map(|name| (line, name)));
    }
    found
}

/// The name that a path begins with.
fn name(path: &str) -> &str {
    &path[..path.find(|c| !of_a_name(c)).unwrap_or(path.len())]
}

fn of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn within_a_name(code: &str, at: usize) -> bool {
    code[..at].ends_with(of_a_name)
}

fn says(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !within_a_name(line, at))
}

/// The names that the paths in braces begin with, but not those in braces inside.
fn listed(braces: &str) -> Vec<&str> {
    let (mut names, mut depth) = (Vec::new(), 0);
    for (at, c) in braces.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(c, '{' | ',') {
            names.push(name(braces[at + 1..].trim_start()));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The `use` statements of a file, not of modules inside it, that climb so many modules up.
fn climbs(code: &str) -> impl Iterator<Item = (usize, usize)> {
    (1..).zip(code.lines()).filter_map(|(number, line)| {
        let (before, path) = line.split_once("use ")?;
        let climbed = path.split("::").take_while(|name| *name == "super").count();
        (before.is_empty() || before.starts_with("pub")).then_some((number, climbed))
    })
}

fn assert_none(violations: &[String], what: &str) {
    assert!(violations.is_empty(), "{} {what}:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn no_room_refers_to_one_above_it() {
    let mut violations = Vec::new();
    for source in sources() {
        let room = source.room();
        let Some(own) = rank(room) else {
            violations.push(format!("{}: {room} is in no list of rooms", source.path.display()));
            continue;
        };
        for (line, name) in references(&source.code) {
            match rank(name) {
                Some(other) if other >= own => {}
                Some(_) => violations.push(format!("{}: {room} refers to {name}", source.at(line))),
                None => violations.push(format!("{}: {name} is no room", source.at(line))),
            }
        }
        for (line, _) in climbs(&source.code).filter(|(_, up)| *up >= source.modules.len()) {
            violations.push(format!("{}: `super` leaves the room {room}", source.at(line)));
        }
    }
    assert_none(&violations, "arrows go the wrong way");
}

#[test]
fn only_sys_speaks_to_the_system() {
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| source.room() != "sys") {
        for (number, line) in (1..).zip(source.code.lines()) {
            if let Some(word) = SYSTEM.iter().find(|word| says(line, word)) {
                violations.push(format!("{}: {word}", source.at(number)));
            }
        }
    }
    assert_none(&violations, "lines outside of src/sys name what is the system's");
}

#[test]
fn no_line_is_too_long() {
    let mut paths = files(root(), "md");
    for dir in ["src", "tests", "proptests", "benches", "crates", "fuzz"] {
        paths.extend(files(&root().join(dir), "rs"));
    }
    let mut violations = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            let columns = line.chars().count();
            if columns > COLUMNS {
                let path = path.strip_prefix(root()).unwrap().display();
                violations.push(format!("{path}:{number}: {columns} columns"));
            }
        }
    }
    assert_none(&violations, "lines are too long");
}

/// A check that finds nothing to look at would pass as well.
#[test]
fn what_code_refers_to_is_found() {
    let text = "\
//! Not this: crate::gateway.
use crate::{
    error::{Error, Result}, lock::{self, file::{Fence, Mark}},
    sys,
};
pub(crate) fn f() -> crate::Result<()> {
    mycrate::g(crate::place::h())
}
#[cfg(test)]
mod tests;
use crate::rules;
#[cfg(test)]
mod tests {
    use crate::sessions;
}
";
    let found = [(2, "error"), (2, "lock"), (2, "sys"), (6, "Result"), (7, "place"), (11, "rules")];
    assert_eq!(references(&code(text)), found);
    let up: Vec<_> = climbs("use super::super::a;\npub(crate) use super::b;\n    use super::c;\n")
        .filter(|(_, up)| *up > 0)
        .collect();
    assert_eq!(up, [(1, 2), (2, 1)]);
}
