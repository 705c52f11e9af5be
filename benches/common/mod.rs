//! What the benches and the comparison with the peers share: the things measured, their floors, and how they are measured.

// Every bench uses a part of it.
#![allow(dead_code)]

pub mod actor;
pub mod append;
pub mod floor;
pub mod lock;
pub mod processes;
pub mod rounds;
pub mod scale;
pub mod show;
pub mod tasks;
pub mod uncontended;
pub mod waits;

use std::path::Path;
use std::time::Duration;

use turnlock::{Durability, Sessions};

/// Whether everything is to be done only once, to see that it works: `cargo bench -- --test`, or as a test among others.
pub fn short() -> bool {
    let is_bench = option_env!("CARGO_BIN_NAME").is_none();
    let has = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    has("--test") || (is_bench && !has("--bench"))
}

/// Whether the measurement of this name is asked for; those that criterion does not time keep to its arguments too.
pub fn wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).peekable();
    let listing = std::env::args().any(|arg| arg == "--list");
    !listing && (words.peek().is_none() || words.any(|word| name.contains(&word)))
}

/// `long`, or `short` where only a trial is wanted.
pub fn either<T>(long: T, short: T) -> T {
    if self::short() { short } else { long }
}

pub fn buffered() -> Sessions {
    with(Durability::Buffered)
}

pub fn durable() -> Sessions {
    with(Durability::Sync)
}

fn with(durability: Durability) -> Sessions {
    Sessions::builder()
        .durability(durability)
        .acquire_timeout(Duration::from_secs(120))
        .build()
        .unwrap()
}

/// A directory on the disk that is measured: `TURNLOCK_BENCH_DIR`, or the system's temporary directory.
pub fn directory() -> tempfile::TempDir {
    match std::env::var_os("TURNLOCK_BENCH_DIR") {
        Some(dir) => tempfile::tempdir_in(dir).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

/// A message as an agent writes it, of about so many bytes as a line.
pub fn message(bytes: usize) -> serde_json::Value {
    let text = "x".repeat(bytes.saturating_sub(95));
    serde_json::json!({
        "type": "message", "id": "01a2b3c4", "message": { "role": "assistant", "content": text }, "timestamp": 1_750_000_000
    })
}

/// A session that exists, with a line in it.
pub fn known_session(dir: &Path, name: &str) -> std::path::PathBuf {
    let session = dir.join(name);
    std::fs::write(&session, "{}\n").unwrap();
    session
}
