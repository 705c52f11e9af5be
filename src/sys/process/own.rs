//! What this process writes about itself into its owner records.

use std::sync::Arc;

use parking_lot::RwLock;
use rustix::process::getpid;
use rustix::system::uname;

use super::platform;

/// Facts about this process that do not change while it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    /// Its id, in its own PID namespace.
    pub pid: i32,
    /// Field 22 of its `/proc/<pid>/stat`; `None` where there is no such file.
    pub start_time: Option<u64>,
    /// Names this run of the kernel; the same in all its containers.
    pub boot_id: Option<String>,
    /// The inode of its PID namespace: `pid` means something only within it.
    pub pid_namespace: Option<u64>,
    /// What `uname` calls this host; in a container, mostly the container's id.
    pub host: String,
}

impl Own {
    fn read() -> Self {
        Self {
            pid: getpid().as_raw_pid(),
            start_time: platform::own_start_time(),
            boot_id: platform::boot_id(),
            pid_namespace: platform::pid_namespace(),
            host: uname().nodename().to_string_lossy().into_owned(),
        }
    }
}

static CACHE: RwLock<Option<Arc<Own>>> = RwLock::new(None);

/// The facts about this process, read once; after a fork the child reads its own.
///
/// The cache is only ever *tried*: a fork may have happened while another thread had it, and in the child nobody would ever
/// give it back. Such a child reads the facts each time.
pub(crate) fn own() -> Arc<Own> {
    let pid = getpid().as_raw_pid();
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
    fn a_cache_that_nobody_gives_back_blocks_nobody() {
        let lost = CACHE.write();
        assert_eq!(own().pid, getpid().as_raw_pid());
        drop(lost);
        assert_eq!(own(), own());
    }

    #[test]
    fn facts_of_another_process_are_not_taken_for_ours() {
        let parent = Own { pid: -1, ..Own::read() };
        *CACHE.write() = Some(Arc::new(parent));
        assert_eq!(own().pid, getpid().as_raw_pid());
    }
}
