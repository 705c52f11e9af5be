//! The measurements, each with its floor, its peers and its goals.

use std::path::Path;
use std::time::Duration;

use crate::common::actor::Actor;
use crate::common::lock::{FLOOR, OURS};
use crate::common::processes::{self, Contention};
use crate::common::show::{Table, rate, time};
use crate::common::waits::Waits;
use crate::common::{
    append as appends, durable, either, known_session, rounds, scale as scales, tasks as in_tasks,
};
use crate::common::{directory, uncontended as alone};
use crate::goals::Goals;
use crate::node::Peer;
use crate::{heap, locks, sqlite};

/// Every lock, with a function that starts an actor: the floor, turnlock, Rust peers, Node peers.
fn all_locks<'a>(peers: &'a [Peer]) -> Vec<(&'static str, Box<dyn Fn(&Path) -> Actor + 'a>)> {
    let rust = [FLOOR, OURS].into_iter().chain(locks::RUST);
    let rust = rust
        .map(|name| (name, Box::new(move |session: &Path| Actor::start(name, session)) as Box<_>));
    let node = peers
        .iter()
        .map(|peer| (peer.name, Box::new(|session: &Path| peer.start(session)) as Box<_>));
    rust.chain(node).collect()
}

pub fn uncontended(dir: &Path, peers: &[Peer], goals: &mut Goals) {
    let known = alone::known(dir);
    alone::new(dir);
    goals.at_most("acquire + release, blocking ÷ floor", known[3].ratio, 1.25, "");
    goals.at_most("acquire + release, async ÷ blocking", known[4].ratio / known[3].ratio, 2.0, "");
    let mut table = Table::new(
        "acquire + release, uncontended, beside the peers",
        &["lock", "time", "per second"],
    );
    for (name, start) in all_locks(peers) {
        let session = known_session(dir, &format!("cycle-{name}.jsonl"));
        let mut actor = start(&session);
        let count = either(300, 1);
        actor.ask("cycle 20");
        let times = (0..either(5, 1))
            .map(|_| actor.ask(&format!("cycle {count}")) as f64 / f64::from(count))
            .collect();
        let nanos = rounds::median(times);
        table.row([name.to_owned(), time(Duration::from_nanos(nanos as u64)), rate(1e9 / nanos)]);
    }
    table.print();
}

pub fn tasks(dir: &Path, goals: &mut Goals) {
    let runtime = in_tasks::runtime();
    let session = known_session(dir, "tasks.jsonl");
    let mut table = Table::new(
        "hand-off between tasks of one process, time of a turn",
        &[
            "tasks",
            "tokio::sync::Mutex",
            "Mutex with calls",
            OURS,
            "÷ Mutex",
            "÷ Mutex with calls",
        ],
    );
    for count in [2, 8, 64, 1000] {
        let turns = either(20_000 / count, 1);
        let mut samples = [const { Vec::new() }; 3];
        for _ in 0..either(7, 1) {
            samples[0].push(in_tasks::mutex(&runtime, count, turns * 10).as_nanos() as f64);
            let calls = in_tasks::mutex_and_calls(&runtime, &session, count, turns);
            samples[1].push(calls.as_nanos() as f64);
            samples[2].push(in_tasks::ours(&runtime, &session, count, turns).as_nanos() as f64);
        }
        let [mutex, calls, ours] = samples.map(rounds::median);
        let nanos = |nanos: f64| time(Duration::from_nanos(nanos as u64));
        table.row([
            count.to_string(),
            nanos(mutex),
            nanos(calls),
            nanos(ours),
            format!("{:.2}", ours / mutex),
            format!("{:.2}", ours / calls),
        ]);
        if count == 64 {
            goals.at_most("hand-off between 64 tasks ÷ tokio::sync::Mutex", ours / mutex, 3.0, "");
        }
    }
    table.print();
}

/// Measures every lock in turn, for several rounds.
fn in_rounds(
    dir: &Path,
    peers: &[Peer],
    measure: impl Fn(processes::Start, &Path) -> Waits,
) -> Vec<(&'static str, Waits)> {
    let locks = all_locks(peers);
    let mut all: Vec<_> = locks.iter().map(|(name, _)| (*name, Waits::default())).collect();
    for round in 0..either(3, 1) {
        for ((name, start), (_, waits)) in locks.iter().zip(&mut all) {
            // A new session, because some peers cannot recover one whose holder was killed.
            let session = known_session(dir, &format!("round-{round}-{name}.jsonl"));
            waits.merge(&measure(&**start, &session));
        }
    }
    all
}

fn show(title: &str, all: &[(&str, Waits)]) {
    let mut table = Table::new(title, &["lock", "p50", "p99", "longest"]);
    for (name, waits) in all {
        let cells = [waits.percentile(50.0), waits.percentile(99.0), waits.max].map(time);
        table.row(std::iter::once((*name).to_owned()).chain(cells));
    }
    table.print();
}

pub fn wake_up(dir: &Path, peers: &[Peer], goals: &mut Goals) {
    let all =
        in_rounds(dir, peers, |start, session| processes::wake_up(start, session, either(60, 2)));
    show("from release to acquire, another process", &all);
    let p50 = |at: usize| all[at].1.percentile(50.0).as_nanos() as f64;
    goals.at_most("wake-up across processes, p50 ÷ flock", p50(1) / p50(0), 2.0, "");
    goals.at_most(
        "wake-up across processes, p99",
        all[1].1.percentile(99.0).as_secs_f64() * 1e3,
        1.0,
        " ms",
    );
}

pub fn after_kill(dir: &Path, peers: &[Peer]) {
    let quick = |name: &&'static str| !matches!(*name, "gix-lock" | "proper-lockfile" | "fs-safe");
    let locks = all_locks(peers);
    let mut all = Vec::new();
    for (name, start) in locks.iter().filter(|(name, _)| quick(name)) {
        let session = known_session(dir, &format!("kill-{name}.jsonl"));
        all.push((
            *name,
            processes::after_kill(
                &**start,
                &session,
                either(if name.contains("claw") { 8 } else { 40 }, 1),
            ),
        ));
    }
    show("from SIGKILL of the holder to acquire, another process", &all);
    println!(
        "\ngix-lock and fs-safe (by default): never, because their files stay; \
         proper-lockfile: after its lease of 10 s"
    );
}

pub fn contention(dir: &Path, peers: &[Peer], goals: &mut Goals) {
    for (processes, hold) in
        [(8, Duration::ZERO), (8, Duration::from_millis(1)), (16, Duration::from_millis(1))]
    {
        let all: Vec<_> = all_locks(peers)
            .into_iter()
            .map(|(name, start)| {
                let session = known_session(dir, &format!("contention-{name}.jsonl"));
                let duration = Duration::from_millis(either(2_000, 50));
                (name, processes::contend(&*start, &session, processes, hold, duration))
            })
            .collect();
        show_contention(processes, hold, &all);
        let of = |wanted| all.iter().find(|(name, _)| *name == wanted).map(|(_, result)| result);
        let Some(ours) = of(OURS) else { continue };
        if processes == 8 && hold.is_zero() {
            for (name, goal) in [(FLOOR, 0.8), ("proper-lockfile", 100.0), ("openclaw", 100.0)] {
                if let Some(other) = of(name) {
                    let ratio = ours.per_second() / other.per_second();
                    goals.at_least(
                        &format!("8 processes, no hold: turns/s ÷ {name}"),
                        ratio,
                        goal,
                        "",
                    );
                }
            }
        } else if processes == 8 {
            goals.at_least("8 processes, 1 ms holds: fewest ÷ most", ours.fairness(), 0.8, "");
            let fair = hold.as_secs_f64() * (processes - 1) as f64;
            goals.at_most(
                "8 processes, 1 ms holds: longest wait ÷ (waiters × hold)",
                ours.waits.max.as_secs_f64() / fair,
                3.0,
                "",
            );
        }
    }
}

fn show_contention(processes: usize, hold: Duration, all: &[(&str, Contention)]) {
    let mut table = Table::new(
        format!("{processes} processes on one session, holds of {}", time(hold)),
        &["lock", "turns/s", "fewest ÷ most", "wait p50", "p99", "longest"],
    );
    for (name, result) in all {
        table.row([
            (*name).to_owned(),
            rate(result.per_second()),
            format!("{:.2}", result.fairness()),
            time(result.waits.percentile(50.0)),
            time(result.waits.percentile(99.0)),
            time(result.waits.max),
        ]);
    }
    table.print();
}

pub fn append(dir: &Path, goals: &mut Goals) {
    let (buffered, durable) = appends::one_session(dir, 400);
    goals.at_most(
        "append, 400 bytes, buffered ÷ write under flock with two stats",
        buffered[2].ratio,
        2.0,
        "",
    );
    goals.at_most("append, 400 bytes, durable ÷ write + fdatasync", durable[1].ratio, 1.1, "");
    appends::one_session(dir, 300 * 1024);
}

pub fn many_sessions(dir: &Path, goals: &mut Goals) {
    let runtime = in_tasks::runtime();
    let each = either(40, 1);
    let mut samples = [const { Vec::new() }; 4];
    for _ in 0..either(3, 1) {
        let fresh = tempfile::tempdir_in(dir).unwrap();
        samples[0].push(appends::many_files(fresh.path(), 400, each));
        samples[1].push(appends::many_sessions(&runtime, &durable(), fresh.path(), 400, each));
        samples[2].push(sqlite::lines_per_second(fresh.path(), 1, 400, each));
        let fresh = tempfile::tempdir_in(dir).unwrap();
        samples[3].push(sqlite::lines_per_second(fresh.path(), appends::AT_ONCE, 400, each));
    }
    let [floor, ours, one, many] = samples.map(rounds::median);
    let mut table = Table::new(
        "64 sessions at once, durable appends of 400 bytes",
        &["store", "lines/s", "÷ floor"],
    );
    for (name, lines) in [
        ("floor: 64 threads, write, fdatasync", floor),
        (OURS, ours),
        ("SQLite WAL FULL, one database", one),
        ("SQLite WAL FULL, 64 databases", many),
    ] {
        table.row([name.to_owned(), rate(lines), format!("{:.2}", lines / floor)]);
    }
    table.print();
    goals.at_least(
        "64 sessions, durable appends at once ÷ SQLite, one database",
        ours / one,
        3.0,
        "",
    );
    goals.at_least(
        "64 sessions, durable appends at once ÷ SQLite, 64 databases",
        ours / many,
        3.0,
        "",
    );
}

pub fn scale(goals: &mut Goals) {
    let counts = either(vec![10, 1_000, scales::at_most(10_000)], vec![1, 10]);
    let dir = directory();
    let held = scales::hold(dir.path(), &counts, heap);
    let head = &[
        "held",
        "acquire of each",
        "acquire + release of one more",
        "heap each",
        "threads",
        "descriptors",
    ];
    let mut table = Table::new("sessions held by one process", head);
    for held in &held {
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
    let (few, many) = (&held[0], &held[held.len() - 1]);
    goals.at_most("heap per held session", many.heap_each, 1024.0, " B");
    let ratio = many.one_more.as_secs_f64() / few.one_more.as_secs_f64();
    goals.at_most(
        &format!("acquire with {} held ÷ with {} held", many.count, few.count),
        ratio,
        1.2,
        "",
    );
    waiting_threads(goals);
}

/// Lets many tasks wait on each of several contended paths. Counts the waiting threads meanwhile
/// and afterwards.
fn waiting_threads(goals: &mut Goals) {
    const PATHS: usize = 8;
    let (dir, runtime) = (directory(), in_tasks::runtime());
    let paths: Vec<_> =
        (0..PATHS).map(|n| known_session(dir.path(), &format!("path-{n}.jsonl"))).collect();
    let mut holders: Vec<_> = paths.iter().map(|path| Actor::start(OURS, path)).collect();
    for holder in &mut holders {
        holder.ask("acquire");
    }
    let sessions = crate::common::buffered();
    let (during, after) = runtime.block_on(async {
        let mut tasks = Vec::new();
        for path in paths.iter().flat_map(|path| std::iter::repeat_n(path, 20)) {
            let (sessions, path) = (sessions.clone(), path.clone());
            tasks.push(tokio::spawn(async move {
                sessions.turn(path).acquire().await.unwrap().release().await.unwrap()
            }));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let during = threads_that_wait();
        for holder in &mut holders {
            holder.ask("release");
        }
        for task in tasks {
            task.await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        (during, threads_that_wait())
    });
    println!(
        "\n{PATHS} contended paths with 20 waiting tasks each: \
         {during} waiting threads, {after} when idle"
    );
    goals.at_most("waiting threads per contended path", during as f64 / PATHS as f64, 1.0, "");
    goals.at_most("waiting threads when idle", after as f64, 0.0, "");
}

fn threads_that_wait() -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let names =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("turnlock-wait")).count()
}
