//! Counters and histograms, through the facade of the crate `metrics`. Without the feature
//! `metrics` nothing is counted.
//!
//! The locks of gateways are not counted. They are not turns of sessions, and are held for weeks.

use std::time::Duration;

#[cfg(feature = "metrics")]
use crate::outside;
use crate::place::Place;

macro_rules! count {
    ($place:expr, $name:literal) => {
        #[cfg(feature = "metrics")]
        if !$place.is_gateway() {
            outside::tell(|| ::metrics::counter!($name).increment(1));
        }
        #[cfg(not(feature = "metrics"))]
        let _ = $place;
    };
}

macro_rules! measure {
    ($place:expr, $name:literal, $took:expr) => {
        #[cfg(feature = "metrics")]
        if !$place.is_gateway() {
            outside::tell(move || ::metrics::histogram!($name).record($took.as_secs_f64()));
        }
        #[cfg(not(feature = "metrics"))]
        let _ = ($place, $took);
    };
}

/// A turn was acquired, after a wait of `waited`.
pub(crate) fn acquired(place: &Place, waited: Duration) {
    count!(place, "turnlock_turns_total");
    measure!(place, "turnlock_wait_seconds", waited);
}

/// A turn could not be acquired in time.
pub(crate) fn timed_out(place: &Place) {
    count!(place, "turnlock_timeouts_total");
}

/// A turn was released, after a hold of `held`.
pub(crate) fn released(place: &Place, held: Duration) {
    measure!(place, "turnlock_hold_seconds", held);
}

/// The lock of a dead owner was taken over.
pub(crate) fn took_over(place: &Place) {
    count!(place, "turnlock_takeovers_total");
}

/// A lock was revoked.
pub(crate) fn revoked(place: &Place) {
    count!(place, "turnlock_revocations_total");
}

/// A holder found its turn lost.
pub(crate) fn lost(place: &Place) {
    count!(place, "turnlock_lost_locks_total");
}

/// Describes to the recorder of the program what this library counts and measures, with units.
///
/// Call it once, after the recorder is installed. The counts are those of this process.
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    use ::metrics::{Unit, describe_counter, describe_histogram};
    describe_counter!(
        "turnlock_turns_total",
        Unit::Count,
        "Turns on sessions that this process has acquired."
    );
    describe_counter!(
        "turnlock_timeouts_total",
        Unit::Count,
        "Turns that this process could not acquire in time."
    );
    describe_counter!(
        "turnlock_takeovers_total",
        Unit::Count,
        "Locks of dead owners that this process has taken over."
    );
    describe_counter!(
        "turnlock_revocations_total",
        Unit::Count,
        "Locks that this process has revoked."
    );
    describe_counter!(
        "turnlock_lost_locks_total",
        Unit::Count,
        "Turns that this process held and has lost."
    );
    describe_histogram!(
        "turnlock_wait_seconds",
        Unit::Seconds,
        "Waits of this process for a turn, until it was acquired."
    );
    describe_histogram!(
        "turnlock_hold_seconds",
        Unit::Seconds,
        "Holds of a turn by this process, from acquire to release."
    );
}
