//! Waiting for events. A test never sleeps for a fixed time: it waits until something is there.

use std::time::{Duration, Instant};

/// Upper bound for anything that is bound to happen, on the busiest machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for an event; the test fails if it does not come.
#[track_caller]
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    eventually(what, || happened().then_some(()));
}

/// Looks again and again until there is something to return; the test fails if that never comes.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, look)
}

/// The same, with a deadline of the caller's choice.
#[track_caller]
pub fn eventually_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
