//! Compares turnlock with other locks, with SQLite, and with the bare system calls. Prints one page
//! of tables.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml [-- --test]`

#[path = "../../common/mod.rs"]
mod common;
mod goals;
mod locks;
mod node;
mod sqlite;
mod tables;

use std::alloc::System;

use common::{actor, append, directory, scale};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn heap() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

fn main() {
    actor::serve(locks::named);
    let dir = directory();
    let (peers, mut goals) = (node::peers(), goals::Goals::default());
    tables::uncontended(dir.path(), &peers, &mut goals);
    tables::tasks(dir.path(), &mut goals);
    tables::wake_up(dir.path(), &peers, &mut goals);
    tables::after_kill(dir.path(), &peers);
    tables::contention(dir.path(), &peers, &mut goals);
    tables::append(dir.path(), &mut goals);
    tables::many_sessions(dir.path(), &mut goals);
    append::show_many(dir.path());
    append::show_posts(dir.path());
    tables::scale(&mut goals);
    scale::show_known(directory().path(), heap);
    scale::show_swept(directory().path());
    goals.print();
}
