//! A future that threads of ours poll. Polls do no file work and run no code of others, so that two
//! threads serve all that wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use crate::keeper::{self, Lane};
use crate::outside;
use crate::threads::Threads;

static POLLS: Threads = Threads::new("turnlock-poll", 2, Duration::from_secs(1));
/// When to try again to start a thread.
const AGAIN: Duration = Duration::from_millis(10);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Work that is under way.
#[derive(Clone)]
pub(crate) struct Driven(Arc<Shared>);

struct Shared(Mutex<State>);

enum State {
    /// It waits to be woken.
    Waiting(Work),
    /// It is to be polled.
    Called(Work),
    Polled {
        /// Whether it was woken meanwhile.
        woken: bool,
    },
    Over,
}

/// Starts this work. It goes on whether or not the result of this is kept.
pub(crate) fn drive(work: impl Future<Output = ()> + Send + 'static) -> Driven {
    let shared = Arc::new(Shared(Mutex::new(State::Called(Box::pin(work)))));
    call(Arc::clone(&shared));
    Driven(shared)
}

impl Driven {
    /// Ends the work where it is. Work that is polled just now ends after that.
    pub(crate) fn cancel(&self) {
        let state = std::mem::replace(&mut *self.0.0.lock(), State::Over);
        // What it owns may be values of others.
        outside::discard(state);
    }
}

/// Has it polled.
fn call(shared: Arc<Shared>) {
    let poll = Arc::clone(&shared);
    if POLLS.run(move || poll.poll()).is_err() {
        keeper::after(AGAIN, Lane::Rest, move || call(shared));
    }
}

impl Shared {
    fn poll(self: Arc<Self>) {
        let called = {
            let mut state = self.0.lock();
            match std::mem::replace(&mut *state, State::Polled { woken: false }) {
                State::Called(work) => work,
                other => {
                    *state = other;
                    return;
                }
            }
        };
        let (mut work, waker) = (called, Waker::from(Arc::clone(&self)));
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            outside::after(|| work.as_mut().poll(&mut Context::from_waker(&waker)))
        }));
        let mut state = self.0.lock();
        let is_pending = matches!(polled, Ok(Poll::Pending));
        let again = match &*state {
            State::Polled { woken } if is_pending => *woken,
            // It is done, or was cancelled meanwhile.
            _ => {
                *state = State::Over;
                drop(state);
                return outside::discard(work);
            }
        };
        *state = if again { State::Called(work) } else { State::Waiting(work) };
        drop(state);
        if again {
            call(self);
        }
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Waiting(work) => {
                *state = State::Called(work);
                drop(state);
                call(self);
            }
            State::Polled { .. } => *state = State::Polled { woken: true },
            other => *state = other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::mpsc::{RecvError, channel};

    use super::*;

    #[test]
    fn work_that_wakes_itself_is_polled_again_until_it_is_done() {
        let (sender, done) = channel();
        let mut left = 1000;
        let _driven = drive(async move {
            poll_fn(|context| {
                left -= 1;
                context.waker().wake_by_ref();
                if left == 0 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            sender.send(()).unwrap();
        });
        done.recv_timeout(Duration::from_secs(30)).unwrap();
    }

    #[test]
    fn what_is_cancelled_or_panics_is_dropped() {
        let (sender, dropped) = channel::<()>();
        let driven = drive(async move {
            let _sender = sender;
            std::future::pending::<()>().await;
        });
        driven.cancel();
        assert_eq!(dropped.recv(), Err(RecvError));
        let (sender, dropped) = channel::<()>();
        let _driven = drive(async move {
            let _sender = sender;
            panic!("on purpose");
        });
        assert_eq!(dropped.recv(), Err(RecvError));
    }
}
