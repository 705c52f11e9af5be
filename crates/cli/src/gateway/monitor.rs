//! `turnlock gateway monitor`: tells of every change of a gateway's state once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anstyle::AnsiColor;
use serde::Serialize;
use tokio::process::Command;
use tokio::task::{JoinError, JoinHandle, JoinSet, spawn_blocking};
use tokio::time::timeout;
use turnlock::gateway::{self, Change, Condition, Gateway, Health, Observation, Watch};

use super::signals::{Signals, runtime};
use crate::failure::Failure;
use crate::output::{self, printable};

/// What takes longer does not answer: a dead mount, perhaps.
const LONGEST_LOOK: Duration = Duration::from_secs(10);
/// A year.
const LONGEST_PAUSE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Probe gateways and their session locks, and tell of every change of state once
///
/// healthy: the owner lives and answers. degraded: something is wrong (a stale or very long session lock, an owner that does
/// not listen, an answer that is not ok). locked up: it accepts connections and does not answer, or its
/// files cannot be looked at in time. gone: nobody is there.
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
    fn observe(&self) -> Look {
        match self {
            Self::Address(address) => gateway::observe_address(*address).into(),
            Self::StateDir(dir) => match gateway::observe(&Gateway::builder(dir), None) {
                Ok(seen) => seen.into(),
                Err(error) => {
                    Look { condition: Condition::Gone, seen: None, error: Some(error.to_string()) }
                }
            },
        }
    }
}

/// What a look brought; or as what counts that it brought nothing, and why.
struct Look {
    condition: Condition,
    seen: Option<Observation>,
    error: Option<String>,
}

impl From<Observation> for Look {
    fn from(seen: Observation) -> Self {
        Self { condition: seen.condition, seen: Some(seen), error: None }
    }
}

impl Look {
    fn hangs() -> Self {
        let error = format!("the look at it did not end within {} s", LONGEST_LOOK.as_secs());
        Self { condition: Condition::LockedUp, seen: None, error: Some(error) }
    }
}

/// A target that is looked at again and again.
struct Watched {
    target: Target,
    watch: Watch,
    /// One that hangs stays the only one: threads that wait for a dead mount would pile up.
    look: Option<JoinHandle<Look>>,
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
    let watched = |target: &Target| Watched {
        target: target.clone(),
        watch: Watch::new(args.after),
        look: None,
    };
    let mut watches: Vec<_> = args.targets.iter().map(watched).collect();
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
async fn look(args: &Args, watches: &mut Vec<Watched>) -> Result<bool, Failure> {
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
        if let Some(change) = watched.watch.see(look.condition) {
            let told = Told::new(&watched.target, change, &look);
            tell(args, &told)?;
            if look.condition != Condition::Healthy {
                run_command(args, &told).await;
            }
        }
        watches.push(watched);
    }
    Ok(all_healthy)
}

impl<'a> Told<'a> {
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
    output::answer(&format!(
        "{time} {target} is {style}{state}{style:#}{before}{}\n",
        printable(&reason)
    ))
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
