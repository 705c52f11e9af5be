//! How much file work runs at a time on one disk. A disk that does not answer keeps every thread
//! that asks it. With this bound, those who ask again and again do not use up all threads.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{LazyLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::errand::Way;
use super::task::Perform;
use crate::sys::{Mount, filesystem};

/// Where file work is done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Disk {
    Mount(Mount),
    /// The disk of a directory that is not known yet.
    Of(PathBuf),
}

impl Disk {
    /// Whether it is known to be on a server, which may take its time.
    pub(super) fn is_served(&self) -> bool {
        match self {
            Self::Mount(mount) => filesystem::is_known_to_be_served(*mount),
            Self::Of(_) => false,
        }
    }
}

/// How much of it runs at a time.
const MAX_RUNNING: usize = 16;

struct Load {
    running: usize,
    /// When some of it was done last.
    answered: Instant,
    /// What waits until some of it is done. Work that is not wanted any more is gone.
    queue: VecDeque<Weak<dyn Perform>>,
    /// When the queue is this long, what is gone is taken out.
    prune_at: usize,
}

static DISKS: LazyLock<Mutex<HashMap<Disk, Load>>> = LazyLock::new(Mutex::default);

/// Has a task performed when it is its turn.
pub(super) fn perform(disk: Disk, task: Weak<dyn Perform>, way: &Way) {
    let mut disks = DISKS.lock();
    let load = disks.entry(disk.clone()).or_insert_with(Load::new);
    if load.running >= MAX_RUNNING {
        return load.wait(task);
    }
    load.running += 1;
    drop(disks);
    Running::send(disk, task, way);
}

/// For how long the disk has done nothing of what it was asked for. Zero if it was asked nothing.
pub(super) fn silence(disk: &Disk) -> Duration {
    DISKS.lock().get(disk).map(|load| load.answered.elapsed()).unwrap_or_default()
}

impl Load {
    fn new() -> Self {
        Self { running: 0, answered: Instant::now(), queue: VecDeque::new(), prune_at: 64 }
    }

    fn wait(&mut self, task: Weak<dyn Perform>) {
        if self.queue.len() >= self.prune_at {
            self.queue.retain(|task| task.strong_count() > 0);
            self.prune_at = 2 * self.queue.len() + 64;
        }
        self.queue.push_back(task);
    }
}

/// One of the threads that work on a disk, or a thread on its way there.
struct Running {
    disk: Disk,
    next: Option<Weak<dyn Perform>>,
}

impl Running {
    fn send(disk: Disk, task: Weak<dyn Perform>, way: &Way) {
        let mut running = Self { disk, next: Some(task) };
        way.send(Box::new(move || running.run()));
    }

    fn run(&mut self) {
        while let Some(task) = self.next.take() {
            if let Some(task) = task.upgrade() {
                task.perform();
            }
            self.next = next_or_end(&self.disk);
        }
    }
}

/// What is to be done next. If there is nothing, one thread fewer works on this disk.
fn next_or_end(disk: &Disk) -> Option<Weak<dyn Perform>> {
    let mut disks = DISKS.lock();
    let load = disks.get_mut(disk)?;
    load.answered = Instant::now();
    let next = load.queue.pop_front();
    if next.is_none() {
        load.running -= 1;
        if load.running == 0 {
            disks.remove(disk);
        }
    }
    next
}

impl Drop for Running {
    fn drop(&mut self) {
        // It never ran, since its runtime was shut down. Others go on in its place.
        let Some(refused) = self.next.take() else { return };
        if let Some(refused) = refused.upgrade() {
            refused.refuse();
        }
        if let Some(next) = next_or_end(&self.disk) {
            Self::send(self.disk.clone(), next, &Way::Ours);
        }
    }
}
