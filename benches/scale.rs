//! Many sessions: held at once, known to a process, and swept.

mod common;

use std::alloc::System;
use std::path::Path;

use common::scale::{at_most, hold, show_known, show_swept};
use common::show::{Table, time};
use common::{directory, either, wanted};
use criterion::Criterion;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn heap() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

fn main() {
    // Criterion measures nothing here. Its command line is parsed all the same.
    let criterion = Criterion::default().configure_from_args();
    if wanted("scale/held") {
        held(directory().path());
    }
    if wanted("scale/known") {
        show_known(directory().path(), heap);
    }
    if wanted("scale/sweep") {
        show_swept(directory().path());
    }
    criterion.final_summary();
}

fn held(dir: &Path) {
    let counts = either(vec![10, 1_000, at_most(10_000)], vec![1, 10]);
    let mut table = Table::new(
        "sessions held by one process",
        &[
            "held",
            "acquire of each",
            "acquire + release of one more",
            "heap each",
            "threads",
            "descriptors",
        ],
    );
    for held in hold(dir, &counts, heap) {
        table.row([
            held.count.to_string(),
            time(held.acquire),
            time(held.one_more),
            format!("{:.0} B", held.heap_each),
            held.threads.to_string(),
            held.descriptors.to_string(),
        ]);
    }
    table.print();
}
