//! What is known of the devices on which this process has met sessions: asked once for each.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use parking_lot::RwLock;

use super::{KeepsLocks, filesystem, probe};
use crate::error::{Error, Result};

#[derive(Clone)]
struct Device {
    remote: bool,
    marks: bool,
    /// Why locks are not kept there.
    refusal: Option<String>,
}

static DEVICES: LazyLock<RwLock<HashMap<u64, Device>>> = LazyLock::new(RwLock::default);

/// Refuses a directory whose filesystem does not keep locks. A local one is known by its kind; elsewhere the locks are tried, once.
pub(crate) fn ensure_keeps_locks(dir: &Path, dev: u64) -> Result<()> {
    let known = DEVICES.read().get(&dev).cloned();
    let device = match known {
        Some(device) => device,
        None => {
            let device = ask(dir);
            DEVICES.write().insert(dev, device.clone());
            device
        }
    };
    match device.refusal {
        None => Ok(()),
        Some(reason) => Err(Error::LocksNotKept { dir: dir.to_owned(), reason }),
    }
}

/// What cannot be asked is taken for what most are: local, and keeping locks.
fn ask(dir: &Path) -> Device {
    let Ok(filesystem) = filesystem(dir) else { return Device { remote: false, marks: true, refusal: None } };
    let refusal = match &filesystem.keeps_locks {
        KeepsLocks::NotKept(reason) => Some(format!("{filesystem}: {reason}")),
        _ if filesystem.wants_probe() => probe(dir).ok().and_then(|report| report.refusal()),
        _ => None,
    };
    Device { remote: filesystem.remote(), marks: filesystem.marks_usable(), refusal }
}

/// Whether other hosts may share this device; one that was never met is local.
pub(crate) fn is_remote(dev: u64) -> bool {
    DEVICES.read().get(&dev).is_some_and(|device| device.remote)
}

/// Whether this device was met, and no other host shares it.
pub(crate) fn is_local(dev: u64) -> bool {
    DEVICES.read().get(&dev).is_some_and(|device| !device.remote)
}

/// Whether marks are told apart from the `flock` there.
pub(crate) fn marks_usable(dev: u64) -> bool {
    DEVICES.read().get(&dev).is_none_or(|device| device.marks)
}
