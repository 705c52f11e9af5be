//! The watch over a turn for a program that wants to know of its loss at once, as during a model
//! call of minutes.
//!
//! The keeper looks at the lock file from time to time, as long as somebody wants to know. That
//! takes no thread per turn.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Inner, Turn};
use crate::error::{Error, LostCause};
use crate::keeper::{self, Lane};
use crate::outside;
use crate::place::Place;

/// How often a turn is looked at. Its loss is noticed within 50 ms, with some time to spare.
const LOOK: Duration = Duration::from_millis(40);
/// The same if each look asks a server.
const LOOK_AT_SERVER: Duration = Duration::from_secs(1);

type Callback = Box<dyn FnOnce(Error) + Send>;

/// Who wants to know of the loss of a turn.
#[derive(Default)]
pub(super) struct Watch(Mutex<State>);

#[derive(Default)]
struct State {
    /// How the turn has ended.
    ended: Option<LostCause>,
    /// The futures that wait, by their numbers, and how to wake the tasks that they are in now.
    waiting: HashMap<u64, Waker>,
    last_number: u64,
    callbacks: Vec<Callback>,
    /// Whether the keeper looks.
    is_on: bool,
}

impl State {
    fn is_wanted(&self) -> bool {
        self.ended.is_none() && !(self.waiting.is_empty() && self.callbacks.is_empty())
    }
}

impl Turn {
    /// Waits until the turn is lost or closed, and returns the error that an append would meet:
    /// [`Error::LockLost`]. For a `select!` beside work that takes minutes.
    ///
    /// ```
    /// # use serde_json::json;
    /// # async fn model() -> serde_json::Value { json!({"type": "message"}) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> turnlock::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a temporary directory");
    /// # let session = turnlock::Sessions::new().session(dir.path().join("4f2c.jsonl"))?;
    /// let turn = session.turn().label("reply").await?;
    /// let reply = tokio::select! {
    ///     reply = model() => reply,
    ///     lost = turn.until_lost() => return Err(lost),
    /// };
    /// turn.append(&reply).await?;
    /// # turn.release().await
    /// # }
    /// ```
    ///
    /// A loss is noticed within 50 ms on a local filesystem, and within about a second on a
    /// server's. The next append checks for itself in any case.
    ///
    /// **Cancel safety**: nothing is lost; call it again. **Blocking**: none. The looks are done on
    /// a thread that all turns of a filesystem share: two quick system calls every 40 ms.
    pub fn until_lost(&self) -> impl Future<Output = Error> + Send + use<> {
        UntilLost { inner: Arc::downgrade(&self.inner), place: self.place().clone(), number: None }
    }

    /// Calls `callback` once the turn is lost, with the error that an append would meet. It is not
    /// called if the turn is released before.
    ///
    /// It runs on a thread of its own, on which one that does not return holds up the others. When
    /// a loss is noticed, [`until_lost`](Self::until_lost) says.
    pub fn on_lost(&self, callback: impl FnOnce(Error) + Send + 'static) {
        let mut state = self.inner.watch.0.lock();
        match state.ended {
            None => state.callbacks.push(Box::new(callback)),
            Some(LostCause::Closed) => {}
            Some(cause) => {
                drop(state);
                return call(Box::new(callback), lost(self.place(), cause));
            }
        }
        self.inner.watch_if_wanted(state);
    }
}

/// See [`Turn::until_lost`].
struct UntilLost {
    inner: Weak<Inner>,
    place: Place,
    /// Its number among those that wait, once it was polled.
    number: Option<u64>,
}

impl Future for UntilLost {
    type Output = Error;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Error> {
        let Some(inner) = self.inner.upgrade() else {
            return Poll::Ready(lost(&self.place, LostCause::Closed));
        };
        // A waker is code of others: it is cloned and dropped while no mutex is held.
        let waker = context.waker().clone();
        let mut state = inner.watch.0.lock();
        if let Some(cause) = state.ended {
            return Poll::Ready(lost(&self.place, cause));
        }
        let number = *self.number.get_or_insert_with(|| {
            state.last_number += 1;
            state.last_number
        });
        let old = state.waiting.insert(number, waker);
        inner.watch_if_wanted(state);
        drop(old);
        Poll::Pending
    }
}

impl Drop for UntilLost {
    fn drop(&mut self) {
        let (Some(inner), Some(number)) = (self.inner.upgrade(), self.number) else { return };
        let waker = inner.watch.0.lock().waiting.remove(&number);
        // The mutex is free.
        drop(waker);
    }
}

impl Watch {
    /// The turn has ended in this way. Whoever wants to know is told, unless that was done before.
    pub(super) fn tell(&self, place: &Place, cause: LostCause) {
        let mut state = self.0.lock();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(cause);
        let waiting = std::mem::take(&mut state.waiting);
        let callbacks = std::mem::take(&mut state.callbacks);
        drop(state);
        waiting.into_values().for_each(outside::wake);
        for callback in callbacks {
            if cause == LostCause::Closed {
                outside::discard(callback);
            } else {
                call(callback, lost(place, cause));
            }
        }
    }
}

impl Inner {
    fn watch_if_wanted(self: &Arc<Self>, mut state: parking_lot::MutexGuard<'_, State>) {
        if state.is_wanted() && !std::mem::replace(&mut state.is_on, true) {
            drop(state);
            look_later(Arc::downgrade(self), self.slot.lane(), self.pause());
        }
    }

    fn pause(&self) -> Duration {
        if self.rules.is_served(self.slot.place.dir()) { LOOK_AT_SERVER } else { LOOK }
    }

    /// How the turn was lost, if it was. What cannot be looked at just now is looked at later.
    fn look(&self) -> Option<LostCause> {
        match &*self.open.try_lock()? {
            Some(open) => open.lock.lost(&self.slot.place).ok().flatten(),
            None => Some(LostCause::Closed),
        }
    }
}

fn look_later(inner: Weak<Inner>, lane: Lane, pause: Duration) {
    keeper::after(pause, lane, move || {
        let Some(inner) = inner.upgrade() else { return };
        if let Some(cause) = inner.look() {
            inner.watch.tell(&inner.slot.place, cause);
        }
        let mut state = inner.watch.0.lock();
        state.is_on = state.is_wanted();
        if state.is_on {
            drop(state);
            look_later(Arc::downgrade(&inner), lane, pause);
        }
    });
}

fn lost(place: &Place, cause: LostCause) -> Error {
    Error::LockLost { lock: place.lock().to_owned(), cause }
}

fn call(callback: Callback, lost: Error) {
    keeper::after(Duration::ZERO, Lane::Callbacks, move || callback(lost));
}
