//! Generated cases: histories of turns beside a model, and damaged files beside a rule.
//!
//! `PROPTEST_CASES` sets the number of cases of each test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cases;
mod histories;
mod repair;
mod turns;
