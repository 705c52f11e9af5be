//! Code from outside that runs on our threads: the program's subscriber of `tracing`, its recorder
//! of metrics, and the wakers of its tasks. It may panic, and it may use this library.
//!
//! Therefore it never runs while a mutex, a stage or a lock is held. What is to be told is *noted*
//! where it happens, and told when the scope ends in which it was noted, after everything else in
//! that scope. A panic ends there: the panic hook has reported it.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use tracing::Level;
use tracing::level_filters::LevelFilter;

type Note = Box<dyn FnOnce()>;

/// The notes of one thread.
#[derive(Default)]
struct Notes {
    /// How many scopes are open.
    scopes: usize,
    list: Vec<Note>,
}

thread_local! {
    static NOTES: RefCell<Notes> = RefCell::default();
}

/// Notes an event of `tracing`. The fields between the brackets are values of their own, which
/// outlive what they were taken from.
macro_rules! note {
    ($level:ident, [$($name:ident = $value:expr),* $(,)?], $($event:tt)+) => {
        if $crate::outside::is_wanted(::tracing::Level::$level) {
            $(let $name = $value;)*
            $crate::outside::tell(move || ::tracing::event!(::tracing::Level::$level, $($event)+));
        }
    };
}
pub(crate) use note;

/// Whether anybody wants to know of events of this level. Asks nobody.
pub(crate) fn is_wanted(level: Level) -> bool {
    level <= LevelFilter::current()
}

/// Tells something when the outermost scope of this thread ends; at once if there is none.
pub(crate) fn tell(note: impl FnOnce() + 'static) {
    let mut note = Some(note);
    // Where the thread is about to end, its notes may be gone.
    let _ = NOTES.try_with(|notes| {
        let mut notes = notes.borrow_mut();
        if notes.scopes > 0
            && let Some(note) = note.take()
        {
            notes.list.push(Box::new(note));
        }
    });
    if let Some(note) = note {
        run(note);
    }
}

/// Does this work, and then tells what was noted meanwhile.
pub(crate) fn after<T>(work: impl FnOnce() -> T) -> T {
    let _scope = scope();
    work()
}

/// A scope that ends when it is dropped. It is to be the first local variable, and so the last to
/// be dropped.
pub(crate) fn scope() -> Scope {
    let is_open = NOTES.try_with(|notes| notes.borrow_mut().scopes += 1).is_ok();
    Scope { is_open }
}

/// See [`scope`].
#[must_use = "a scope that is dropped at once is of no use"]
pub(crate) struct Scope {
    is_open: bool,
}

impl Drop for Scope {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let told = NOTES.try_with(|notes| {
            let mut notes = notes.borrow_mut();
            notes.scopes -= 1;
            if notes.scopes == 0 { std::mem::take(&mut notes.list) } else { Vec::new() }
        });
        told.unwrap_or_default().into_iter().for_each(run);
    }
}

/// Wakes a task, if there is a waker.
pub(crate) fn wake(waker: impl Into<Option<Waker>>) {
    if let Some(waker) = waker.into() {
        run(|| waker.wake());
    }
}

/// Drops a value that may contain values of others.
pub(crate) fn discard<T>(value: T) {
    run(move || drop(value));
}

/// Runs code from outside. A panic ends here.
pub(crate) fn run(code: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(code));
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn what_is_noted_is_told_in_order_when_the_outermost_scope_ends() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let note = |n: u32| {
            let told = Rc::clone(&told);
            tell(move || told.borrow_mut().push(n));
        };
        note(1);
        assert_eq!(*told.borrow(), [1]);
        after(|| {
            note(2);
            after(|| note(3));
            tell(|| panic!("on purpose"));
            note(4);
            assert_eq!(*told.borrow(), [1]);
        });
        assert_eq!(*told.borrow(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_scope_ends_with_a_panic_too() {
        let told = Rc::new(RefCell::new(0));
        let noted = Rc::clone(&told);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            after(|| {
                tell(move || *noted.borrow_mut() += 1);
                panic!("on purpose");
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(*told.borrow(), 1);
        after(|| {});
    }
}
