//! Real processes on real files and the real kernel, one module for each theme.

mod cancelled;
mod changed;
mod child;
mod clock_jumps;
mod containers;
mod fallbacks;
mod foreign;
mod forked;
mod full_disk;
mod glued;
mod hostile_world;
mod identity;
mod killed;
mod mutual_exclusion;
mod paths;
mod posts;
mod quota;
mod removed;
mod revoked;
mod runtime;
mod scale;
mod sessions;
mod stale;
mod sweep;
mod torn;
mod unused;
