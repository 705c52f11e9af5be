//! `turnlock gateway monitor`: reports every change of a gateway's state once.

mod hook;
mod target;
mod webhook;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anstyle::AnsiColor;
use serde::Serialize;
use tokio::task::{JoinError, JoinHandle, JoinSet, spawn_blocking};
use tokio::time::timeout;
use turnlock::gateway::{Change, Condition, Health, Watch};

use super::metrics::{LastSeen, Watched as Metered};
use super::serve::{Hosts, Site, serve_beside};
use super::signals::{Signals, runtime};
use crate::failure::Failure;
use crate::output::{self, printable};
use hook::Hook;
use target::{Look, Target};

/// A look that takes longer hangs, perhaps on a dead mount.
const LONGEST_LOOK: Duration = Duration::from_secs(10);
/// With shorter pauses it would do nothing else.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// A year. Such a pause can be added to any time.
const LONGEST_PAUSE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Probe gateways and their session locks, and report every change of state once
///
/// healthy: the owner lives and answers. degraded: something is wrong (a stale or very old session
/// lock, an owner that does not listen, an answer that is not ok). locked up: it accepts
/// connections and does not answer, or its files cannot be looked at in time. gone: no gateway
/// runs. unknown: it cannot be seen from here, for lack of a permission or of descriptors.
#[derive(clap::Args)]
#[command(after_help = "\
The commands of --on-unhealthy and --on-recovered get the environment variables TURNLOCK_TARGET,
TURNLOCK_STATE, TURNLOCK_PREVIOUS, TURNLOCK_REASON (4096 bytes at most, without control characters),
TURNLOCK_ADDRESS, TURNLOCK_PID and TURNLOCK_AT (the time in UTC). What they write goes to standard
error.

Examples:
  turnlock gateway monitor ~/.openclaw --on-unhealthy 'mail -s \"gateway $TURNLOCK_STATE\" me'
  turnlock gateway monitor --once --json /data/a /data/b 127.0.0.1:18789

Exit codes: 0 ended by a signal; 2 usage. With --once: 0 all are healthy; 1 not all are.")]
pub(super) struct Args {
    /// State directories, or addresses (IP:PORT or NAME:PORT)
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<Target>,
    /// The pause between two looks, at least 50ms
    #[arg(long, default_value = "30s", value_parser = pause, value_name = "DURATION")]
    every: Duration,
    /// How many looks in a row must see a change
    #[arg(
        long,
        default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(1..),
        value_name = "N"
    )]
    after: u32,
    /// Run this with `sh -c` when a gateway is no longer healthy
    #[arg(long, value_name = "CMD")]
    on_unhealthy: Option<String>,
    /// Run this with `sh -c` when a gateway is healthy again
    #[arg(long, value_name = "CMD")]
    on_recovered: Option<String>,
    /// Post every change to this URL, as the JSON of --json
    #[arg(
        long,
        env = "TURNLOCK_WEBHOOK",
        hide_env_values = true,
        value_name = "URL",
        value_parser = webhook::url
    )]
    webhook: Option<String>,
    /// Serve /metrics and /healthz of this monitor at this address
    #[arg(long, value_name = "IP:PORT", conflicts_with = "once")]
    metrics: Option<SocketAddr>,
    /// Look once, for cron
    #[arg(long)]
    once: bool,
    /// One line of JSON per change
    #[arg(long)]
    json: bool,
}

/// Parses a pause. It is a year at most.
fn pause(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time < SHORTEST_PAUSE => Err("it must be at least 50ms".into()),
        Ok(time) => Ok(time.min(LONGEST_PAUSE)),
        Err(e) => Err(e.to_string()),
    }
}

/// A target, with what is known of it.
struct Watched {
    target: Target,
    watch: Watch,
    /// The running look. No other starts while it hangs, or threads on a dead mount would pile up.
    look: Option<JoinHandle<Look>>,
    /// The command for the last change, as long as it could not be started.
    pending: Option<Hook>,
}

impl Watched {
    async fn look(&mut self) -> Result<Look, JoinError> {
        let target = self.target.clone();
        let look = self.look.get_or_insert_with(|| spawn_blocking(move || target.observe()));
        let Ok(ended) = timeout(LONGEST_LOOK, look).await else { return Ok(Look::hangs()) };
        self.look = None;
        ended
    }
}

/// A change as it is reported. What was not seen is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
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
    output::aside::start();
    let runtime = runtime()?;
    let watched = runtime.block_on(watch(&args));
    // A look that hangs, perhaps on a dead mount, must not delay the end.
    runtime.shutdown_background();
    watched
}

async fn watch(args: &Args) -> Result<ExitCode, Failure> {
    let mut signals = Signals::catch()?;
    let last = LastSeen::default();
    if let Some(address) = args.metrics {
        let site = Site::new(Metered::Last(last.clone()), Hosts::new(&[]))?;
        serve_beside(address, site).await?;
    }
    let watched = |target: &Target| Watched {
        target: target.clone(),
        watch: Watch::new(args.after),
        look: None,
        pending: None,
    };
    let mut watches: Vec<_> = args.targets.iter().map(watched).collect();
    let mut rounds = tokio::time::interval(args.every);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        let round = async {
            rounds.tick().await;
            look(args, &mut watches, &last).await
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

/// Looks at all targets concurrently. Returns whether all are healthy.
async fn look(args: &Args, watches: &mut Vec<Watched>, last: &LastSeen) -> Result<bool, Failure> {
    let failed = |e: JoinError| Failure::new(e.to_string());
    let mut looks = JoinSet::new();
    for mut watched in watches.drain(..) {
        looks.spawn(async move { (watched.look().await, watched) });
    }
    let mut all_healthy = true;
    while let Some(done) = looks.join_next().await {
        let (look, mut watched) = done.map_err(failed)?;
        let look = look.map_err(failed)?;
        all_healthy &= look.condition == Condition::Healthy;
        last.note(watched.target.to_string(), look.seen());
        if let Some(change) = watched.watch.see(look.condition) {
            let report = Report::new(&watched.target, change, &look);
            print(args, &report).await?;
            watched.pending = args.hook_for(change).map(|hook| Hook::new(hook, &report));
            if let Some(url) = &args.webhook {
                let told = output::json(output::Schema::GatewayMonitor, &report)?;
                webhook::post(url, told, args.once).await;
            }
        }
        // One that could not be started is tried again at each look.
        watched.pending = match watched.pending.take() {
            Some(hook) => hook.start(args.once).await.err(),
            None => None,
        };
        watches.push(watched);
    }
    Ok(all_healthy)
}

impl Args {
    /// The command for a change, with the option that names it.
    fn hook_for(&self, change: Change) -> Option<(&'static str, &str)> {
        let is_healthy = |condition| condition == Condition::Healthy;
        match (change.from, change.to) {
            (_, to) if !is_healthy(to) => Some(("--on-unhealthy", self.on_unhealthy.as_deref()?)),
            (Some(from), _) if !is_healthy(from) => {
                Some(("--on-recovered", self.on_recovered.as_deref()?))
            }
            _ => None,
        }
    }
}

impl<'a> Report<'a> {
    fn new(target: &Target, change: Change, look: &'a Look) -> Self {
        let seen = look.seen.as_ref();
        Self {
            target: target.to_string(),
            change,
            error: look.error.as_deref(),
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

/// Writes a report, elsewhere than on this thread: whoever reads it may be slow.
async fn print(args: &Args, report: &Report<'_>) -> Result<(), Failure> {
    let text = if args.json {
        output::json(output::Schema::GatewayMonitor, report)?
    } else {
        line(report)
    };
    let written = spawn_blocking(move || output::answer(&text)).await;
    written.map_err(|e| Failure::new(format!("cannot write the answer: {e}")))?
}

fn line(report: &Report) -> String {
    let time = humantime::format_rfc3339_seconds(report.change.at);
    let before = report.change.from.map_or_else(String::new, |before| format!(" (was {before})"));
    let reason = report.reason();
    let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
    let colour = match report.change.to {
        Condition::Healthy => AnsiColor::Green,
        Condition::Degraded => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    let (style, state, target) = (colour.on_default(), report.change.to, printable(&report.target));
    format!("{time} {target} is {style}{state}{style:#}{before}{}\n", printable(&reason))
}
