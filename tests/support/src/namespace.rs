//! Namespaces for tests that mount, or that need a process to be the first of its kind.

use crate::alone::alone_through;
use crate::process::is_allowed;

fn unshare(arguments: &[&str], what: &str) -> Option<Vec<String>> {
    let program: Vec<_> =
        ["unshare"].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
    if is_allowed(&program) {
        return Some(program);
    }
    eprintln!("skipped: no right to make {what}, or no unshare");
    None
}

/// What starts a program in a PID namespace of its own, where it is process 1, as in a container.
/// `None`, said aloud, where that is not allowed.
pub fn pid_namespace() -> Option<Vec<String>> {
    unshare(&["--pid", "--fork", "--kill-child", "--mount-proc"], "a PID namespace")
}

/// What starts a program in a time namespace of its own, where the clocks that only run on are
/// ahead by so many seconds. `None`, said aloud, where that is not allowed.
pub fn time_namespace(ahead: u32) -> Option<Vec<String>> {
    let ahead = &ahead.to_string();
    let clocks = ["--monotonic", ahead, "--boottime", ahead];
    let arguments = [&["--time", "--fork", "--kill-child"][..], &clocks].concat();
    unshare(&arguments, "a time namespace")
}

/// What starts a program in a mount namespace of its own. `None`, said aloud, where that is not
/// allowed.
pub fn mount_namespace() -> Option<Vec<String>> {
    unshare(&["--mount"], "a mount namespace")
}

/// What starts a program as root of a user namespace with this map of users and groups, as in a
/// container that is nobody special outside. Lines of the map are separated by `\n`, spelled out.
/// `None`, said aloud, where that is not allowed.
pub fn user_namespace(map: &str) -> Option<Vec<String>> {
    // The map has to be written from outside.
    let script = format!(
        r#"me=$$; here=$(readlink /proc/self/ns/user)
        (
            while [ "$(readlink /proc/$me/ns/user)" = "$here" ]; do sleep 0.01; done
            printf '{map}\n' >/proc/$me/uid_map && printf '{map}\n' >/proc/$me/gid_map
        ) &
        exec unshare --user sh -c \
            'until grep -q . /proc/self/gid_map; do sleep 0.01; done; exec "$@"' sh "$@""#
    );
    let program = ["sh", "-c", &script, "sh"].map(String::from).to_vec();
    if is_allowed(&["unshare", "--user"].map(String::from)) {
        return Some(program);
    }
    eprintln!("skipped: no right to make a user namespace, or no unshare");
    None
}

/// Runs a test's body in a mount namespace of its own: however it ends, no mount and no loop device
/// stays. `test` is [`test_name!`](crate::test_name).
pub fn in_a_namespace(test: &str, body: impl FnOnce()) {
    if let Some(program) = mount_namespace() {
        alone_through(&program, test, body);
    }
}
