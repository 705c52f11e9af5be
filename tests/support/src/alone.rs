//! A test in a process of its own: this test binary again, which runs nothing but that test.

use std::process::{Command, Stdio};

/// The name of the test that this stands in, as the test binary knows it.
#[macro_export]
macro_rules! test_name {
    () => {{
        fn here() {}
        $crate::alone::name_of(here)
    }};
}

/// See [`test_name!`].
pub fn name_of<F>(_here: F) -> String {
    let path = std::any::type_name::<F>().replace("::{{closure}}", "");
    let (_crate, path) = path.split_once("::").expect("a function is in a crate");
    path.strip_suffix("::here").expect("see `test_name!`").to_owned()
}

/// This test binary again, which runs nothing but this test and shows what it prints.
pub fn this_binary(test: &str) -> Command {
    through(&[], test)
}

/// The same, started by another program, given with its arguments.
pub fn through(program: &[String], test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    if program.is_empty() { command } else { crate::process::through(program, &command) }
}

/// Runs a test's body in a process of its own, where it may count threads and descriptors, and set
/// limits. `test` is [`test_name!`].
pub fn alone(test: &str, body: impl FnOnce()) {
    alone_through(&[], test, body);
}

/// The same, in a process that another program starts, given with its arguments.
pub fn alone_through(program: &[String], test: &str, body: impl FnOnce()) {
    const ALONE: &str = "TURNLOCK_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        crate::process::die_with_parent();
        return body();
    }
    let mut command = through(program, test);
    command.env(ALONE, "1").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // A name that fits no test would pass as well.
    assert!(output.status.success() && text.contains("1 passed"), "{test}, by itself: {text}");
}
