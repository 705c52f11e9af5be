//! Reports of turns that are held for long: one for each. A turn is never taken away for being
//! held long.

use std::time::Instant;

use parking_lot::Mutex;

use super::slot::{self, Hold};
use crate::keeper::{self, Lane};
use crate::outside::{self, note};
use crate::place::Place;
use crate::rules::LongHold;

/// When the keeper is to look next.
static NEXT_LOOK: Mutex<Option<Instant>> = Mutex::new(None);

/// Makes the keeper report what is held beyond `due`. `None` is a time that no clock reaches.
pub(super) fn look_at(due: Option<Instant>) {
    let Some(due) = due else { return };
    let mut next = NEXT_LOOK.lock();
    if next.is_none_or(|scheduled| due < scheduled) {
        *next = Some(due);
        keeper::after(due.saturating_duration_since(Instant::now()), Lane::Callbacks, look);
    }
}

fn look() {
    *NEXT_LOOK.lock() = None;
    let (overdue, next_due) = slot::take_overdue();
    look_at(next_due);
    for (place, hold) in overdue {
        report(place, hold);
    }
}

fn report(place: Place, hold: Hold) {
    let held = hold.since.elapsed();
    let callback = hold.rules.on_long_hold.clone();
    let long_hold = LongHold {
        session: place.session().to_owned(),
        owner: hold.owner,
        label: hold.label.as_deref().map(str::to_owned),
        held,
    };
    note!(WARN, [],
        session = %place.session().display(),
        owner = %hold.owner,
        label = hold.label.as_deref(),
        ?held,
        "turn held for long");
    if let Some(callback) = callback {
        outside::tell(move || callback(&long_hold));
    }
}
