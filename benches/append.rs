//! Appends in a turn, and posts beside one.

mod common;

use std::path::Path;

use common::append::{LARGE, SMALL};
use common::{append, buffered, directory, durable, wanted};
use criterion::Criterion;

fn main() {
    let dir = directory();
    let mut criterion = Criterion::default().configure_from_args();
    with_criterion(&mut criterion, dir.path());
    if wanted("append/one") {
        append::one_session(dir.path(), SMALL);
        append::one_session(dir.path(), LARGE);
    }
    if wanted("append/many") {
        append::show_many(dir.path());
    }
    if wanted("post") {
        append::show_posts(dir.path());
    }
    criterion.final_summary();
}

fn with_criterion(criterion: &mut Criterion, dir: &Path) {
    let line = append::line(SMALL);
    let mut group = criterion.benchmark_group("append");
    group.sample_size(20);
    for (name, sessions) in [("buffered", buffered()), ("durable", durable())] {
        let turn = sessions.turn(dir.join("criterion.jsonl")).acquire_blocking().unwrap();
        group.bench_function(name, |b| b.iter(|| turn.append_blocking(&*line).unwrap()));
        turn.release_blocking().unwrap();
    }
    group.finish();
}
