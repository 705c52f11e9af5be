//! Watches the locks of a gateway that runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval};
use turnlock::LostCause;
use turnlock::gateway::Gateway;

use crate::failure::Failure;
use crate::output;

/// The pause between two looks at the locks, which may have been removed.
const WATCH: Duration = Duration::from_millis(250);

/// Ends a gateway that has lost a lock, because another gateway may run by now.
pub(super) struct Guard {
    ticks: Interval,
    /// Whether the last look failed. That was reported then.
    blind: bool,
    /// A look that is under way, perhaps on a dead mount.
    looking: Option<JoinHandle<turnlock::gateway::Result<Option<LostCause>>>>,
}

impl Guard {
    pub(super) fn new() -> Self {
        let mut ticks = interval(WATCH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, blind: false, looking: None }
    }

    /// Waits, then looks at the locks. A lock that cannot be looked at does not count as lost.
    /// Cancel safe.
    pub(super) async fn look(&mut self, gateway: &Arc<Gateway>) -> Result<(), Failure> {
        let looking = match &mut self.looking {
            Some(looking) => looking,
            None => {
                self.ticks.tick().await;
                let gateway = Arc::clone(gateway);
                self.looking.insert(spawn_blocking(move || gateway.lost()))
            }
        };
        let looked = looking.await;
        self.looking = None;
        let looked = looked.map_err(|e| Failure::new(format!("cannot look at the locks: {e}")))?;
        let blind = looked.is_err();
        match looked {
            Ok(None) => {}
            Ok(Some(cause)) => {
                return Err(Failure::new(format!("the gateway's lock is lost: {cause}; ending")));
            }
            Err(error) if !self.blind => {
                output::tell(&format!(
                    "cannot see whether the gateway's locks are still its own: {error}"
                ));
            }
            Err(_) => {}
        }
        self.blind = blind;
        Ok(())
    }
}
