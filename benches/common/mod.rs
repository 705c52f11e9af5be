//! Shared code of the benches and of the comparison with other locks: measurements, and their
//! floors.

// Each bench uses a part of this.
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

/// Whether to run everything only once, as a test: `cargo bench -- --test`, or `cargo test`.
pub fn short() -> bool {
    let is_bench = option_env!("CARGO_BIN_NAME").is_none();
    let has = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    has("--test") || (is_bench && !has("--bench"))
}

/// Whether the command line selects the measurement of this name. Measurements without criterion
/// follow criterion's arguments too.
pub fn wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).peekable();
    let listing = std::env::args().any(|arg| arg == "--list");
    !listing && (words.peek().is_none() || words.any(|word| name.contains(&word)))
}

/// `long`, or `short` if everything runs only once.
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

/// A directory on the disk to be measured: below `TURNLOCK_BENCH_DIR`, or else below the system's
/// temporary directory.
pub fn directory() -> tempfile::TempDir {
    match std::env::var_os("TURNLOCK_BENCH_DIR") {
        Some(dir) => tempfile::tempdir_in(dir).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

/// A message as an agent writes it. As a line, it has about `bytes` bytes.
pub fn message(bytes: usize) -> serde_json::Value {
    let text = "x".repeat(bytes.saturating_sub(95));
    serde_json::json!({
        "type": "message",
        "id": "01a2b3c4",
        "message": { "role": "assistant", "content": text },
        "timestamp": 1_750_000_000
    })
}

/// Creates a session with one line in it.
pub fn known_session(dir: &Path, name: &str) -> std::path::PathBuf {
    let session = dir.join(name);
    std::fs::write(&session, "{}\n").unwrap();
    session
}
