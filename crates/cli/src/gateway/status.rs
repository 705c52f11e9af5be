//! `turnlock gateway status`: shows owner, listener and health separately.

use std::process::ExitCode;

use anstyle::AnsiColor;
use turnlock::gateway::{self, GatewayReport, Listener, LockFacts};

use super::{Which, profile};
use crate::failure::Failure;
use crate::output::{self, printable};

/// Show who has the locks, who listens, and whether it is healthy
///
/// These are three different facts: a bound port, a healthy endpoint and a living owner prove
/// nothing about each other.
#[derive(clap::Args)]
#[command(after_help = "\
Exit codes: 0 the owner lives (with --require-healthy: and is healthy); 1 not so; 2 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// The port of the gateway [default: the one that its owner recorded, else gateway.port of the
    /// config, else 18789]
    #[arg(long)]
    port: Option<u16>,
    /// Fail unless the gateway answers healthy
    #[arg(long)]
    require_healthy: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    let report = gateway::status(&args.which.builder(args.port)?, args.port)?;
    tracing::info!(address = %report.address, health = %report.health, "looked");
    if args.json {
        output::answer_json(output::Schema::GatewayStatus, &report)?;
    } else {
        output::answer(&table(&report, &args.which))?;
    }
    let well = report.owner_lives() && (!args.require_healthy || report.health.is_healthy());
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(report: &GatewayReport, which: &Which) -> String {
    let mut rows = vec![
        ("state directory", report.state_dir.display().to_string()),
        ("config", report.config.display().to_string()),
        ("state lock", describe(report.state_lock.as_ref())),
        ("config lock", describe(report.config_lock.as_ref())),
        ("address", format!("ws://{}", report.address)),
        ("listener", listener(report)),
        ("health", report.health.to_string()),
    ];
    if let Some(remains) = &report.remains {
        rows.insert(4, ("left behind", remains.to_string()));
    }
    if let Some(profile) = &which.profile {
        rows.push(("service", profile::unit(Some(profile))));
    }
    let bold = AnsiColor::BrightWhite.on_default().bold();
    let line =
        |(name, fact): &(&str, String)| format!("{bold}{name:<15}{bold:#}  {}\n", printable(fact));
    rows.iter().map(line).collect()
}

fn describe(lock: Option<&LockFacts>) -> String {
    let Some(lock) = lock else { return "free".into() };
    let mut words = vec![lock.state.as_str().to_owned()];
    if let Some(process) = &lock.process {
        let there = match process.pid_here {
            Some(here) if here != process.pid => format!("pid {here} here, "),
            _ => String::new(),
        };
        words.push(format!("{there}pid {} ({})", process.pid, process.identity.as_str()));
        words.extend(process.start_time.map(|ticks| format!("start time {ticks}")));
        words.extend(process.command.clone());
    }
    words.extend(lock.reasons.iter().map(|reason| reason.as_str().to_owned()));
    words.extend(lock.error.clone());
    words.join(", ")
}

fn listener(report: &GatewayReport) -> String {
    let Some(listener) = &report.listener else { return "none".into() };
    match report.listener_is_owner {
        Some(true) if is_owner_itself(report, listener) => format!("{listener} (the owner)"),
        Some(true) => format!("{listener} (a process of the owner)"),
        Some(false) => format!("{listener} (not the owner)"),
        None => listener.to_string(),
    }
}

fn is_owner_itself(report: &GatewayReport, listener: &Listener) -> bool {
    let mut owners = report.locks().filter_map(|lock| lock.process.as_ref()?.pid_here);
    owners.any(|pid| listener.pids.contains(&pid))
}
