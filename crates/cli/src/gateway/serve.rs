//! A gateway that serves only its own health and metrics.

mod clients;
mod hosts;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval};
use turnlock::gateway::{Gateway, Layout};
use turnlock::{LockState, LostCause, Sessions};

use super::signals::Signals;
use crate::failure::Failure;
use crate::output;
use clients::Clients;
pub(super) use hosts::Hosts;

/// The pause between two looks at the locks, which may have been removed.
const WATCH: Duration = Duration::from_millis(250);
/// A client that sends its request more slowly is disconnected.
const SLOWEST_REQUEST: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes. hyper allows no less.
const LONGEST_HEAD: usize = 8192;
/// The most header fields of a request.
const MOST_HEADERS: usize = 64;

/// The facts that this gateway serves.
struct Facts {
    began: Instant,
    layout: Layout,
    metrics: PrometheusHandle,
    hosts: Hosts,
}

/// Serves until it is told to end, or a lock is lost. The socket closes on return.
pub(super) async fn serve(
    listener: TcpListener,
    gateway: &Arc<Gateway>,
    mut signals: Signals,
    hosts: Hosts,
) -> Result<ExitCode, Failure> {
    let facts = Arc::new(Facts::of(gateway, hosts)?);
    let mut clients = Clients::new();
    let mut guard = Guard::new();
    loop {
        tokio::select! {
            _ = signals.end_alone() => return Ok(ExitCode::SUCCESS),
            looked = guard.look(gateway) => looked?,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    clients.add(answer(TokioIo::new(stream), Arc::clone(&facts))).await;
                }
                // A client that left; or there are no descriptors, and the oldest makes room.
                Err(_) if clients.drop_oldest().await => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
}

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

async fn answer(stream: TokioIo<tokio::net::TcpStream>, facts: Arc<Facts>) {
    let service =
        service_fn(move |request: Request<Incoming>| {
            let facts = Arc::clone(&facts);
            async move {
                if !facts.hosts.admit(&request) {
                    let told = "this host is not served; see --allow-host\n".to_owned();
                    return Ok(with(StatusCode::MISDIRECTED_REQUEST, TEXT, told));
                }
                // The facts are read from the disk.
                let path = request.uri().path().to_owned();
                let readable = matches!(*request.method(), Method::GET | Method::HEAD);
                let response =
                    tokio::task::spawn_blocking(move || respond(&path, readable, &facts)).await;
                Ok::<_, Infallible>(response.unwrap_or_else(|e| {
                    with(StatusCode::INTERNAL_SERVER_ERROR, TEXT, e.to_string())
                }))
            }
        });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SLOWEST_REQUEST)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .keep_alive(false)
        .serve_connection(stream, service);
    // A client that left, or sent no request, is no failure.
    let _ = connection.await;
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// The Prometheus text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

fn respond(path: &str, readable: bool, facts: &Facts) -> Response<String> {
    match path {
        "/healthz" | "/metrics" if !readable => {
            with(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n".into())
        }
        "/healthz" => with(StatusCode::OK, JSON, healthz(facts)),
        "/metrics" => with(StatusCode::OK, METRICS, metrics_text(facts)),
        _ => with(StatusCode::NOT_FOUND, TEXT, "/healthz or /metrics\n".into()),
    }
}

fn with(status: StatusCode, kind: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn healthz(facts: &Facts) -> String {
    let body = json!({
        "ok": true,
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "uptimeSeconds": facts.began.elapsed().as_secs(),
        "stateDir": facts.layout.state_dir().display().to_string(),
        "heldSessions": facts.count(&[LockState::Held, LockState::Foreign]),
    });
    format!("{body}\n")
}

/// The counters of this process, and the session locks that exist now, of whatever process.
fn metrics_text(facts: &Facts) -> String {
    metrics::describe_gauge!(
        "turnlock_session_locks",
        "Session locks of the state directory, by state."
    );
    for (name, state) in
        [("held", LockState::Held), ("foreign", LockState::Foreign), ("stale", LockState::Stale)]
    {
        metrics::gauge!("turnlock_session_locks", "state" => name)
            .set(facts.count(&[state]) as f64);
    }
    facts.metrics.render()
}

impl Facts {
    fn of(gateway: &Gateway, hosts: Hosts) -> Result<Self, Failure> {
        let metrics =
            PrometheusBuilder::new().install_recorder().map_err(|e| Failure::new(e.to_string()))?;
        let layout = gateway.layout().clone();
        Ok(Self { began: Instant::now(), layout, metrics, hosts })
    }

    fn count(&self, states: &[LockState]) -> usize {
        let sessions = Sessions::new();
        let dirs = self.layout.session_dirs();
        let locks = dirs.iter().filter_map(|dir| sessions.status(dir).ok()).flatten();
        locks.filter(|lock| states.contains(&lock.state)).count()
    }
}
