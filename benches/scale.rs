//! Many sessions: held at once, known, swept.

mod common;

use std::alloc::System;
use std::path::Path;

use common::scale::{at_most, bare_look, bare_removal, hold, know, litter, look, sweep};
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
    // Nothing here is criterion's to time; its arguments are understood all the same.
    let criterion = Criterion::default().configure_from_args();
    if wanted("scale/held") {
        held(directory().path());
    }
    if wanted("scale/known") {
        known(directory().path());
    }
    if wanted("scale/sweep") {
        swept(directory().path());
    }
    criterion.final_summary();
}

fn held(dir: &Path) {
    let counts = either(vec![10, 1_000, at_most(10_000)], vec![1, 10]);
    let mut table = Table::new(
        "sessions held by one process",
        &["held", "acquire of each", "acquire + release of one more", "heap each", "threads", "descriptors"],
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

fn known(dir: &Path) {
    let count = either(100_000, 20);
    let (first, last, heap) = know(dir, count, heap);
    let mut table = Table::new(
        "sessions known",
        &["sessions", "turn, first tenth", "turn, last tenth", "heap that stays for each"],
    );
    table.row([count.to_string(), time(first), time(last), format!("{heap:.1} B")]);
    table.print();
}

fn swept(dir: &Path) {
    let count = either(100_000, 20);
    let mut table = Table::new(format!("{count} locks of a process that died"), &["what", "time", "of each"]);
    let locks = litter(dir, count);
    let mut row = |what: &str, duration| {
        table.row([what.to_owned(), time(duration), time(duration / count as u32)]);
    };
    row("floor: open, flock, read, close", bare_look(&locks));
    row("status (changes nothing)", look(dir).0);
    let (duration, removed) = sweep(dir);
    assert_eq!(removed, count, "every stale lock is removed");
    row("sweep (removes them)", duration);
    row("floor: open, flock, read, unlink, close", bare_removal(&litter(dir, count)));
    table.print();
}
