//! The log of the library's events, on standard error.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::output;

/// Starts logging. `RUST_LOG` takes precedence over `-v`.
pub(crate) fn start(verbose: u8) {
    let asked =
        std::env::var("RUST_LOG").ok().and_then(|directives| directives.parse::<Targets>().ok());
    let level = match verbose {
        0 => LevelFilter::ERROR,
        // Turns that begin and end are told so.
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let colours =
        stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(|| output::aside::Stderr)
        .with_ansi(colours)
        .log_internal_errors(false);
    let filter = asked.unwrap_or_else(|| Targets::new().with_target("turnlock", level));
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
}
