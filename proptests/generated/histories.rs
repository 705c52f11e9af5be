//! Histories on real files: actors in this process and in others take turns, post, rewrite, repair,
//! get killed and get robbed. After every step the files, the locks and the answers are those of a
//! reference model.

mod actor;
mod child;
mod foreign;
mod model;
mod protocol;
mod session;
mod step;
mod world;

use proptest::test_runner::Config;
use proptest_state_machine::prop_state_machine;

use crate::cases::cases;
use world::World;

prop_state_machine! {
    #![proptest_config(Config { max_shrink_iters: 3_000, ..cases(64) })]

    #[test]
    fn histories_go_as_the_model_says(sequential 1..60 => World);
}
