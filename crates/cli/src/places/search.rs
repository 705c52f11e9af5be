//! Looks for sessions in and below a directory. Follows no link, and looks neither too deep nor at
//! too much.

mod walk;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Place;
use crate::failure::Failure;
use walk::Walk;

/// So many directories are remembered that are in no layout that is known.
const MOST_OTHERS: usize = 3;
/// A directory that gives no answer for so long is given up, as on a mount without its server.
const NO_ANSWER: Duration = Duration::from_secs(10);
/// How often the progress is shown.
const ROUND: Duration = Duration::from_millis(50);

/// What was found below one directory.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) places: Vec<Place>,
    pub(super) state_dirs: BTreeSet<PathBuf>,
    pub(super) failed: Vec<Failure>,
    pub(super) others: Vec<PathBuf>,
    pub(super) has_sessions: bool,
}

impl Walked {
    fn add(&mut self, more: Self) {
        self.places.extend(more.places);
        self.state_dirs.extend(more.state_dirs);
        self.failed.extend(more.failed);
        let others = MOST_OTHERS.saturating_sub(self.others.len());
        self.others.extend(more.others.into_iter().take(others));
        self.has_sessions |= more.has_sessions;
    }
}

/// How far a search is.
#[derive(Default)]
struct Progress {
    looked_into: AtomicUsize,
    /// What was found, and where the search is.
    found: Mutex<(Walked, PathBuf)>,
}

impl Progress {
    fn found(&self) -> MutexGuard<'_, (Walked, PathBuf)> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked_into(&self) -> usize {
        self.looked_into.load(Ordering::Relaxed)
    }
}

/// Looks below a directory, on a thread of its own: a directory may not answer. What was found
/// before such a one is found all the same.
pub(super) fn below(dir: &Path, is_named: bool) -> Walked {
    let progress = Arc::new(Progress::default());
    let (tell, told) = channel::<()>();
    let (root, shared) = (dir.to_owned(), Arc::clone(&progress));
    let started = thread::Builder::new().name("search".into()).spawn(move || {
        Walk::new(&root, is_named, &shared).run();
        drop(tell);
    });
    let answered = match started {
        Ok(_) => wait(&told, &progress),
        Err(_) => {
            Walk::new(dir, is_named, &progress).run();
            true
        }
    };
    let mut found = progress.found();
    let (mut walked, silent) = (std::mem::take(&mut found.0), &found.1);
    if !answered {
        let told = format!(
            "{}: the system gave no answer for {} s; is its filesystem reachable?",
            silent.display(),
            NO_ANSWER.as_secs()
        );
        walked.failed.push(Failure::new(told).named("no-answer"));
    }
    let (looked_into, places) = (progress.looked_into(), walked.places.len());
    tracing::info!(dir = %dir.display(), looked_into, places, "searched for sessions");
    walked
}

/// Shows the progress on a terminal. Returns whether the search has come to its end.
fn wait(told: &Receiver<()>, progress: &Progress) -> bool {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} directories looked into") {
        bar.set_style(style);
    }
    let mut last = (0, Instant::now());
    let answered = loop {
        if told.recv_timeout(ROUND) != Err(RecvTimeoutError::Timeout) {
            break true;
        }
        let now = progress.looked_into();
        bar.set_position(now as u64);
        if now != last.0 {
            last = (now, Instant::now());
        } else if last.1.elapsed() > NO_ANSWER {
            break false;
        }
    };
    bar.finish_and_clear();
    answered
}
