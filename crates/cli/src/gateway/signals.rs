//! Signals for the async subcommands: to end, or to forward to the program under the locks.

use std::fs::File;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::Duration;

use signal_hook::consts::SIGCHLD;
use signal_hook::low_level::siginfo::Origin;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::failure::Failure;
use crate::{children, signals};

/// The signals that this process gets. None of them ends it any more.
pub(super) struct Signals(UnboundedReceiver<Origin>);

impl Signals {
    pub(super) fn catch() -> Result<Self, Failure> {
        let failed = |e: io::Error| Failure::new(format!("cannot wait for signals: {e}"));
        let mut caught = signals::catch(&[SIGCHLD]).map_err(failed)?;
        let (tell, told) = unbounded_channel();
        // A thread, because tokio does not say who sent a signal.
        let listen = move || {
            while let Ok(mut came) = caught.wait(None)
                && came.all(|origin| tell.send(origin).is_ok())
            {}
        };
        thread::Builder::new().name("signals".into()).spawn(listen).map_err(failed)?;
        Ok(Self(told))
    }

    /// Waits for the next signal. Cancel safe.
    pub(super) async fn next(&mut self) -> Origin {
        match self.0.recv().await {
            Some(origin) => origin,
            None => std::future::pending().await,
        }
    }

    /// Waits for a signal that asks this process to end. Cancel safe.
    pub(super) async fn end(&mut self) {
        while !signals::ENDING.contains(&self.next().await.signal) {}
    }

    /// Like [`end`](Self::end), says which signal it was, and takes note of orphans that have ended
    /// meanwhile. Not for a process that has a child of its own. Cancel safe.
    pub(super) async fn end_alone(&mut self) -> i32 {
        loop {
            match self.next().await.signal {
                SIGCHLD => children::reap_orphans(None),
                signal if signals::ENDING.contains(&signal) => return signal,
                _ => {}
            }
        }
    }
}

/// A runtime with one thread, which is enough for a command that waits, and one for file work.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    let failed = |e: io::Error| {
        Failure::new(format!("cannot start a runtime: {e}; see `ulimit -n` if files are too many"))
    };
    has_room_for_files().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(FOR_EVER)
        .build()
        .map_err(failed)?;
    if can_work(&runtime) {
        Ok(runtime)
    } else {
        Err(Failure::new("cannot start a thread; see `ulimit -u` and the limits of the service"))
    }
}

/// A runtime opens fewer files than this.
const FILES: usize = 8;

/// Tokio panics if it cannot open one of the files of a runtime.
fn has_room_for_files() -> io::Result<()> {
    let files: io::Result<Vec<_>> = (0..FILES).map(|_| File::open("/dev/null")).collect();
    files.map(drop)
}

/// Longer than any process lives.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Starts the thread for file work. Without one tokio panics, now or at any later time. With one it
/// never does: what cannot be begun at once waits for that thread.
fn can_work(runtime: &Runtime) -> bool {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let started = panic::catch_unwind(AssertUnwindSafe(|| runtime.spawn_blocking(|| ())));
    panic::set_hook(hook);
    started.is_ok()
}
