//! `turnlock gateway doctor`: finds what is wrong with a gateway's locks and port.

use std::process::ExitCode;

use serde::Serialize;
use turnlock::gateway;

use super::Which;
use crate::failure::Failure;
use crate::output::{self, printable};

/// Find what is wrong with a gateway's locks and port; --fix removes what nobody holds
///
/// Finds stale gateway locks, orphaned .reclaim directories, a listener that no lock names, and an
/// owner that does not listen.
#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 healthy, or everything fixed; 1 findings remain; 2 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// The port of the gateway [default: the one that its owner recorded, else gateway.port of the
    /// config, else 18789]
    #[arg(long)]
    port: Option<u16>,
    /// Remove stale gateway locks and orphaned .reclaim directories
    #[arg(long)]
    fix: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// The answer in JSON.
#[derive(Serialize)]
struct Answer<'a> {
    findings: &'a [gateway::Finding],
}

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    let findings = gateway::doctor(&args.which.builder(args.port)?, args.port, args.fix)?;
    if args.json {
        output::answer_json(output::Schema::GatewayDoctor, &Answer { findings: &findings })?;
    } else if findings.is_empty() {
        output::answer("Nothing is wrong with the gateway's locks and port.\n")?;
    } else {
        let lines: String = findings
            .iter()
            .map(|finding| format!("- {}\n", printable(&finding.to_string())))
            .collect();
        let next = match findings.iter().any(gateway::Finding::is_fixable) && !args.fix {
            true => "Run it again with --fix to remove what nobody holds.\n",
            false => "",
        };
        output::answer(&(lines + next))?;
    }
    Ok(if findings.iter().all(|finding| finding.fixed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
