//! Programs whose system calls are made to fail, or to stop them, by `strace` from outside.

use std::path::Path;

use crate::process::is_allowed;

/// What starts a program with these of strace's `-e` options. `None`, said aloud, where there is no
/// `strace` that may trace.
pub fn strace(options: &[&str]) -> Option<Vec<String>> {
    tracer(Path::new("/dev/null"), options, &[])
}

/// The same, with the calls written into a file.
pub fn strace_into(log: &Path, options: &[&str]) -> Option<Vec<String>> {
    tracer(log, options, &[])
}

/// The same, for nothing but the calls that name this path.
pub fn strace_at(path: &Path, options: &[&str]) -> Option<Vec<String>> {
    tracer(Path::new("/dev/null"), options, &["-P", path.to_str().expect("a plain name")])
}

fn tracer(log: &Path, options: &[&str], more: &[&str]) -> Option<Vec<String>> {
    let expressions = options.iter().flat_map(|option| ["-e", option]);
    let log = log.to_str().expect("a plain name");
    let program = ["strace", "-f", "-qq", "-o", log].into_iter().chain(expressions);
    let program: Vec<_> = program.chain(more.iter().copied()).map(String::from).collect();
    if is_allowed(&program) {
        return Some(program);
    }
    eprintln!("skipped: no strace that may trace");
    None
}
