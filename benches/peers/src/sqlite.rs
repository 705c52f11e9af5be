//! SQLite as the alternative to JSONL: WAL, `synchronous=FULL`, and one INSERT per transaction.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::common::append::{AT_ONCE, line};

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(120)).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection
        .execute("CREATE TABLE IF NOT EXISTS lines (session INTEGER, line TEXT)", ())
        .unwrap();
    connection
}

/// Appends to [`AT_ONCE`] sessions concurrently, in the given number of databases. Returns lines
/// per second.
pub fn lines_per_second(dir: &Path, databases: usize, bytes: usize, each: u32) -> f64 {
    let connections: Vec<_> =
        (0..AT_ONCE).map(|n| open(&dir.join(format!("lines-{}.db", n % databases)))).collect();
    let line = line(bytes);
    let began = Instant::now();
    thread::scope(|scope| {
        for (session, connection) in connections.into_iter().enumerate() {
            let line = line.get();
            scope.spawn(move || {
                let mut insert = connection.prepare("INSERT INTO lines VALUES (?1, ?2)").unwrap();
                for _ in 0..each {
                    insert.execute((session as i64, line)).unwrap();
                }
            });
        }
    });
    (AT_ONCE as u32 * each) as f64 / began.elapsed().as_secs_f64()
}
