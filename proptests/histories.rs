//! Generated histories on real files: actors in this process and in others take turns, post, rewrite, repair, get killed and get
//! robbed; and after every step the files, the locks and the answers are those of a reference model.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "histories/actor.rs"]
mod actor;
#[path = "histories/child.rs"]
mod child;
#[path = "histories/foreign.rs"]
mod foreign;
#[path = "histories/model.rs"]
mod model;
#[path = "histories/protocol.rs"]
mod protocol;
#[path = "histories/session.rs"]
mod session;
#[path = "histories/step.rs"]
mod step;
#[path = "histories/world.rs"]
mod world;

use proptest::test_runner::{Config, FileFailurePersistence};
use proptest_state_machine::prop_state_machine;
use world::World;

/// So many cases, or as many as `PROPTEST_CASES` says.
fn config() -> Config {
    let told = std::env::var("PROPTEST_CASES").ok();
    Config {
        cases: told.and_then(|n| n.parse().ok()).unwrap_or(64),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        max_shrink_iters: 3_000,
        ..Config::default()
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn histories_go_as_the_model_says(sequential 1..60 => World);
}
