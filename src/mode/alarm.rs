//! A wait that ends at a deadline, without a runtime: the keeper rings.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use crate::keeper;
use crate::outside;

/// Waits for something until the deadline. `None` if that passes first.
pub(super) async fn until<T>(deadline: Instant, wait: impl Future<Output = T>) -> Option<T> {
    let mut wait = pin!(wait);
    let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
    let rung = Arc::clone(&waker);
    let _alarm = keeper::alarm(deadline, move || {
        let waker = rung.lock().take();
        outside::wake(waker);
    });
    poll_fn(|context| {
        let old = waker.lock().replace(context.waker().clone());
        drop(old);
        match wait.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if Instant::now() >= deadline => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::super::drive;
    use super::*;

    #[test]
    fn a_wait_ends_at_its_deadline_or_before() {
        let (sender, told) = channel();
        let late = sender.clone();
        let soon = Instant::now() + Duration::from_millis(20);
        let _first = drive(async move {
            let done = until(soon, std::future::pending::<()>()).await;
            late.send((done.is_some(), Instant::now() >= soon)).unwrap();
        });
        assert_eq!(told.recv().unwrap(), (false, true));
        let far = Instant::now() + Duration::from_secs(3600);
        let _second = drive(async move {
            let done = until(far, std::future::ready(())).await;
            sender.send((done.is_some(), Instant::now() >= far)).unwrap();
        });
        assert_eq!(told.recv().unwrap(), (true, false));
    }
}
