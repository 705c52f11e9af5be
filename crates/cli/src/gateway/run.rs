//! `turnlock gateway run`: is the gateway, or runs it under the locks.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use tokio::task::spawn_blocking;
use turnlock::gateway::{self, Gateway, GatewayBuilder, Layout, Supervised};
use turnlock::{LockReport, LockState, Sessions};

use super::metrics::{Own, Watched};
use super::serve::{Hosts, Site, serve_beside};
use super::signals::{self, Signals};
use super::stop::{self, Grace};
use super::{Which, child, remains, serve};
use crate::failure::Failure;
use crate::options::Local;
use crate::output;

/// How long the release of the locks may take.
const RELEASE: Duration = Duration::from_millis(500);

/// Take the locks and the port, then serve /healthz and /metrics, or run CMD under the locks
///
/// Takes the state lock, then the config lock, then the port. Nothing else is touched before all
/// three are taken. CMD gets the port, and must stay in the foreground. All that CMD starts is part
/// of the gateway: it keeps the locks, and is ended when CMD or this process ends. If something is
/// left of an earlier gateway that was killed, it is named and ended first.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock gateway run --state-dir /data --port 18789
  turnlock gateway run --supervised --state-dir /data -- node gateway.mjs

Exit codes: those of CMD; 1 a lock was lost; 75 another gateway is running;
128 + N if signal N ended the wait for the locks;
78 (or 0) with --supervised: another gateway is healthy.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// The port to listen on; with 0 a free one, which CMD is told in OPENCLAW_GATEWAY_PORT
    /// [default: gateway.port of the config, else 18789]
    #[arg(long, env = "OPENCLAW_GATEWAY_PORT")]
    port: Option<u16>,
    /// Share the config with other gateways, each with a state directory and a port of its own
    #[arg(long)]
    multi: bool,
    /// How long to wait for the locks and the port
    #[arg(
        long,
        default_value = "5s",
        value_parser = humantime::parse_duration,
        value_name = "DURATION"
    )]
    timeout: Duration,
    /// If another gateway is healthy, end successfully: with 78 under systemd, else with 0
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "auto",
        value_name = "BY"
    )]
    supervised: Option<Supervisor>,
    /// How long --supervised gives another gateway to become healthy
    #[arg(
        long,
        default_value = "30s",
        value_parser = humantime::parse_duration,
        value_name = "DURATION"
    )]
    healthy_within: Duration,
    /// First stop the verified owner of the locks, if there is one; with PID no other process
    #[arg(long, num_args = 0..=1, value_name = "PID")]
    replace: Option<Option<i32>>,
    #[command(flatten)]
    grace: Grace,
    /// Serve /metrics and /healthz at this address too; the way to have them beside CMD
    #[arg(long, value_name = "IP:PORT")]
    metrics: Option<SocketAddr>,
    /// Answer requests for this host too; without it for addresses, localhost and names without a
    /// dot
    #[arg(long = "allow-host", value_name = "NAME")]
    allowed_hosts: Vec<String>,
    #[arg(long, hide = true)]
    force: bool,
    /// The program to run under the locks
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// The supervisor that restarts this process.
#[derive(Clone, Copy, ValueEnum)]
enum Supervisor {
    /// systemd if INVOCATION_ID or NOTIFY_SOCKET is set
    Auto,
    /// With RestartPreventExitStatus=78
    Systemd,
    /// Docker and others, where success is 0
    Other,
}

impl Supervisor {
    fn exit_code(self) -> ExitCode {
        match self {
            Self::Auto if !gateway::under_systemd() => ExitCode::SUCCESS,
            Self::Auto | Self::Systemd => ExitCode::from(gateway::EXIT_ALREADY_HEALTHY),
            Self::Other => ExitCode::SUCCESS,
        }
    }
}

/// Stops the verified owner of the locks, if there is one, and then runs.
pub(super) fn restart(mut args: Args) -> Result<ExitCode, Failure> {
    args.replace.get_or_insert(None);
    main(args)
}

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    let builder = args
        .which
        .builder(args.port)?
        .multi_gateway(args.multi)
        .acquire_timeout(args.timeout)
        .healthy_within(args.healthy_within);
    if args.force {
        return Err(stop::no_force());
    }
    match args.replace {
        Some(None) if gateway::status(&builder, None).is_ok_and(|seen| !seen.owner_lives()) => {}
        Some(pid) => {
            let port = args.port.filter(|port| *port != 0);
            stop::stop(&builder, pid, port, args.grace)?;
        }
        None => {}
    }
    output::aside::start();
    let runtime = signals::runtime()?;
    let ran = runtime.block_on(async {
        let mut signals = Signals::catch()?;
        let started = tokio::select! {
            signal = signals.end_alone() => return Ok(ended_by(signal)),
            started = start(builder.clone(), args.supervised.is_some()) => started?,
        };
        match started {
            Supervised::Started(gateway) => run(gateway, builder, signals, &args).await,
            Supervised::AlreadyHealthy(address) => {
                output::tell(&format!(
                    "a healthy gateway is already listening on ws://{address}; nothing to do"
                ));
                Ok(args.supervised.map_or(ExitCode::SUCCESS, Supervisor::exit_code))
            }
            _ => Err(Failure::new("unknown outcome")),
        }
    });
    // A look that still runs, perhaps on a dead mount, must not delay the end.
    runtime.shutdown_background();
    ran
}

/// Takes the locks and the port, after the end of what is left of an earlier gateway.
async fn start(gateway: GatewayBuilder, supervised: bool) -> Result<Supervised, Failure> {
    remains::end(&gateway).await?;
    let watched = gateway.clone();
    let acquire = async {
        match supervised {
            false => gateway.acquire().await.map(Supervised::Started),
            true => gateway.acquire_supervised().await,
        }
    };
    tokio::select! {
        acquired = acquire => Ok(acquired?),
        failure = remains::keep_ending(&watched) => Err(failure),
    }
}

/// Runs the gateway until it ends or is told to end, then releases everything.
async fn run(
    mut gateway: Gateway,
    builder: GatewayBuilder,
    mut signals: Signals,
    args: &Args,
) -> Result<ExitCode, Failure> {
    announce(&gateway);
    let (layout, local) = (gateway.layout().clone(), args.which.local);
    let own = Watched::Own(Box::new(Own { builder, layout: layout.clone() }));
    let site = Site::new(own, Hosts::new(&args.allowed_hosts))?;
    if let Some(address) = args.metrics {
        serve_beside(address, Arc::clone(&site)).await?;
    }
    let told_to_end = tokio::select! {
        signal = signals.end_alone() => Some(signal),
        // Many locks take a while, and those on a dead mount for ever.
        _ = spawn_blocking(move || sweep_sessions(&layout, local)) => None,
    };
    // With a program the port belongs to it from here on.
    let listener = gateway.take_tokio_listener();
    let gateway = Arc::new(gateway);
    let ended = match (&args.command[..], told_to_end, listener) {
        ([], Some(_), _) => Ok(ExitCode::SUCCESS),
        // The program has not run.
        (_, Some(signal), _) => Ok(ended_by(signal)),
        ([], None, Ok(Some(listener))) => serve::serve(listener, &gateway, signals, site).await,
        ([], None, Ok(None)) => Err(Failure::new("the gateway has no socket")),
        (_, None, Err(error)) => Err(error.into()),
        (command, None, Ok(listener)) => {
            drop(listener);
            child::run(&gateway, signals, command, args.which.profile.as_ref()).await
        }
    };
    let released = tokio::time::timeout(RELEASE, release(gateway)).await;
    // The reason for the end matters more than a lock that was lost by then.
    let ended = ended?;
    match released {
        Ok(released) => released?,
        // They fall with the process, and the next gateway takes their files over.
        Err(_) => output::tell("the files of the gateway's locks stay: their disk does not answer"),
    }
    Ok(ended)
}

/// Releases the locks, elsewhere than on this thread: their disk may not answer.
async fn release(mut gateway: Arc<Gateway>) -> Result<(), Failure> {
    // The last look may be under way.
    let gateway = loop {
        match Arc::try_unwrap(gateway) {
            Ok(gateway) => break gateway,
            Err(shared) => gateway = shared,
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let released = spawn_blocking(move || gateway.release_blocking()).await;
    released.map_err(|e| Failure::new(format!("cannot release the locks: {e}")))??;
    Ok(())
}

/// The exit code of a shell whose program this signal has ended.
fn ended_by(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}

fn announce(gateway: &Gateway) {
    let (address, pid) = (gateway.address(), std::process::id());
    output::tell(&format!(
        "gateway on ws://{address} (pid {pid}), state directory {}",
        gateway.layout().state_dir().display()
    ));
    if address.ip().is_unspecified() {
        output::tell(&format!(
            "warning: it listens on all addresses of this machine ({}): whoever can reach one of \
             them can use it. Name the address that is meant with --host, or keep strangers out \
             with a firewall",
            address.ip()
        ));
    }
}

/// Removes the stale locks of the sessions. Their holders died with an earlier gateway.
fn sweep_sessions(layout: &Layout, local: Local) {
    let sessions = match Sessions::builder().assume_local(local.assume_local).build() {
        Ok(sessions) => sessions,
        Err(error) => return output::tell(&error.to_string()),
    };
    for dir in layout.session_dirs() {
        match sessions.sweep(&dir) {
            Ok(found) => found.iter().for_each(tell_of_lock),
            Err(error) => output::tell(&error.to_string()),
        }
    }
}

fn tell_of_lock(lock: &LockReport) {
    let path = lock.lock.display();
    if lock.removed {
        let reasons: Vec<_> = lock.reasons.iter().map(|reason| reason.as_str()).collect();
        output::tell(&format!("removed a stale session lock: {path} ({})", reasons.join(", ")));
    } else if lock.state == LockState::Unseen {
        output::tell(&format!(
            "left a session lock whose owner may live in another container: {path}; if none uses \
             this directory, add --assume-local"
        ));
    }
}
