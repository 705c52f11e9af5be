//! The program under test.

use std::ffi::OsStr;
use std::process::Command;

use turnlock_testing::signals::heed_signals;
use turnlock_testing::{Room, Running};

pub const TURNLOCK: &str = env!("CARGO_BIN_EXE_turnlock");

/// `turnlock` with arguments, and with nothing of this process's environment that it heeds.
pub fn turnlock<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    heed_signals();
    let mut command = Command::new(TURNLOCK);
    command
        .args(arguments)
        .env_remove("TURNLOCK_TURN")
        .env_remove("TURNLOCK_ASSUME_LOCAL")
        .env_remove("RUST_LOG");
    command
}

/// `turnlock run` with this session, its command a shell script that finds `$TURNLOCK`, `$SESSION`
/// and `$DIR`.
pub fn run(room: &Room, options: &[&str], script: &str) -> Running {
    let mut command = turnlock(["run"]);
    command.args(options).arg(&room.session).args(["--", "sh", "-c", script]);
    command.env("TURNLOCK", TURNLOCK).env("SESSION", &room.session).env("DIR", &room.dir);
    Running::start(command)
}

/// A turn that is held until the process is told to go on.
pub fn held(room: &Room, options: &[&str]) -> Running {
    let options = [&["--label", "the holder"], options].concat();
    let mut holder = run(room, &options, "echo ready; read go; exit 0");
    assert_eq!(holder.line(), "ready");
    holder
}
