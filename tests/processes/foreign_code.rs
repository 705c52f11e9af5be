//! Code of others that runs on our threads: subscribers of `tracing`, wakers, recorders of metrics.
//! If it panics, no queue stands still. If it uses the library itself, nothing is locked up.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;
use tracing::span;
use turnlock::testing::waiters_here;
use turnlock::{Sessions, Turn};
use turnlock_testing::{alone, eventually, room, test_name, until};

use crate::child::{Answer, Ask, child};
use crate::sessions::buffered;

/// A subscriber that does this at every event.
struct AtEvents<F>(F);

impl<F: Fn() + 'static> tracing::Subscriber for AtEvents<F> {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// How often foreign code ran.
static RAN: AtomicUsize = AtomicUsize::new(0);

fn panic_on_purpose() {
    RAN.fetch_add(1, Ordering::Relaxed);
    panic!("on purpose");
}

fn subscribe(at_events: impl Fn() + Send + Sync + 'static) {
    // Panics on purpose would fill the output.
    std::panic::set_hook(Box::new(|info| {
        if info.payload_as_str() != Some("on purpose") {
            eprintln!("{info}");
        }
    }));
    tracing::subscriber::set_global_default(AtEvents(at_events)).unwrap();
}

/// All ways in which a turn is waited for, granted, handed over, left to others, lost and ended.
fn all_ways() {
    for _ in 0..3 {
        let room = room();
        let sessions = buffered();
        let mut other = child(&room);
        other.acquire();
        std::thread::scope(|scope| {
            let turn = || {
                let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
                turn.append_blocking(&json!({})).unwrap();
                turn.release_blocking().unwrap();
            };
            let waiters: Vec<_> = (0..4).map(|_| scope.spawn(turn)).collect();
            room.until_waited_for(1);
            other.release();
            other.tell(&Ask::Turns { writer: 1, count: 20 });
            for waiter in waiters {
                waiter.join().unwrap();
            }
            assert_eq!(other.answer(), Answer::Done);
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let turn = sessions.turn(&room.session).acquire().await.unwrap();
            let one = || {
                let acquire = sessions.turn(&room.session).acquire();
                async { drop(acquire.await.unwrap()) }
            };
            let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(one())).collect();
            turn.release().await.unwrap();
            for task in tasks {
                task.await.unwrap();
            }
        });
        // One that was stopped and revoked: the wait is aimed anew.
        let owner = other.acquire();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| sessions.turn(&room.session).acquire_blocking());
            room.until_waited_for(1);
            other.stop();
            sessions.revoke(&room.session, owner).unwrap();
            waiter.join().unwrap().unwrap().release_blocking().unwrap();
        });
        // One of this process that hangs: the queue goes on without it.
        let hanging = sessions.turn(&room.session).acquire_blocking().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| sessions.turn(&room.session).acquire_blocking());
            sessions.revoke(&room.session, hanging.owner()).unwrap();
            waiter.join().unwrap().unwrap().release_blocking().unwrap();
        });
        drop(hanging);
        let error =
            sessions.turn(&room.session).timeout(Duration::ZERO).acquire_blocking().map(drop);
        assert!(error.is_ok(), "{error:?}");
        room.expect_clean();
    }
}

#[test]
fn a_subscriber_that_panics_stops_no_queue() {
    alone(&test_name!(), || {
        subscribe(panic_on_purpose);
        all_ways();
        assert!(RAN.load(Ordering::Relaxed) > 0, "it was told nothing");
    });
}

/// The session that the subscriber of the next test uses.
static SESSION: OnceLock<PathBuf> = OnceLock::new();

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Uses the library for the very session that it is told of.
fn use_the_library() {
    if INSIDE.replace(true) {
        return;
    }
    RAN.fetch_add(1, Ordering::Relaxed);
    let sessions = buffered();
    if let Some(session) = SESSION.get() {
        drop(sessions.turn(session).try_acquire());
        let posting = Sessions::builder().acquire_timeout(Duration::from_millis(100));
        drop(posting.build().unwrap().post_blocking(session, &json!({"log": 1})));
        drop(sessions.status_of(session));
        let _ = Sessions::held_by_this_process();
    }
    INSIDE.set(false);
}

#[test]
fn a_subscriber_may_use_the_session_that_it_is_told_of() {
    alone(&test_name!(), || {
        let room = room();
        SESSION.set(room.session.clone()).unwrap();
        subscribe(use_the_library);
        let sessions = buffered();
        let mut other = child(&room);
        for _ in 0..5 {
            other.acquire();
            std::thread::scope(|scope| {
                let turn = || {
                    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
                    turn.append_blocking(&json!({})).unwrap();
                    turn.release_blocking().unwrap();
                };
                let waiters: Vec<_> = (0..4).map(|_| scope.spawn(turn)).collect();
                room.until_waited_for(1);
                other.release();
                for waiter in waiters {
                    waiter.join().unwrap();
                }
            });
        }
        assert!(RAN.load(Ordering::Relaxed) > 0, "it was told nothing");
        room.expect_clean();
    });
}

/// A line that uses the session while it is serialised, and panics if it is told to.
struct Line<'a> {
    session: &'a Path,
    panics: bool,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let posting = Sessions::builder().acquire_timeout(Duration::from_secs(5)).build().unwrap();
        posting.post_blocking(self.session, &json!({"inside": 1})).unwrap();
        if self.panics {
            std::panic::panic_any("on purpose");
        }
        serializer.serialize_str("line")
    }
}

/// Lines are serialised before anything is touched: with no lock, and no place in a queue.
#[test]
fn a_line_may_use_its_session_and_panic_while_it_is_serialised() {
    alone(&test_name!(), || {
        subscribe(|| {});
        let room = room();
        let sessions = buffered();
        let line = |panics| Line { session: &room.session, panics };
        let panicked = |call: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        turn.append_blocking(&line(false)).unwrap();
        panicked(&mut || drop(turn.append_blocking(&line(true))));
        panicked(&mut || drop(turn.rewrite_blocking([line(true)])));
        panicked(&mut || drop(sessions.post_blocking(&room.session, &line(true))));
        panicked(&mut || {
            drop(sessions.append_under_blocking(&room.session, turn.owner(), [line(true)]));
        });
        // The turn goes on, and so do those who wait.
        let mut other = child(&room);
        other.tell(&Ask::Turns { writer: 1, count: 1 });
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| sessions.turn(&room.session).acquire_blocking());
            room.until_waited_for(1);
            turn.append_blocking(&json!("last")).unwrap();
            turn.release_blocking().unwrap();
            waiter.join().unwrap().unwrap().release_blocking().unwrap();
        });
        assert_eq!(other.answer(), Answer::Done);
        let ours = room.lines().into_iter().filter(|line| line.is_string());
        assert_eq!(ours.collect::<Vec<_>>(), [json!("line"), json!("last")]);
        room.expect_clean();
    });
}

type Acquiring = Pin<Box<dyn Future<Output = turnlock::Result<Turn>>>>;

#[derive(Default)]
struct Panics(AtomicUsize);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::panic::panic_any("on purpose");
    }
}

#[test]
fn a_waker_that_panics_stops_no_queue() {
    for held_here in [true, false] {
        let room = room();
        let sessions = buffered();
        let mut other = child(&room);
        let panics = Arc::new(Panics::default());
        let waker = Waker::from(Arc::clone(&panics));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let held = if held_here {
            Some(sessions.turn(&room.session).acquire_blocking().unwrap())
        } else {
            other.acquire();
            None
        };
        let mut first: Acquiring = Box::pin(sessions.turn(&room.session).acquire());
        let poll = |first: &mut Acquiring| {
            let _guard = runtime.enter();
            first.as_mut().poll(&mut Context::from_waker(&waker))
        };
        // Its first look for the turn is done elsewhere.
        until("it queues", || {
            assert!(poll(&mut first).is_pending());
            waiters_here(&room.session) == 1
        });
        if !held_here {
            room.until_waited_for(1);
        }
        std::thread::scope(|scope| {
            let second = scope.spawn(|| sessions.turn(&room.session).acquire_blocking());
            match held {
                Some(turn) => turn.release_blocking().unwrap(),
                None => other.release(),
            }
            let turn = eventually("the first has the turn", || match poll(&mut first) {
                Poll::Ready(turn) => Some(turn),
                Poll::Pending => None,
            });
            turn.unwrap().release_blocking().unwrap();
            second.join().unwrap().unwrap().release_blocking().unwrap();
        });
        assert!(panics.0.load(Ordering::Relaxed) > 0, "it was never woken");
        room.expect_clean();
    }
}

#[cfg(feature = "metrics")]
mod recorded {
    use metrics::{
        Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Unit,
    };

    use super::*;

    struct Panicking;

    impl CounterFn for Panicking {
        fn increment(&self, _: u64) {
            panic_on_purpose();
        }

        fn absolute(&self, _: u64) {
            panic_on_purpose();
        }
    }

    impl HistogramFn for Panicking {
        fn record(&self, _: f64) {
            panic_on_purpose();
        }
    }

    impl metrics::Recorder for Panicking {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: metrics::SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: metrics::SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: metrics::SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(Arc::new(Panicking))
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(Arc::new(Panicking))
        }
    }

    #[test]
    fn a_recorder_of_metrics_that_panics_stops_no_queue() {
        alone(&test_name!(), || {
            subscribe(|| {});
            metrics::set_global_recorder(Panicking).unwrap();
            all_ways();
            assert!(RAN.load(Ordering::Relaxed) > 0, "it was told nothing");
        });
    }
}
