//! Wake-up: the time from a release in one process to the acquire in another process that is
//! blocked, and the time from the SIGKILL of the holder.

mod common;

use std::path::Path;

use common::actor::Actor;
use common::lock::{FLOOR, OURS, named};
use common::processes::{Start, after_kill, wake_up};
use common::show::{Table, time};
use common::waits::Waits;
use common::{actor, directory, either, known_session, wanted};
use criterion::Criterion;

fn main() {
    actor::serve(named);
    // Criterion measures nothing here. Its command line is parsed all the same.
    let criterion = Criterion::default().configure_from_args();
    let dir = directory();
    if wanted("wakeup/release") {
        show("release to acquire, another process", dir.path(), |start, session| {
            wake_up(start, session, either(150, 2))
        });
    }
    if wanted("wakeup/kill") {
        show("SIGKILL of the holder to acquire, another process", dir.path(), |start, session| {
            after_kill(start, session, either(30, 1))
        });
    }
    criterion.final_summary();
}

/// Measures each lock in turn, for several rounds, and prints a table.
fn show(title: &str, dir: &Path, measure: impl Fn(Start, &Path) -> Waits) {
    let locks = [FLOOR, OURS];
    let mut all = locks.map(|_| Waits::default());
    for _ in 0..either(4, 1) {
        for (lock, waits) in locks.iter().zip(&mut all) {
            let session = known_session(dir, "wakeup.jsonl");
            waits.merge(&measure(&|session| Actor::start(lock, session), &session));
        }
    }
    let mut table = Table::new(title, &["lock", "p50", "p99", "longest"]);
    for (lock, waits) in locks.iter().zip(&all) {
        let cells = [waits.percentile(50.0), waits.percentile(99.0), waits.max].map(time);
        table.row(std::iter::once(lock.to_string()).chain(cells));
    }
    table.print();
}
