//! How many cases are tried, and what is kept of one that fails.

use proptest::test_runner::{Config, FileFailurePersistence};
use turnlock_testing::env::number;

/// This many cases, or as many as `PROPTEST_CASES` says. What fails is kept beside the test's
/// source, in a file with the extension `regressions`.
pub fn cases(cases: u32) -> Config {
    Config {
        cases: number("PROPTEST_CASES", cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        max_shrink_iters: 2_000,
        ..Config::default()
    }
}
