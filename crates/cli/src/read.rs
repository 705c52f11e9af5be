//! `turnlock read`: the lines of a session and the damage between them. Takes no lock.

mod follow;
mod show;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use turnlock::Transcript;

use crate::failure::Failure;
use crate::signals;
use show::Show;

/// Show the lines of a session, and its damage
///
/// Takes no lock. In a pipe, whole lines are copied byte for byte, and damage is reported on
/// standard error. Whole records inside the damage are shown as lines. On a terminal, damage is
/// marked among the lines, and control characters are escaped.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock read sessions/4f2c.jsonl
  turnlock read --tail 10 --follow sessions/4f2c.jsonl
  turnlock read --json sessions/4f2c.jsonl | jq 'select(.damage)'")]
pub(crate) struct Args {
    /// Show only the last N records
    #[arg(long, value_name = "N")]
    tail: Option<usize>,

    /// One JSON document per line or damage, with its offset in the file
    #[arg(long)]
    json: bool,

    /// Continue with lines as they are appended; of a rewritten file, only with the new ones
    #[arg(long)]
    follow: bool,

    /// The session file
    #[arg(value_name = "SESSION")]
    session: PathBuf,
}

const ENDING: [i32; 2] = [SIGINT, SIGTERM];
/// How long a line may take to be written after this process was told to end.
const PATIENCE: Duration = Duration::from_millis(500);

/// Longer lines are copied in chunks.
const LONGEST_IN_MEMORY: usize = 1024 * 1024;

pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    if args.follow {
        heed_interrupts(&interrupted)
            .map_err(|error| Failure::new(format!("cannot handle signals: {error}")))?;
    }
    match read(&args, &mut Show::new(args.json), &interrupted) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // A closed pipe is no failure, and neither is an interrupt.
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        Err(Stop::Interrupted) => Ok(ExitCode::SUCCESS),
        Err(Stop::Output(error)) => Err(Failure::new(format!("cannot write the answer: {error}"))),
        Err(Stop::Read(error)) => Err(Failure::from(error)),
    }
}

/// Sets the flag when this process is told to end. A full pipe, or a disk that does not answer, may
/// keep it from looking at that, so that it is ended soon after.
fn heed_interrupts(interrupted: &Arc<AtomicBool>) -> io::Result<()> {
    signals::will_be_handled();
    for signal in ENDING {
        signal_hook::flag::register(signal, Arc::clone(interrupted))?;
    }
    let mut told = Signals::new(ENDING)?;
    let watch = move || {
        if told.forever().next().is_some() {
            thread::sleep(PATIENCE);
            std::process::exit(0);
        }
    };
    // Without a thread it ends when it can.
    let _ = thread::Builder::new().name("signals".into()).spawn(watch);
    Ok(())
}

/// The reason why reading ends early.
enum Stop {
    Output(io::Error),
    Read(turnlock::Error),
    Interrupted,
}

impl From<turnlock::ReadError> for Stop {
    fn from(error: turnlock::ReadError) -> Self {
        Self::Read(error.into())
    }
}

fn read(args: &Args, show: &mut Show, interrupted: &AtomicBool) -> Result<(), Stop> {
    let transcript = open(&args.session)?;
    tracing::info!(session = %args.session.display(), "reading");
    if args.follow {
        return follow::from(transcript, args, show, interrupted);
    }
    match args.tail {
        Some(n) => {
            for item in transcript.tail(n)? {
                show.item(transcript.file(), &item).map_err(Stop::Output)?;
            }
        }
        None => {
            for item in transcript.lines() {
                show.item(transcript.file(), &item?).map_err(Stop::Output)?;
            }
        }
    }
    show.flush().map_err(Stop::Output)
}

fn open(session: &Path) -> Result<Transcript, Stop> {
    Ok(Transcript::open(session)?.max_line(LONGEST_IN_MEMORY))
}

fn check_interrupt(interrupted: &AtomicBool) -> Result<(), Stop> {
    if interrupted.load(Ordering::Relaxed) { Err(Stop::Interrupted) } else { Ok(()) }
}
