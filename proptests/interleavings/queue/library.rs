//! The library's queue, compiled here once more on shuttle's locks. All that must follow when the
//! library's source moves is in this file, and in the names that `door.rs` imports.

// Not played here: alerts, and grants that pass the stage to a thread.
#[allow(dead_code)]
#[path = "../../../src/session/queue.rs"]
pub(crate) mod queue;
#[path = "sync.rs"]
mod sync;

/// What the queue takes from its crate.
pub(crate) mod mode {
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Mode {
        Blocking,
        Async,
    }

    impl Mode {
        /// No time passes here: who waits, waits until it is called.
        pub(crate) async fn wait_until<T>(
            self,
            _deadline: Option<std::time::Instant>,
            wait: impl Future<Output = T>,
        ) -> Option<T> {
            Some(wait.await)
        }
    }
}

pub(crate) mod error {
    pub(crate) type Result<T, E = &'static str> = std::result::Result<T, E>;
}
