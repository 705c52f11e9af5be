//! Hand-over between tasks of one process, on one session.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use tokio::runtime::Runtime;

use super::{buffered, floor};

/// A runtime with a worker for each core.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// Runs several tasks with several turns each. Returns the time per turn.
fn together<F>(runtime: &Runtime, tasks: u32, turns: u32, task: impl Fn() -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime.block_on(async {
        let began = Instant::now();
        let running: Vec<_> = (0..tasks).map(|_| tokio::spawn(task())).collect();
        for task in running {
            task.await.unwrap();
        }
        began.elapsed() / (tasks * turns)
    })
}

/// Turns of turnlock. Each rewrites the record.
pub fn ours(runtime: &Runtime, session: &Path, tasks: u32, turns: u32) -> Duration {
    let sessions = buffered();
    let session: Arc<PathBuf> = Arc::new(session.to_owned());
    together(runtime, tasks, turns, || {
        let (sessions, session) = (sessions.clone(), Arc::clone(&session));
        async move {
            for _ in 0..turns {
                sessions.turn(&*session).acquire().await.unwrap().release().await.unwrap();
            }
        }
    })
}

/// `tokio::sync::Mutex` with an empty critical section.
pub fn mutex(runtime: &Runtime, tasks: u32, turns: u32) -> Duration {
    let mutex = Arc::new(tokio::sync::Mutex::new(()));
    together(runtime, tasks, turns, || {
        let mutex = Arc::clone(&mutex);
        async move {
            for _ in 0..turns {
                drop(mutex.lock().await);
            }
        }
    })
}

/// `tokio::sync::Mutex` around the calls that a hand-over needs: data lock, comparison (I3, I4),
/// and rewrite (I7).
pub fn mutex_and_calls(runtime: &Runtime, session: &Path, tasks: u32, turns: u32) -> Duration {
    let data = floor::open(session, OFlags::RDWR);
    let lock_path = session.with_extension("record");
    let file = floor::open(&lock_path, OFlags::RDWR | OFlags::CREATE);
    let session = session.to_owned();
    let mutex = Arc::new(tokio::sync::Mutex::new(()));
    let shared = Arc::new((data, file, session, lock_path));
    together(runtime, tasks, turns, || {
        let (mutex, shared) = (Arc::clone(&mutex), Arc::clone(&shared));
        async move {
            for _ in 0..turns {
                let turn = mutex.lock().await;
                let (data, file, session, lock_path) = &*shared;
                floor::lock(data);
                rustix::fs::lstat(session).unwrap();
                rustix::fs::lstat(lock_path).unwrap();
                rustix::io::pread(file, &mut [0; floor::RECORD.len()], 0).unwrap();
                floor::rewrite_record(file);
                floor::unlock(data);
                drop(turn);
            }
        }
    })
}
