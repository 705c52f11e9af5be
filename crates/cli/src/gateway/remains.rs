//! What is left of a gateway that was killed, before and while another one starts.

use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use turnlock::gateway::{self, GatewayBuilder, Remains};

use crate::failure::Failure;
use crate::output;

/// The reaper of a gateway that was killed ends what it ran. It may take so long.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a process may take to end after it was asked to. With all that is waited for beside it
/// less than the default timeout of a start.
const GRACE: Duration = Duration::from_secs(2);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// The same while a start waits for a gateway, which may be killed meanwhile.
const WATCH: Duration = Duration::from_secs(1);
/// Another gateway, or what is left of one, is in the way.
const BUSY: u8 = 75;

/// Ends what is left of a gateway that was killed, and says so.
pub(super) async fn end(gateway: &GatewayBuilder) -> Result<(), Failure> {
    let gateway = gateway.clone();
    spawn_blocking(move || end_blocking(&gateway))
        .await
        .map_err(|e| Failure::new(format!("cannot look for what is left of a gateway: {e}")))?
}

/// Does so again and again, and never returns but with a failure. Cancel safe.
pub(super) async fn keep_ending(gateway: &GatewayBuilder) -> Failure {
    loop {
        tokio::time::sleep(WATCH).await;
        if let Err(failure) = end(gateway).await {
            return failure;
        }
    }
}

fn end_blocking(gateway: &GatewayBuilder) -> Result<(), Failure> {
    let Some(left) = lasting(gateway) else { return Ok(()) };
    output::tell(&format!(
        "the gateway with pid {} is gone, but not what it ran, which keeps its locks: {left}; \
         ending it",
        left.gateway
    ));
    match gateway::end_remains(gateway, GRACE)? {
        None => Ok(()),
        Some(left) => Err(Failure::with_code(
            BUSY,
            format!("what a gateway left cannot be ended: {left}; its locks are not free"),
        )),
    }
}

/// What is left, and does not end by itself. What cannot be looked at is met by the start itself.
fn lasting(gateway: &GatewayBuilder) -> Option<Remains> {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = gateway::remains(gateway).ok().flatten()?;
        if Instant::now() >= until {
            return Some(left);
        }
        std::thread::sleep(LOOK);
    }
}
