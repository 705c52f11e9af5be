//! Programs whose system calls are made to fail, or to stop them, by `strace` from outside.

use crate::process::is_allowed;

/// What starts a program with these of strace's `-e` options. `None`, said aloud, where there is no
/// `strace` that may trace.
pub fn strace(options: &[&str]) -> Option<Vec<String>> {
    let expressions = options.iter().flat_map(|option| ["-e", option]);
    let program = ["strace", "-f", "-qq", "-o", "/dev/null"].into_iter().chain(expressions);
    let program: Vec<_> = program.map(String::from).collect();
    if is_allowed(&program) {
        return Some(program);
    }
    eprintln!("skipped: no strace that may trace");
    None
}
