//! Appends under a turn, and posts beside one.

mod common;

use std::path::Path;

use common::show::{Table, rate, time};
use common::{append, buffered, directory, durable, either, known_session, tasks, wanted};
use criterion::Criterion;

const SMALL: usize = 400;
const LARGE: usize = 300 * 1024;

fn main() {
    let dir = directory();
    let mut criterion = Criterion::default().configure_from_args();
    with_criterion(&mut criterion, dir.path());
    if wanted("append/one") {
        append::one_session(dir.path(), SMALL);
        append::one_session(dir.path(), LARGE);
    }
    if wanted("append/many") {
        many(dir.path());
    }
    if wanted("post") {
        posts(dir.path());
    }
    criterion.final_summary();
}

fn with_criterion(criterion: &mut Criterion, dir: &Path) {
    let line = append::line(SMALL);
    let mut group = criterion.benchmark_group("append");
    group.sample_size(20);
    for (name, sessions) in [("buffered", buffered()), ("durable", durable())] {
        let mut turn = sessions.turn(dir.join("criterion.jsonl")).acquire_blocking().unwrap();
        group.bench_function(name, |b| b.iter(|| turn.append_blocking(&*line).unwrap()));
        turn.release_blocking().unwrap();
    }
    group.finish();
}

fn many(dir: &Path) {
    let runtime = tasks::runtime();
    let mut table = Table::new(
        "64 sessions at once, lines/s",
        &["bytes", "floor: 64 threads, write, fdatasync", "turnlock, durable", "turnlock, buffered"],
    );
    for (bytes, each, each_buffered) in [(SMALL, either(50, 1), either(500, 1)), (LARGE, either(3, 1), either(3, 1))] {
        table.row([
            bytes.to_string(),
            rate(append::many_files(dir, bytes, each)),
            rate(append::many_sessions(&runtime, &durable(), dir, bytes, each)),
            rate(append::many_sessions(&runtime, &buffered(), dir, bytes, each_buffered)),
        ]);
    }
    table.print();
}

fn posts(dir: &Path) {
    let mut table =
        Table::new("a post of 400 bytes during a turn", &["durability", "other posters", "p50", "p99", "longest"]);
    for (name, sessions, count) in [("buffered", buffered(), either(2_000, 1)), ("durable", durable(), either(200, 1))]
    {
        for others in [0, 1, 8] {
            let waits = append::posts(&sessions, known_session(dir, "posts.jsonl"), others, count);
            let cells = [waits.percentile(50.0), waits.percentile(99.0), waits.max].map(time);
            table.row([name.to_owned(), others.to_string()].into_iter().chain(cells));
        }
    }
    table.print();
}
