//! Reports of turns that are held for long, once each. They are never taken away for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use parking_lot::Mutex;

use super::slot::{self, Hold};
use crate::keeper;
use crate::rules::LongHold;

/// When the next look is due.
static NEXT: Mutex<Option<Instant>> = Mutex::new(None);

/// Sees to it that a hold which lasts beyond `due` is reported. Without one it lies so far in the
/// future that no clock gets there.
pub(super) fn report_at(due: Option<Instant>) {
    let Some(due) = due else { return };
    let mut next = NEXT.lock();
    if next.is_none_or(|earlier| due < earlier) {
        *next = Some(due);
        keeper::after(due.saturating_duration_since(Instant::now()), report_all);
    }
}

fn report_all() {
    *NEXT.lock() = None;
    let (overdue, next) = slot::long_holds();
    for (place, hold) in &overdue {
        report(place.session(), hold);
    }
    report_at(next);
}

fn report(session: &Path, hold: &Hold) {
    let held = hold.since.elapsed();
    tracing::warn!(
        session = %session.display(),
        owner = %hold.owner,
        label = hold.label.as_deref(),
        ?held,
        "a turn is held long"
    );
    let Some(tell) = &hold.rules.on_long_hold else { return };
    let long = LongHold {
        session: session.to_owned(),
        owner: hold.owner,
        label: hold.label.as_deref().map(str::to_owned),
        held,
    };
    // Whatever else is to be told is told all the same.
    let _ = catch_unwind(AssertUnwindSafe(|| tell(&long)));
}
