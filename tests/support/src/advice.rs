//! What a message tells its reader to do, and a reader who does exactly that.

use std::path::Path;
use std::process::Command;

use crate::running::{Ended, ended};

/// The commands that a message advises, between backticks.
pub fn advised(message: &str) -> Vec<String> {
    message.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What does as it is advised: a shell, elsewhere, that finds `program` in its path.
pub fn follower(program: &str, advice: &str) -> Command {
    let mut path = Path::new(program).parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-c", advice]).env("PATH", path).current_dir("/");
    command
}

/// Does what a message advises.
pub fn follow(program: &str, advice: &str) -> Ended {
    ended(follower(program, advice))
}
