//! A sweep of 100,000 lock files, compared with the bare system calls: open, lock, read and close
//! each file, and unlink the stale ones. And an examination of sessions with torn tails.
//!
//! Run it with `cargo bench --bench sweep`. With `-- --test`, everything runs once, on 1,000 files.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustix::fs::{FlockOperation, flock};
use turnlock::Sessions;

fn locks() -> u64 {
    if std::env::args().any(|argument| argument == "--test") { 1000 } else { 100_000 }
}

/// Writes the lock files of a foreign program.
fn fill(dir: &Path, record: &str) {
    for n in 0..locks() {
        fs::write(dir.join(format!("{n:06}.jsonl.lock")), record).unwrap();
    }
}

/// The record of a living process: the parent of this one.
fn living() -> String {
    let pid = std::os::unix::process::parent_id();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start = stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().to_owned();
    format!(
        "{{\n  \"pid\": {pid},\n  \"createdAt\": \"2099-01-01T00:00:00.000Z\",\n  \
         \"starttime\": {start}\n}}\n"
    )
}

/// The record of a process that does not exist.
const DEAD: &str = "{\n  \"pid\": 1073741824,\n  \"createdAt\": \"2026-01-01T00:00:00.000Z\"\n}\n";

/// The system calls that every sweep needs, for one file after the other.
fn bare(dir: &Path, remove: bool) {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort_unstable();
    let mut text = String::new();
    for path in names {
        let mut file = File::open(&path).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        text.clear();
        file.read_to_string(&mut text).unwrap();
        if remove {
            fs::remove_file(&path).unwrap();
        }
        black_box(&text);
    }
}

fn kept(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), &living());
    let sessions = Sessions::new();
    let mut group = criterion.benchmark_group("held locks");
    group.sample_size(10).throughput(Throughput::Elements(locks()));
    group.bench_function("bare system calls", |bencher| bencher.iter(|| bare(dir.path(), false)));
    group.bench_function("sweep", |bencher| {
        bencher.iter(|| {
            let reports = sessions.sweep(dir.path()).unwrap();
            assert_eq!(reports.iter().filter(|report| !report.removed).count() as u64, locks());
        });
    });
    group.bench_function("doctor", |bencher| {
        bencher.iter(|| black_box(sessions.doctor().locks_only().examine([dir.path()], |_, _| {})));
    });
    group.finish();
}

fn removed(criterion: &mut Criterion) {
    let sessions = Sessions::new();
    let mut group = criterion.benchmark_group("stale locks");
    group.sample_size(10).throughput(Throughput::Elements(locks()));
    let timed = |times: u64, with_sessions: bool, sweep: &dyn Fn(&Path)| {
        let mut total = Duration::ZERO;
        for _ in 0..times {
            let dir = tempfile::tempdir().unwrap();
            fill(dir.path(), DEAD);
            for n in (0..locks()).filter(|_| with_sessions) {
                fs::write(dir.path().join(format!("{n:06}.jsonl")), "{}\n").unwrap();
            }
            let began = Instant::now();
            sweep(dir.path());
            total += began.elapsed();
        }
        total
    };
    group.bench_function("bare system calls", |b| {
        b.iter_custom(|times| timed(times, false, &|dir| bare(dir, true)))
    });
    group.bench_function("sweep", |b| {
        b.iter_custom(|times| {
            timed(times, true, &|dir| {
                let reports = sessions.sweep(dir).unwrap();
                assert_eq!(reports.iter().filter(|report| report.removed).count() as u64, locks());
            })
        });
    });
    group.finish();
}

/// Sessions that end in a torn line: somebody may still be writing it.
fn torn(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let count = locks() / 32;
    for n in 0..count {
        fs::write(dir.path().join(format!("{n:06}.jsonl")), "{\"a\":1}\n{\"torn").unwrap();
    }
    let doctor = Sessions::new().doctor().transcripts_only();
    let mut group = criterion.benchmark_group("torn tails");
    group.sample_size(10).throughput(Throughput::Elements(count));
    group.bench_function("doctor", |bencher| {
        bencher.iter(|| {
            let found = doctor.examine([dir.path()], |_, _| {}).findings;
            assert_eq!(found.len() as u64, count);
        });
    });
    group.finish();
}

criterion_group!(benches, kept, removed, torn);
criterion_main!(benches);
