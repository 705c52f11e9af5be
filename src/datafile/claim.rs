//! The claim of a turn on a session file that has several names (I17).
//!
//! Each name has a lock file of its own, so that the turn lock does not keep the holders under
//! different names apart. What they share is the session file's inode. A turn claims it by a lock
//! on one byte far beyond the content. The byte is that of the name, so that a process can tell the
//! claims of others under its own name, which the turn lock keeps apart, from those under others.
//! The kernel drops the claim with the process. Claims are made and looked for under the data lock.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use crate::place::Place;
use crate::sys::range_lock::{self, Kind};

const COUNT: i64 = 1 << 40;
const CLAIMS: Range<i64> = 1 << 61..(1 << 61) + COUNT;

/// Claims the file, unless it is claimed under another name.
pub(super) fn take(file: &File, place: &Place) -> bool {
    if is_claimed_elsewhere(file, place) {
        return false;
    }
    let own = byte_of(place);
    range_lock::set(file, Kind::Shared, own..own + 1);
    true
}

/// Whether the file is claimed under another name.
pub(super) fn is_claimed_elsewhere(file: &File, place: &Place) -> bool {
    let own = byte_of(place);
    let others = [CLAIMS.start..own, own + 1..CLAIMS.end];
    others.into_iter().filter(|range| !range.is_empty()).any(|range| {
        // Where there are no such locks, nothing can be claimed.
        range_lock::is_in_the_way(file, Kind::Exclusive, range).unwrap_or(false)
    })
}

/// Takes back the claim that was made through this descriptor.
pub(super) fn end(file: &File) {
    range_lock::clear(file, CLAIMS);
}

/// The byte of a name, the same in every process.
fn byte_of(place: &Place) -> i64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    place.dir().id().hash(&mut hash);
    hash.write(place.session_name().as_encoded_bytes());
    CLAIMS.start + i64::try_from(hash.finish() % COUNT.unsigned_abs()).unwrap_or(0)
}

/// The hash of Fowler, Noll and Vo (1a). That of `std` may change with its version.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
