//! The command `turnlock`: the library for scripts and operators.

#![warn(clippy::unwrap_used, clippy::expect_used)]

mod append;
mod beside;
mod children;
mod doctor;
mod enclosing;
mod exec;
mod failure;
mod gateway;
mod inherited;
mod input;
mod lend;
mod logging;
mod options;
mod output;
mod pages;
mod places;
mod read;
mod reaper;
mod revoke;
mod run;
mod signals;
mod status;
mod stress;
mod waiting;

use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};

use failure::Failure;

/// One turn at a time on the JSONL session files of AI agents.
#[derive(Parser)]
#[command(name = "turnlock", version, arg_required_else_help = true, after_help = CODES)]
struct Cli {
    /// Be taken for one of this program's processes, so that it does not remove turnlock's locks
    #[arg(long, global = true, value_name = "PROGRAM", help_heading = "Global options")]
    beside: Option<beside::Program>,

    /// Say on standard error what happens; repeat for more detail (RUST_LOG selects more precisely)
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    verbose: u8,

    #[command(subcommand)]
    command: Command,
}

const CODES: &str = "\
Exit codes: 0 done; 1 failure; 2 usage; 65 the input is not JSON; 75 busy, try again;
78 another gateway is healthy; 79 the command of `run` succeeded, but its turn was lost meanwhile.
`run` passes on the exit code of its command: 126 if it cannot be run, 127 if it is not found,
128 + N if signal N ended it.";

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Append(append::Args),
    Post(append::PostArgs),
    Read(read::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    #[command(visible_alias = "break")]
    Revoke(revoke::Args),
    Gateway(gateway::Args),
    Stress(stress::Args),
    Completions(pages::CompletionsArgs),
    Man(pages::ManArgs),
}

fn main() -> ExitCode {
    let code = run_command().unwrap_or_else(|failure| failure.report());
    output::aside::finish();
    code
}

fn run_command() -> Result<ExitCode, Failure> {
    inherited::set_signals_right()?;
    // Internal steps. They are no subcommands, so that neither --help nor completions show them.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(step) if step == exec::NAME => return exec::main(arguments),
        Some(step) if step == reaper::NAME => return reaper::main(arguments),
        Some(step) if step == stress::child::NAME => return stress::child::main(arguments),
        _ => {}
    }
    let matches = inherited::without_empty_variables(Cli::command())
        .try_get_matches()
        .unwrap_or_else(|error| wrong_usage(&error));
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| wrong_usage(&error));
    if is_json_asked_for(&matches) {
        output::asked_for_json();
    }
    if cli.beside.is_some() {
        beside::be_seen()?;
    }
    logging::start(cli.verbose);
    survive_the_size_limit()?;
    match cli.command {
        Command::Run(args) => run::main(args),
        Command::Append(args) => append::main(args),
        Command::Post(args) => append::post(args),
        Command::Read(args) => read::main(args),
        Command::Status(args) => status::main(args),
        Command::Doctor(args) => doctor::main(args),
        Command::Revoke(args) => revoke::main(args),
        Command::Gateway(args) => gateway::main(args),
        Command::Stress(args) => stress::main(args),
        Command::Completions(args) => pages::completions(args),
        Command::Man(args) => pages::man(args),
    }
}

/// Whether the subcommand was called with `--json`.
fn is_json_asked_for(matches: &clap::ArgMatches) -> bool {
    let here = matches.try_get_one::<bool>("json").is_ok_and(|json| json == Some(&true));
    here || matches.subcommand().is_some_and(|(_, matches)| is_json_asked_for(matches))
}

/// Tells of a wrong command line, or the help that it asks for, and ends. The command line could
/// not be read, so that `--json` is looked for in its words.
fn wrong_usage(error: &clap::Error) -> ! {
    let words = std::env::args_os().skip(1);
    let is_json = words.take_while(|word| word != "--").any(|word| word == "--json");
    if is_json && error.use_stderr() {
        let message = error.render().to_string();
        let failure = Failure::with_code(2, message.trim_end());
        // It is told on standard error in any case.
        let _ = output::answer_json(output::Schema::Error, &failure);
    }
    error.exit()
}

/// Makes a write beyond the file size limit fail instead of killing the process. A handler that
/// does nothing is enough, and a child does not inherit it.
fn survive_the_size_limit() -> Result<(), Failure> {
    let seen = std::sync::Arc::default();
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen)
        .map(drop)
        .map_err(|e| Failure::new(format!("cannot handle SIGXFSZ: {e}")))
}
