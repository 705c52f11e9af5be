//! What is known of the devices on which this process has met sessions: asked once for each.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use parking_lot::RwLock;

use super::{KeepsLocks, Locality, filesystem, probe};
use crate::error::{Error, Result};

#[derive(Clone)]
struct Device {
    locality: Locality,
    /// Its locks are worth a trial, which it has not had.
    untried: bool,
    /// Why locks are not kept there.
    refusal: Option<String>,
}

static DEVICES: LazyLock<RwLock<HashMap<u64, Device>>> = LazyLock::new(RwLock::default);

/// Refuses a directory whose filesystem does not keep locks. A local one is known by its kind; elsewhere the locks are tried, once.
pub(crate) fn ensure_keeps_locks(dir: &Path, dev: u64) -> Result<()> {
    let mut device = meet(dir, dev);
    if device.untried {
        device.untried = false;
        device.refusal = probe(dir).ok().and_then(|report| report.refusal());
        DEVICES.write().insert(dev, device.clone());
    }
    match device.refusal {
        None => Ok(()),
        Some(reason) => Err(Error::LocksNotKept { dir: dir.to_owned(), reason }),
    }
}

/// Before locks of a directory are only looked at: asks what its mount says, and tries nothing.
pub(crate) fn ask_mount(dir: &Path, dev: u64) {
    meet(dir, dev);
}

fn meet(dir: &Path, dev: u64) -> Device {
    let known = DEVICES.read().get(&dev).cloned();
    known.unwrap_or_else(|| {
        let device = ask(dir);
        DEVICES.write().insert(dev, device.clone());
        device
    })
}

/// What cannot be asked is taken for what most are: local, and keeping locks.
fn ask(dir: &Path) -> Device {
    let Ok(filesystem) = filesystem(dir) else {
        return Device { locality: Locality::Local, untried: false, refusal: None };
    };
    let refusal = match &filesystem.keeps_locks {
        KeepsLocks::NotKept(reason) => Some(format!("{filesystem}: {reason}")),
        _ => None,
    };
    Device {
        locality: filesystem.locality,
        untried: refusal.is_none() && filesystem.wants_probe(),
        refusal,
    }
}

/// Whether other hosts may share this device; one that was never met is local.
pub(crate) fn is_remote(dev: u64) -> bool {
    DEVICES.read().get(&dev).is_some_and(|device| device.locality == Locality::Remote)
}

/// Whether this device was met, and is on this machine: neither a server nor some daemon keeps its calls waiting.
pub(crate) fn is_local(dev: u64) -> bool {
    DEVICES.read().get(&dev).is_some_and(|device| device.locality == Locality::Local)
}

/// Whether byte-range marks can stand beside a `flock` there. Network filesystems turn the `flock` into a lock on bytes, which then
/// collides with the marks.
pub(crate) fn marks_usable(dev: u64) -> bool {
    DEVICES.read().get(&dev).is_none_or(|device| device.locality == Locality::Local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_daemon_or_a_server_is_not_taken_for_local() {
        for (dev, locality) in [
            (u64::MAX, Locality::Local),
            (u64::MAX - 1, Locality::Unknown),
            (u64::MAX - 2, Locality::Remote),
        ] {
            assert!(!is_local(dev), "it was never met");
            DEVICES.write().insert(dev, Device { locality, untried: false, refusal: None });
            assert_eq!(is_local(dev), locality == Locality::Local);
            assert_eq!(marks_usable(dev), locality == Locality::Local);
            assert_eq!(is_remote(dev), locality == Locality::Remote);
        }
    }
}
