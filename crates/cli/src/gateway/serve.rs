//! The endpoints `/healthz` and `/metrics`, of a gateway or of a monitor.

mod clients;
mod hosts;
mod site;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use turnlock::gateway::Gateway;

use super::guard::Guard;
use super::signals::Signals;
use crate::failure::Failure;
use crate::output;
use clients::Clients;
pub(super) use hosts::Hosts;
pub(super) use site::Site;

/// The pause after a client could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves a gateway until it is told to end, or a lock is lost. The socket closes on return.
pub(super) async fn serve(
    listener: TcpListener,
    gateway: &Arc<Gateway>,
    mut signals: Signals,
    site: Arc<Site>,
) -> Result<ExitCode, Failure> {
    let mut guard = Guard::new();
    let served = keep_serving(listener, site);
    tokio::pin!(served);
    loop {
        tokio::select! {
            _ = signals.end_alone() => return Ok(ExitCode::SUCCESS),
            looked = guard.look(gateway) => looked?,
            () = &mut served => {}
        }
    }
}

/// Serves as long as it is polled.
pub(super) async fn keep_serving(listener: TcpListener, site: Arc<Site>) {
    let mut clients = Clients::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                clients.add(site::answer(TokioIo::new(stream), Arc::clone(&site))).await;
            }
            // A client that left; or there are no descriptors, and the oldest makes room.
            Err(_) if clients.drop_oldest().await => {}
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Serves at an address of its own, for as long as the runtime lives. Says where that is.
pub(super) async fn serve_beside(address: SocketAddr, site: Arc<Site>) -> Result<(), Failure> {
    let failed = |e| Failure::new(format!("cannot serve metrics at {address}: {e}"));
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    output::tell(&format!("metrics at http://{bound}/metrics"));
    tokio::spawn(keep_serving(listener, site));
    Ok(())
}
