//! What `hostile_world` uses of the shared disks.

pub use turnlock_testing::disk::{Disk, Kind};
pub use turnlock_testing::in_a_namespace;
