//! What must be seen working with real processes, real files and the real kernel: one module per theme.

mod cancelled;
mod child;
mod clock;
mod clock_jumps;
mod containers;
#[allow(dead_code, reason = "only its namespaces and its disks are needed here")]
#[path = "../power/disk.rs"]
mod disk;
mod fallbacks;
mod foreign;
mod forked;
mod full_disk;
mod killed;
mod mutual_exclusion;
mod paths;
mod posts;
mod quota;
mod removed;
mod revoked;
mod room;
mod runtime;
mod scale;
mod stale;
mod sweep;
mod torn;
mod unused;
