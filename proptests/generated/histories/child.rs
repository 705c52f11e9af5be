//! An actor in another process: this test binary again.

use turnlock_testing::alone::this_binary;
use turnlock_testing::child::{Child, obey, say};

use super::actor::Actor;
use super::protocol::{Answer, Ask};

const ROLE: &str = "TURNLOCK_HISTORIES_CHILD";

/// Starts one. It is killed when it is dropped.
pub fn child(task: bool) -> Child<Ask, Answer> {
    let mut command = this_binary("histories::child::role");
    command.env(ROLE, if task { "task" } else { "thread" });
    let child = Child::start(command);
    assert_eq!(child.answer(), Answer::Ready);
    child
}

/// Not a test: the child's side. Run as a test, it returns at once.
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut actor = Actor::new(role == "task");
    say(&Answer::Ready);
    obey(|ask| actor.obey(ask));
}
