//! Code that is not the library's, and that panics at times inside the library's calls: a `tracing`
//! subscriber and a waker. Nobody else in the process may suffer.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Metadata, Subscriber};

use super::journal::{Journal, Kind, Record};
use super::line::mix;

/// One event, or wakeup, in this many panics.
const EVERY: u64 = 200;

/// What such a panic carries.
struct Planned;

/// The source of the panics of this process.
pub(super) struct Panics {
    seed: u64,
    count: AtomicU64,
    journal: Arc<Journal>,
}

impl Panics {
    /// Installs the subscriber, and silences the reports of planned panics.
    pub(super) fn install(seed: u64, journal: Arc<Journal>) -> Arc<Self> {
        let panics = Arc::new(Self { seed, count: AtomicU64::new(0), journal });
        // Fails only if there is a subscriber. A child has none.
        let _ = tracing::subscriber::set_global_default(Listener(Arc::clone(&panics)));
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Planned>() {
                report(info);
            }
        }));
        panics
    }

    /// Panics at times. Not while it unwinds, which would end the process.
    fn at_times(&self) {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        if mix(self.seed ^ count).is_multiple_of(EVERY) && !std::thread::panicking() {
            self.journal.note(&Record::now(Kind::Panicking));
            panic_any(Planned);
        }
    }

    /// A call of the library, woken by a waker that panics at times. `None` if it panicked.
    pub(super) fn inside<F: Future>(self: &Arc<Self>, call: F) -> Inside<F> {
        Inside { call: Some(Box::pin(call)), panics: Arc::clone(self) }
    }
}

/// Runs a call of the library, and returns `None` if it panicked. A panic that was not planned has
/// been reported by then.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload: Box<dyn Any + Send>| drop(payload)).ok()
}

/// The same, where wakers may panic.
fn inside<T>(run: impl FnOnce() -> T) -> Option<T> {
    IS_INSIDE.set(true);
    let done = caught(run);
    IS_INSIDE.set(false);
    done
}

/// A `tracing` subscriber that panics.
struct Listener(Arc<Panics>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("turnlock")
    }

    fn event(&self, _: &Event<'_>) {
        self.0.at_times();
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Values<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// See [`Panics::inside`].
pub(super) struct Inside<F> {
    call: Option<Pin<Box<F>>>,
    panics: Arc<Panics>,
}

thread_local! {
    /// Whether this thread is inside a call of the library.
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl<F: Future> Future for Inside<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let panics = Arc::clone(&self.panics);
        let waker = Waker::from(Arc::new(Panicky { inner: context.waker().clone(), panics }));
        let Some(call) = &mut self.call else { return Poll::Ready(None) };
        match inside(|| call.as_mut().poll(&mut Context::from_waker(&waker))) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(done)) => Poll::Ready(Some(done)),
            None => Poll::Ready(None),
        }
    }
}

impl<F> Drop for Inside<F> {
    fn drop(&mut self) {
        let call = self.call.take();
        inside(|| drop(call));
    }
}

/// A waker that wakes, and panics.
struct Panicky {
    inner: Waker,
    panics: Arc<Panics>,
}

impl Wake for Panicky {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.inner.wake_by_ref();
        // Only where the library wakes: a runtime is not asked to survive this.
        let is_library_thread = || {
            let thread = std::thread::current();
            thread.name().is_some_and(|name| name.starts_with("turnlock-"))
        };
        if IS_INSIDE.get() || is_library_thread() {
            self.panics.at_times();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panics() -> (tempfile::TempDir, Arc<Panics>) {
        let dir = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(dir.path(), None).unwrap());
        let panics = Panics { seed: 1, count: AtomicU64::new(0), journal };
        (dir, Arc::new(panics))
    }

    #[test]
    fn some_panic_and_each_is_noted() {
        let (dir, panics) = panics();
        let count = (0..2000).filter(|_| caught(|| panics.at_times()).is_none()).count();
        assert!((2..40).contains(&count), "{count}");
        let records = crate::stress::journal::read(dir.path(), None).unwrap();
        assert_eq!(records.len(), count);
    }

    #[test]
    fn a_call_that_panics_is_over_and_others_go_on() {
        let (_dir, panics) = panics();
        let mut context = Context::from_waker(Waker::noop());
        let mut call = panics.inside(async { panic_any(Planned) });
        assert!(matches!(Pin::new(&mut call).poll(&mut context), Poll::Ready(None)));
        let mut call = panics.inside(async { 5 });
        assert_eq!(Pin::new(&mut call).poll(&mut context), Poll::Ready(Some(5)));
    }
}
