//! Acquire and release without contention: the least that a turn costs.

mod common;

use std::path::Path;

use common::{buffered, directory, floor, known_session, tasks, uncontended, wanted};
use criterion::Criterion;

fn main() {
    let dir = directory();
    let mut criterion = Criterion::default().configure_from_args();
    with_criterion(&mut criterion, dir.path());
    if wanted("uncontended") {
        uncontended::known(dir.path());
        uncontended::new(dir.path());
    }
    criterion.final_summary();
}

fn with_criterion(criterion: &mut Criterion, dir: &Path) {
    let session = known_session(dir, "criterion.jsonl");
    let (lock, sessions, runtime) = (uncontended::lock_of(&session), buffered(), tasks::runtime());
    let mut group = criterion.benchmark_group("uncontended");
    group.bench_function("floor: open(O_EXCL), flock, write, unlink, close", |b| {
        b.iter(|| floor::exclusive_file(&lock));
    });
    group.bench_function("floor: the protocol's calls", |b| {
        b.iter(|| floor::protocol(&session, &lock, dir))
    });
    group.bench_function("turnlock, blocking", |b| {
        b.iter(|| sessions.turn(&session).acquire_blocking().unwrap().release_blocking().unwrap());
    });
    group.bench_function("turnlock, async", |b| {
        b.iter(|| {
            runtime.block_on(async {
                sessions.turn(&session).acquire().await.unwrap().release().await.unwrap()
            })
        });
    });
    group.finish();
}
