//! Numbers that environment variables set: how long a test runs, and how often.

use std::str::FromStr;

/// The number in this variable, or `default` if it is not set.
pub fn number<N: FromStr>(variable: &str, default: N) -> N {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}
