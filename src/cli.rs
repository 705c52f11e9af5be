//! What the command line says, and who does it.

mod failure;
mod gateway;
mod stress;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// One turn at a time on the JSONL session files of AI agents.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Gateway(gateway::Args),
    Stress(stress::Args),
}

/// Does what was asked; the exit code is the answer.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let done: Result<ExitCode, Failure> = match cli.command {
        Command::Gateway(args) => gateway::main(args),
        Command::Stress(args) => stress::main(args),
    };
    done.unwrap_or_else(|failure| failure.report())
}
