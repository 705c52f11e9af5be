//! `turnlock gateway`: one gateway per state directory and port.

mod child;
mod config;
mod doctor;
mod guard;
mod isolation;
mod metrics;
mod monitor;
mod probe;
mod profile;
mod remains;
mod run;
mod serve;
mod signals;
mod status;
mod stop;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use turnlock::gateway::{Gateway, GatewayBuilder};

pub(crate) use config::of_state_dir;

use crate::failure::Failure;
use crate::options::Local;
use profile::Profile;

/// Run one gateway per state directory and port, inspect it, watch it, stop it
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(Box<run::Args>),
    /// Stop the gateway, which is the verified owner of the locks, if there is one; then run one
    ///
    /// The same as `run --replace`. Where a supervisor runs it, let that restart it:
    /// `systemctl restart UNIT`, `docker restart CONTAINER`.
    Restart(Box<run::Args>),
    Status(status::Args),
    Probe(probe::Args),
    CheckIsolation(isolation::Args),
    Doctor(doctor::Args),
    Stop(stop::Args),
    Monitor(monitor::Args),
}

pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Run(args) => run::main(*args),
        Command::Restart(args) => run::restart(*args),
        Command::Status(args) => status::main(args),
        Command::Probe(args) => probe::main(args),
        Command::CheckIsolation(args) => isolation::main(args),
        Command::Doctor(args) => doctor::main(args),
        Command::Stop(args) => stop::main(args),
        Command::Monitor(args) => monitor::main(args),
    }
}

/// The options that name a gateway.
#[derive(clap::Args)]
struct Which {
    /// The state directory [default: ~/.openclaw, or that of the profile]
    #[arg(long, env = "OPENCLAW_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The profile of OpenClaw: its state directory is ~/.openclaw-NAME, unless one is named
    #[arg(long, env = "OPENCLAW_PROFILE", value_name = "NAME")]
    profile: Option<Profile>,
    /// The config file [default: openclaw.json in the state directory]
    #[arg(long, env = "OPENCLAW_CONFIG_PATH", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of the config lock [default: tmp/openclaw-<uid> in the state directory]
    #[arg(long, value_name = "DIR")]
    lock_dir: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1], or to look at [default: the one that a living
    /// owner recorded, else 127.0.0.1]
    #[arg(long, value_name = "IP")]
    host: Option<IpAddr>,
    #[command(flatten)]
    local: Local,
}

impl Which {
    /// The gateway with these options, and a port: the given one, else that in its config.
    fn builder(&self, port: Option<u16>) -> Result<GatewayBuilder, Failure> {
        let state_dir = match &self.state_dir {
            Some(dir) => dir.clone(),
            None => profile::state_dir(self.profile.as_ref())?,
        };
        let mut builder = Gateway::builder(&state_dir).assume_local(self.local.assume_local);
        let config = self.config.clone().unwrap_or_else(|| config::in_state_dir(&state_dir));
        if let Some(port) = port
            .or_else(|| config::told_port(&config))
            .or_else(|| self.profile.as_ref().and_then(Profile::port))
        {
            builder = builder.port(port);
        }
        if let Some(host) = self.host {
            builder = builder.host(host);
        }
        if let Some(config) = &self.config {
            builder = builder.config(config);
        }
        if let Some(dir) = &self.lock_dir {
            builder = builder.lock_dir(dir);
        }
        Ok(builder)
    }
}
