//! What is known about the devices that this process has met. Each is looked up once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use parking_lot::RwLock;

use super::super::Device;
use super::{KeepsLocks, Locality, filesystem, probe};

#[derive(Clone)]
struct Known {
    locality: Locality,
    /// Whether its locks need a trial and have not had one yet.
    untried: bool,
    /// Why locks are not kept there, if they are not.
    refusal: Option<String>,
}

static DEVICES: LazyLock<RwLock<HashMap<Device, Known>>> = LazyLock::new(RwLock::default);

/// Returns why the filesystem of a directory does not keep locks, or `None` if it keeps them.
///
/// A local filesystem is known by its kind. On others the locks are tried, once per device.
pub(crate) fn refusal(dir: &Path, device: Device) -> Option<String> {
    let mut known = meet(dir, device);
    if known.untried {
        known.untried = false;
        known.refusal = probe(dir).ok().and_then(|report| report.refusal());
        DEVICES.write().insert(device, known.clone());
    }
    known.refusal
}

/// Looks up the mount of a directory, before its lock files are looked at. Tries no locks.
pub(crate) fn ask_mount(dir: &Path, device: Device) {
    meet(dir, device);
}

fn meet(dir: &Path, device: Device) -> Known {
    let known = DEVICES.read().get(&device).cloned();
    known.unwrap_or_else(|| {
        let known = ask(dir);
        DEVICES.write().insert(device, known.clone());
        known
    })
}

/// A filesystem that cannot be looked up is taken to be like most: local, and keeping locks.
fn ask(dir: &Path) -> Known {
    let Ok(filesystem) = filesystem(dir) else {
        return Known { locality: Locality::Local, untried: false, refusal: None };
    };
    let refusal = match &filesystem.keeps_locks {
        KeepsLocks::NotKept(reason) => Some(format!("{filesystem}: {reason}")),
        _ => None,
    };
    Known {
        locality: filesystem.locality,
        untried: refusal.is_none() && filesystem.wants_probe(),
        refusal,
    }
}

/// Whether other hosts may share this device. A device that was never met counts as local.
pub(crate) fn is_remote(device: Device) -> bool {
    DEVICES.read().get(&device).is_some_and(|known| known.locality == Locality::Remote)
}

/// Whether this device was met and is on this machine, so that no server and no daemon delays its
/// calls.
pub(crate) fn is_local(device: Device) -> bool {
    DEVICES.read().get(&device).is_some_and(|known| known.locality == Locality::Local)
}

/// Whether byte-range marks work beside a `flock` there. Network filesystems turn the `flock` into
/// a lock on bytes, which conflicts with the marks.
pub(crate) fn marks_usable(device: Device) -> bool {
    DEVICES.read().get(&device).is_none_or(|known| known.locality == Locality::Local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_behind_a_daemon_or_a_server_is_not_taken_for_local() {
        for (device, locality) in [
            (Device(u64::MAX), Locality::Local),
            (Device(u64::MAX - 1), Locality::Unknown),
            (Device(u64::MAX - 2), Locality::Remote),
        ] {
            assert!(!is_local(device), "it was never met");
            DEVICES.write().insert(device, Known { locality, untried: false, refusal: None });
            assert_eq!(is_local(device), locality == Locality::Local);
            assert_eq!(marks_usable(device), locality == Locality::Local);
            assert_eq!(is_remote(device), locality == Locality::Remote);
        }
    }
}
