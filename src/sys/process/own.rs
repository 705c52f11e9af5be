//! The facts about this process that it writes into its owner records.

use std::sync::Arc;

use parking_lot::RwLock;
use rustix::process::getpid;
use rustix::system::uname;

use super::system;

/// Facts about this process that stay the same while it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    /// Its process id, in its own PID namespace.
    pub pid: i32,
    /// Field 22 of its `/proc/<pid>/stat`; `None` where there is no such file.
    pub start_time: Option<u64>,
    /// The id of this run of the kernel, which is the same in all its containers.
    pub boot_id: Option<String>,
    /// The inode of its PID namespace. `pid` means something only within that namespace.
    pub pid_namespace: Option<u64>,
    /// The host name that `uname` reports; in a container, mostly the container's id.
    pub host: String,
}

impl Own {
    fn read() -> Self {
        Self {
            pid: getpid().as_raw_nonzero().get(),
            start_time: system::own_start_time(),
            boot_id: system::boot_id(),
            pid_namespace: system::pid_namespace(),
            host: uname().nodename().to_string_lossy().into_owned(),
        }
    }
}

static CACHE: RwLock<Option<Arc<Own>>> = RwLock::new(None);

/// Returns the facts about this process. They are read once; after a fork the child reads its own.
///
/// The lock on the cache is only ever *tried*. If a fork happens while another thread holds it,
/// nobody in the child ever releases it. Such a child reads the facts each time.
pub(crate) fn own() -> Arc<Own> {
    let pid = getpid().as_raw_nonzero().get();
    if let Some(cache) = CACHE.try_read()
        && let Some(own) = cache.as_ref().filter(|own| own.pid == pid)
    {
        return Arc::clone(own);
    }
    let own = Arc::new(Own::read());
    if let Some(mut cache) = CACHE.try_write() {
        *cache = Some(Arc::clone(&own));
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_lock_that_is_never_released_blocks_nobody() {
        let lost = CACHE.write();
        assert_eq!(own().pid, getpid().as_raw_nonzero().get());
        drop(lost);
        assert_eq!(own(), own());
    }

    #[test]
    fn facts_of_another_process_are_not_taken_for_ours() {
        let parent = Own { pid: -1, ..Own::read() };
        *CACHE.write() = Some(Arc::new(parent));
        assert_eq!(own().pid, getpid().as_raw_nonzero().get());
    }
}
