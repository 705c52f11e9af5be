//! Contention for one session: between tasks of one process, and between processes.

mod common;

use std::path::Path;
use std::time::Duration;

use common::actor::Actor;
use common::lock::{FLOOR, OURS, named};
use common::show::{Table, rate, time};
use common::{actor, directory, either, known_session, processes, tasks, wanted};
use criterion::{BenchmarkId, Criterion, SamplingMode};

const TASKS: [u32; 5] = [2, 8, 64, 256, 1000];
const PROCESSES: [usize; 4] = [2, 4, 8, 16];
const HOLDS: [Duration; 3] = [Duration::ZERO, Duration::from_micros(100), Duration::from_millis(1)];

fn main() {
    actor::serve(named);
    let dir = directory();
    let mut criterion = Criterion::default().configure_from_args();
    between_tasks(&mut criterion, dir.path());
    if wanted("contention/processes") {
        between_processes(dir.path());
    }
    criterion.final_summary();
}

fn between_tasks(criterion: &mut Criterion, dir: &Path) {
    let runtime = tasks::runtime();
    let session = known_session(dir, "tasks.jsonl");
    let mut group = criterion.benchmark_group("contention/tasks");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for count in TASKS {
        // One iteration is one turn.
        let turns = |iterations: u64| (iterations as u32).div_ceil(count);
        group.bench_function(BenchmarkId::new("floor: tokio::sync::Mutex", count), |b| {
            b.iter_custom(|n| tasks::mutex(&runtime, count, turns(n)) * n as u32);
        });
        group.bench_function(
            BenchmarkId::new("floor: the same, and the record's calls", count),
            |b| {
                b.iter_custom(|n| {
                    tasks::mutex_and_calls(&runtime, &session, count, turns(n)) * n as u32
                });
            },
        );
        group.bench_function(BenchmarkId::new("turnlock", count), |b| {
            b.iter_custom(|n| tasks::ours(&runtime, &session, count, turns(n)) * n as u32);
        });
    }
    group.finish();
}

fn between_processes(dir: &Path) {
    let mut table = Table::new(
        "processes on one session",
        &["processes", "hold", "lock", "turns/s", "fewest ÷ most", "wait p50", "p99", "longest"],
    );
    for hold in HOLDS {
        for processes in PROCESSES {
            for lock in [FLOOR, OURS] {
                let session = known_session(dir, "processes.jsonl");
                let duration = Duration::from_millis(either(1500, 30));
                let start = |session: &Path| Actor::start(lock, session);
                let result = processes::contend(&start, &session, processes, hold, duration);
                table.row([
                    processes.to_string(),
                    time(hold),
                    lock.to_owned(),
                    rate(result.per_second()),
                    format!("{:.2}", result.fairness()),
                    time(result.waits.percentile(50.0)),
                    time(result.waits.percentile(99.0)),
                    time(result.waits.max),
                ]);
            }
        }
    }
    table.print();
}
