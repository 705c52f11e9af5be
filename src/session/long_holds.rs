//! Reports of turns that are held for long: one for each. A turn is never taken away for being
//! held long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use parking_lot::Mutex;

use super::slot::{self, Hold};
use crate::keeper;
use crate::rules::LongHold;

/// When the keeper is to look next.
static NEXT_LOOK: Mutex<Option<Instant>> = Mutex::new(None);

/// Makes the keeper report what is held beyond `due`. `None` is a time that no clock reaches.
pub(super) fn look_at(due: Option<Instant>) {
    let Some(due) = due else { return };
    let mut next = NEXT_LOOK.lock();
    if next.is_none_or(|scheduled| due < scheduled) {
        *next = Some(due);
        keeper::after(due.saturating_duration_since(Instant::now()), look);
    }
}

fn look() {
    *NEXT_LOOK.lock() = None;
    let (overdue, next_due) = slot::take_overdue();
    for (place, hold) in &overdue {
        report(place.session(), hold);
    }
    look_at(next_due);
}

fn report(session: &Path, hold: &Hold) {
    let held = hold.since.elapsed();
    tracing::warn!(
        session = %session.display(),
        owner = %hold.owner,
        label = hold.label.as_deref(),
        ?held,
        "turn held for long"
    );
    let Some(callback) = &hold.rules.on_long_hold else { return };
    let long_hold = LongHold {
        session: session.to_owned(),
        owner: hold.owner,
        label: hold.label.as_deref().map(str::to_owned),
        held,
    };
    // A callback that panics must not keep the other reports back.
    let _ = catch_unwind(AssertUnwindSafe(|| callback(&long_hold)));
}
