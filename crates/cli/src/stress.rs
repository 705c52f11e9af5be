//! `turnlock stress`: the main job on real files, with faults, and afterwards the proof that
//! nothing was lost or torn.

mod changes;
mod check;
pub(crate) mod child;
mod conductor;
mod foreign;
mod history;
mod journal;
mod line;
mod links;
mod numbers;
mod panics;
mod report;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::failure::Failure;
use crate::signals;
use check::{Findings, Kind, Terms};
use history::History;
use numbers::Numbers;

/// Let many processes share real session files, with faults; then prove that nothing was lost or
/// torn
///
/// Starts itself as child processes whose tasks take turns on the sessions and append numbered
/// lines. Afterwards the files are read without the library, and compared with the journals of all
/// processes. Exit code 0 means no violation.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Args {
    /// Check the disk of this directory; the run keeps its files in a subdirectory [default: a
    /// temporary directory, which is removed]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The number of processes that take turns
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=512))]
    processes: u32,
    /// The number of tasks in each process
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    tasks: u32,
    /// The number of sessions that they share
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    sessions: u16,
    /// The length of the run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Kill and replace processes all the time
    #[arg(long)]
    kill: bool,
    /// Stop processes for a while, revoke their turns, and continue them
    #[arg(long)]
    stop: bool,
    /// Let side writers post lines, also during turns
    #[arg(long)]
    post: bool,
    /// Remove lock files by hand
    #[arg(long)]
    rm: bool,
    /// Add a foreign writer that locks as OpenClaw does
    #[arg(long)]
    foreign: bool,
    /// Let a foreign program cut session files and copy over them, in place
    #[arg(long)]
    truncate: bool,
    /// Let a foreign program put copies in the place of session files
    #[arg(long)]
    replace: bool,
    /// Give sessions and lock files second names for a while, as a snapshot tool does
    #[arg(long)]
    hardlink: bool,
    /// Let a log subscriber and wakers panic inside the library's calls
    #[arg(long)]
    panic: bool,
    /// How long a turn is held beyond its appends, in microseconds
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(..=60_000_000)
    )]
    hold_us: u64,
    /// Do not sync appends to the disk
    #[arg(long)]
    buffered: bool,
    /// Repeat the choices of an earlier run, though not its timing [default: from the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Report in JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    signals::will_be_handled();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .map_err(failed("cannot watch for signals"))?;
    }
    let seed = args.seed.unwrap_or_else(journal::now);
    let place = make_place(args.dir.as_deref())?;
    let mut findings = Findings::default();
    let run = conductor::run(&args, seed, place.path(), &interrupted, &mut findings);
    let run = run.map_err(failed("the run failed"))?;
    if interrupted.load(Ordering::Relaxed) {
        return Err(Failure::new("interrupted; nothing was checked"));
    }

    let history =
        History::read(place.path(), run.children).map_err(failed("cannot read the journals"))?;
    let sessions: Vec<_> =
        (0..args.sessions).map(|session| child::session_path(place.path(), session)).collect();
    let terms = Terms { seed, tampered: args.stop || args.rm || args.foreign };
    check::check(&history, &sessions, terms, &mut findings)
        .map_err(failed("cannot read the sessions"))?;
    let numbers = Numbers::of(&history, run.time, &run.slots);
    if numbers.turns == 0 {
        findings.add(Kind::Stuck, None, None, "not one turn was taken".into());
    }

    let clean = findings.violations() == 0;
    let kept = (!clean || args.dir.is_some()).then(|| place.keep());
    let report = report::Report {
        args: &args,
        seed,
        numbers: &numbers,
        findings: &findings,
        kept: kept.as_deref(),
    };
    report.print()?;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn failed<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> Failure {
    move |error| Failure::new(format!("{what}: {error}"))
}

/// Creates a directory for this run. It is removed on drop, unless it is kept.
fn make_place(dir: Option<&Path>) -> Result<tempfile::TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("turnlock-stress-");
    let made = match dir {
        Some(dir) => std::fs::create_dir_all(dir).and_then(|()| builder.tempdir_in(dir)),
        None => builder.tempdir(),
    };
    made.map_err(failed("cannot make a directory to work in"))
}

/// Whether anybody can see a progress bar.
fn watched() -> bool {
    std::io::stderr().is_terminal()
}

/// How long a turn may be waited for: every other task may have a turn before.
fn patience(args: &Args) -> Duration {
    let turns = u64::from(args.processes) * u64::from(args.tasks);
    Duration::from_secs(20)
        + Duration::from_micros(args.hold_us.saturating_mul(turns).saturating_mul(2))
}
