//! `turnlock gateway check-isolation`: whether several gateways keep out of each other's way.

use std::path::PathBuf;
use std::process::ExitCode;

use turnlock::gateway;

use crate::cli::failure::Failure;
use crate::cli::output::{self, printable};

/// Compare gateways that are to run beside each other: config, state directory, workspaces, ports
///
/// Each must have its own. Ports are derived from the base port (browser control: base + 2; browsers: up to base + 110), so
/// that base ports must be at least 120 apart. Nothing is changed.
#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 they keep out of each other's way; 1 they do not; 2 usage.")]
pub(super) struct Args {
    /// State directories, or config files (whose directories are then the state directories)
    #[arg(required = true, num_args = 2.., value_name = "DIR|FILE")]
    gateways: Vec<PathBuf>,
    /// For machines
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    let conflicts = gateway::check_isolation(&args.gateways)?;
    if args.json {
        output::answer_json(&conflicts)?;
    } else if conflicts.is_empty() {
        output::answer(&format!("{} gateways, each on its own.\n", args.gateways.len()))?;
    } else {
        let lines: String = conflicts
            .iter()
            .map(|conflict| format!("- {}\n", printable(&conflict.to_string())))
            .collect();
        output::answer(&lines)?;
    }
    Ok(if conflicts.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
