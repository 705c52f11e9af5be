//! `turnlock gateway monitor`: tells of every change of a gateway's state once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anstyle::AnsiColor;
use serde::Serialize;
use tokio::process::Command;
use tokio::task::JoinSet;
use turnlock::gateway::{self, Change, Condition, Gateway, Health, Observation, Watch};

use super::signals::{Signals, runtime};
use crate::cli::failure::Failure;
use crate::cli::output::{self, printable};

/// A year.
const LONGEST_PAUSE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Probe gateways and their session locks, and tell of every change of state once
///
/// healthy: the owner lives and answers. degraded: something is wrong (a stale or very long session lock, an owner that does
/// not listen, an answer that is not ok). locked up: it accepts connections and does not answer. gone: nobody is there.
#[derive(clap::Args)]
#[command(
    after_help = "The command of --on-unhealthy finds the facts in TURNLOCK_TARGET, TURNLOCK_STATE, TURNLOCK_PREVIOUS,
TURNLOCK_REASON, TURNLOCK_ADDRESS and TURNLOCK_PID.

Examples:
  turnlock gateway monitor ~/.openclaw --on-unhealthy 'mail -s \"gateway $TURNLOCK_STATE\" me'
  turnlock gateway monitor --once --json /data/a /data/b 127.0.0.1:18789

Exit codes: 0 ended by SIGTERM, or with --once: all are healthy; 1 with --once: not all are; 2 usage."
)]
pub(super) struct Args {
    /// State directories, or addresses (IP:PORT)
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<Target>,
    /// How often to look
    #[arg(long, default_value = "30s", value_parser = pause, value_name = "TIME")]
    every: Duration,
    /// How many looks in a row must see a change
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    after: u32,
    /// Run by `sh -c` when a gateway is not healthy any more
    #[arg(long, value_name = "CMD")]
    on_unhealthy: Option<String>,
    /// One look, for cron
    #[arg(long)]
    once: bool,
    /// One line of JSON for each change
    #[arg(long)]
    json: bool,
}

/// Longer than zero, and such that it can be added to any time.
fn pause(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("it must be longer than zero".into()),
        Ok(time) => Ok(time.min(LONGEST_PAUSE)),
        Err(e) => Err(e.to_string()),
    }
}

/// Whom to watch.
#[derive(Clone)]
enum Target {
    StateDir(PathBuf),
    Address(SocketAddr),
}

impl FromStr for Target {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::StateDir(text.into()), Self::Address))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::StateDir(dir) => dir.display().fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Target {
    /// What cannot be looked at is gone, and why is told.
    fn observe(&self) -> (Option<Observation>, Option<String>) {
        match self {
            Self::Address(address) => (Some(gateway::observe_address(*address)), None),
            Self::StateDir(dir) => match gateway::observe(&Gateway::builder(dir), None) {
                Ok(seen) => (Some(seen), None),
                Err(error) => (None, Some(error.to_string())),
            },
        }
    }
}

/// What is told of a change; of what was not seen too, as nothing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    target: String,
    #[serde(flatten)]
    change: Change,
    error: Option<&'a str>,
    condition: Condition,
    reasons: &'a [String],
    address: Option<SocketAddr>,
    health: Option<&'a Health>,
    pid: Option<i32>,
    held_sessions: Option<usize>,
    stale_sessions: Option<usize>,
}

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let watched = runtime.block_on(watch(&args));
    // A look that hangs, on a dead mount perhaps, keeps nobody.
    runtime.shutdown_background();
    watched
}

async fn watch(args: &Args) -> Result<ExitCode, Failure> {
    let mut signals = Signals::catch()?;
    let mut watches: Vec<_> = args.targets.iter().map(|_| Watch::new(args.after)).collect();
    let mut rounds = tokio::time::interval(args.every);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        let round = async {
            rounds.tick().await;
            look(args, &mut watches).await
        };
        tokio::select! {
            () = signals.end() => return Ok(ExitCode::SUCCESS),
            looked = round => {
                let all_healthy = looked?;
                if args.once {
                    return Ok(if all_healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE });
                }
            }
        }
    }
}

/// One look at all of them, side by side; whether all are healthy.
async fn look(args: &Args, watches: &mut [Watch]) -> Result<bool, Failure> {
    let mut looks = JoinSet::new();
    for (index, target) in args.targets.iter().cloned().enumerate() {
        looks.spawn_blocking(move || (index, target.observe()));
    }
    let mut all_healthy = true;
    while let Some(done) = looks.join_next().await {
        let (index, (seen, error)) = done.map_err(|e| Failure::new(e.to_string()))?;
        let now = seen.as_ref().map_or(Condition::Gone, |seen| seen.condition);
        all_healthy &= now == Condition::Healthy;
        if let (Some(watch), Some(target)) = (watches.get_mut(index), args.targets.get(index))
            && let Some(change) = watch.see(now)
        {
            let told = Told::new(target, change, seen.as_ref(), error.as_deref());
            tell(args, &told)?;
            if now != Condition::Healthy {
                run_command(args, &told).await;
            }
        }
    }
    Ok(all_healthy)
}

impl<'a> Told<'a> {
    fn new(target: &Target, change: Change, seen: Option<&'a Observation>, error: Option<&'a str>) -> Self {
        Self {
            target: target.to_string(),
            change,
            error,
            condition: change.to,
            reasons: seen.map_or(&[], |seen| &seen.reasons),
            address: seen.map(|seen| seen.address),
            health: seen.map(|seen| &seen.health),
            pid: seen.and_then(|seen| seen.pid),
            held_sessions: seen.map(|seen| seen.held_sessions),
            stale_sessions: seen.map(|seen| seen.stale_sessions),
        }
    }

    fn reason(&self) -> String {
        self.error.map_or_else(|| self.reasons.join("; "), str::to_owned)
    }
}

fn tell(args: &Args, told: &Told) -> Result<(), Failure> {
    if args.json {
        return output::answer_json(told);
    }
    let time = humantime::format_rfc3339_seconds(told.change.at);
    let before = told.change.from.map_or_else(String::new, |before| format!(" (was {before})"));
    let reason = told.reason();
    let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
    let colour = match told.change.to {
        Condition::Healthy => AnsiColor::Green,
        Condition::Degraded => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    let (style, state, target) = (colour.on_default(), told.change.to, printable(&told.target));
    output::answer(&format!("{time} {target} is {style}{state}{style:#}{before}{}\n", printable(&reason)))
}

/// Its end is waited for only by a single look: a command that hangs must not blind the monitor.
async fn run_command(args: &Args, told: &Told<'_>) {
    let Some(command) = &args.on_unhealthy else { return };
    let address = told.address.map(|address| address.to_string()).unwrap_or_default();
    let pid = told.pid.map(|pid| pid.to_string()).unwrap_or_default();
    let started = Command::new("sh")
        .args(["-c", command])
        .env("TURNLOCK_TARGET", &told.target)
        .env("TURNLOCK_STATE", told.change.to.to_string())
        .env("TURNLOCK_PREVIOUS", told.change.from.map(|from| from.to_string()).unwrap_or_default())
        .env("TURNLOCK_REASON", told.reason())
        .env("TURNLOCK_ADDRESS", address)
        .env("TURNLOCK_PID", pid)
        .spawn();
    match started {
        Ok(mut child) if args.once => drop(child.wait().await),
        Ok(mut child) => drop(tokio::spawn(async move { child.wait().await })),
        Err(e) => output::tell(&format!("cannot run the command of --on-unhealthy: {e}")),
    }
}
