//! The connected clients, of whom the oldest makes room for the newest.

use std::collections::VecDeque;

use rustix::process::{Resource, getrlimit};
use tokio::task::JoinHandle;

/// The most clients at a time. An answer takes milliseconds, so whoever is the oldest of so many is
/// slow, or wants to be.
const MOST: usize = 256;

pub(super) struct Clients {
    /// In the order in which they came.
    connected: VecDeque<JoinHandle<()>>,
    most: usize,
}

impl Clients {
    pub(super) fn new() -> Self {
        Self { connected: VecDeque::new(), most: most() }
    }

    /// Serves a client, and disconnects the oldest if there are too many.
    pub(super) async fn add(&mut self, client: impl Future<Output = ()> + Send + 'static) {
        if self.connected.len() >= self.most {
            self.connected.retain(|client| !client.is_finished());
        }
        if self.connected.len() >= self.most {
            self.drop_oldest().await;
        }
        self.connected.push_back(tokio::spawn(client));
    }

    /// Disconnects the oldest client. Returns `false` if there is none. On return its descriptor is
    /// closed.
    pub(super) async fn drop_oldest(&mut self) -> bool {
        while let Some(oldest) = self.connected.pop_front() {
            if oldest.is_finished() {
                continue;
            }
            oldest.abort();
            let _ = oldest.await;
            return true;
        }
        false
    }
}

/// Half of the descriptors at most. An answer needs some to look at the locks, as does the gateway.
fn most() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let half = limit.and_then(|limit| usize::try_from(limit / 2).ok());
    half.map_or(MOST, |half| half.clamp(1, MOST))
}
