//! The speed of reading session files: a scan of a healthy file, compared with `serde_json` line by
//! line, the tail of a large file, and what hostile files cost a scan, a repair and its undo.
//!
//! Run it with `cargo bench --bench transcript`. With `-- --test`, everything
//! runs once, on small files.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench fails by panicking")]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use turnlock::Transcript;
use turnlock::testing::{Scanner, repair, restore, survey};

/// A session as OpenClaw writes it: many short entries, tool output of some kilobytes, and a few
/// pictures.
fn session(bytes: usize) -> Vec<u8> {
    const ANSWER: &str = "An answer of one or two sentences, as they go. ";
    let code = "fn main() {\n    println!(\"{}\", \"Grüße — 世界\");\n}\n\t// a comment\n";
    let mut text =
        serde_json::to_vec(&json!({"type": "session", "version": 3, "id": "4f2c"})).unwrap();
    for entry in 0_usize.. {
        text.push(b'\n');
        if text.len() >= bytes {
            break;
        }
        let content = match entry % 20 {
            0 => json!([{"type": "image", "data": "iVBORw0KGgoAAAANSUhEUg".repeat(2000)}]),
            1..6 => json!([{"type": "toolResult", "text": code.repeat(1 + entry % 97)}]),
            _ => json!([{"type": "text", "text": ANSWER.repeat(entry % 9)}]),
        };
        let usage = json!({"input": entry * 7, "output": 311, "cost": {"total": 0.00123}});
        let record = json!({
            "type": "message",
            "id": format!("{entry:08x}"),
            "parentId": format!("{:08x}", entry.saturating_sub(1)),
            "timestamp": "2026-02-03T04:05:06.789Z",
            "message": {"role": "assistant", "content": content, "usage": usage},
        });
        serde_json::to_writer(&mut text, &record).unwrap();
    }
    text
}

/// Creates a file with these bytes at `offset`, and a hole before them.
fn file(dir: &tempfile::TempDir, name: &str, offset: u64, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    let mut file = File::create_new(&path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
    path
}

fn scan(c: &mut Criterion) {
    let size = if quick() { 1 << 20 } else { 64 << 20 };
    let dir = tempfile::tempdir().unwrap();
    let bytes = session(size);
    let path = file(&dir, "s.jsonl", 0, &bytes);
    let mut group = c.benchmark_group("scan");
    group.throughput(Throughput::Bytes(bytes.len() as u64)).sample_size(20);
    group.bench_function("turnlock", |b| {
        let file = File::open(&path).unwrap();
        b.iter(|| {
            let mut scanner = Scanner::new(&file);
            let mut lines = 0;
            while let Some(item) = scanner.next_item().unwrap() {
                black_box(item);
                lines += 1;
            }
            lines
        });
    });
    group.bench_function("survey", |b| {
        let file = File::open(&path).unwrap();
        b.iter(|| assert!(survey(&file, bytes.len() as u64).unwrap().is_healthy()));
    });
    group.bench_function("serde_json, ignoring", |b| b.iter(|| by_serde::<IgnoredAny>(&path)));
    group.bench_function("serde_json, values", |b| b.iter(|| by_serde::<Value>(&path)));
    if by_node(&path, 1).is_some() {
        group.bench_function("node, JSON.parse", |b| {
            b.iter_custom(|rounds| by_node(&path, rounds).unwrap())
        });
    } else {
        eprintln!("skipped: no node");
    }
    group.finish();
}

/// Reads the file as an agent does: into one string, then `JSON.parse` line by line. Node measures
/// the time itself, without its own start. `None` if there is no Node.
fn by_node(path: &PathBuf, rounds: u64) -> Option<Duration> {
    const SCRIPT: &str = "
        const [path, rounds] = process.argv.slice(1), fs = require('fs');
        const began = process.hrtime.bigint();
        for (let i = 0; i < rounds; i++)
            for (const line of fs.readFileSync(path, 'utf8').split('\\n'))
                if (line) JSON.parse(line);
        console.log(String(process.hrtime.bigint() - began));";
    let mut node = Command::new("node");
    let output = node.args(["-e", SCRIPT]).arg(path).arg(rounds.to_string()).output().ok()?;
    std::str::from_utf8(&output.stdout).ok()?.trim().parse().ok().map(Duration::from_nanos)
}

fn by_serde<T: serde::de::DeserializeOwned>(path: &PathBuf) {
    let mut reader = BufReader::with_capacity(256 * 1024, File::open(path).unwrap());
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).unwrap() > 0 {
        std::str::from_utf8(&line).unwrap();
        black_box(serde_json::from_slice::<T>(&line).unwrap());
        line.clear();
    }
}

/// One long damaged line, of each kind that makes a simple search for records quadratic.
fn hostile(c: &mut Criterion) {
    let size = if quick() { 1 << 16 } else { 16 << 20 };
    let mut group = c.benchmark_group("one hostile line");
    group.throughput(Throughput::Bytes(size as u64)).sample_size(10);
    for unit in ["{\"a\":", "{\"", "{\"a\":1}x", "{\",\":[\"{\",\":1}\",\"", "iVBORw0KGgo"] {
        let line: Vec<u8> =
            b"x".iter().chain(unit.as_bytes().iter().cycle()).take(size).copied().collect();
        group.bench_function(unit, |b| b.iter(|| survey(&&line[..], size as u64).unwrap()));
    }
    group.finish();
}

/// Very many records on one line: the search, the repair with its quarantine, and the undo. And an
/// undo beside very many other repairs in the quarantine.
fn glued(c: &mut Criterion) {
    let counts = if quick() { [100, 200] } else { [100_000, 400_000] };
    let mut group = c.benchmark_group("records on one line");
    group.sample_size(10);
    for count in counts {
        let line = [b"{\"a\":1}x".repeat(count), b"\n".to_vec()].concat();
        let length = line.len() as u64;
        group.throughput(Throughput::Bytes(length));
        group.bench_function(format!("survey/{count}"), |b| {
            b.iter(|| survey(&&line[..], length).unwrap());
        });
        let repaired = || {
            let (mut file, mut kept) = (Vec::new(), Vec::new());
            repair(&&line[..], length, &mut file, &mut kept).unwrap();
            (file, kept)
        };
        group.bench_function(format!("repair/{count}"), |b| b.iter(repaired));
        let (file, kept) = repaired();
        eprintln!("{count} records, {length} bytes: {} bytes of quarantine", kept.len());
        group.bench_function(format!("undo/{count}"), |b| b.iter(|| undone(&file, &kept)));
    }
    group.finish();
    let mut group = c.benchmark_group("undo beside other repairs");
    group.sample_size(10);
    for count in counts.map(|count| count / 10) {
        let (mut file, mut kept) = (Vec::new(), Vec::new());
        for _ in 0..count {
            file.clear();
            let torn = &b"{\"a\":1}\n{\"torn"[..];
            repair(&torn, torn.len() as u64, &mut file, &mut kept).unwrap();
        }
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(count.to_string(), |b| b.iter(|| undone(&file, &kept)));
    }
    group.finish();
}

fn undone(file: &[u8], kept: &[u8]) -> Vec<u8> {
    let mut original = Vec::new();
    restore(&file, file.len() as u64, &kept, &mut original).unwrap();
    original
}

fn tail(c: &mut Criterion) {
    // The hole takes no time to create, and the tail does not read it.
    let size = if quick() { 1 << 20 } else { 1 << 30 };
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "big.jsonl", size, &[b"\n", &session(4 << 20)[..]].concat());
    let mut group = c.benchmark_group("tail of 1 GB");
    for n in [1, 10, 100] {
        group.bench_function(format!("tail({n})"), |b| {
            b.iter_batched(
                || (),
                |()| assert_eq!(Transcript::open(&path).unwrap().tail(n).unwrap().len(), n),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn quick() -> bool {
    std::env::args().any(|arg| arg == "--test")
}

criterion_group!(benches, scan, hostile, glued, tail);
criterion_main!(benches);
