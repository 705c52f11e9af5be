//! What is served, and how a request is answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use super::Hosts;
use crate::failure::Failure;
use crate::gateway::metrics::{Metrics, Watched};

/// A client that sends its request more slowly is disconnected.
const SLOWEST_REQUEST: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes. hyper allows no less.
const LONGEST_HEAD: usize = 8192;
/// The most header fields of a request.
const MOST_HEADERS: usize = 64;

/// The facts that are served.
pub(in crate::gateway) struct Site {
    began: Instant,
    metrics: Metrics,
    watched: Watched,
    hosts: Hosts,
}

impl Site {
    /// Must be made once in a process, which has one recorder of metrics.
    pub(in crate::gateway) fn new(watched: Watched, hosts: Hosts) -> Result<Arc<Self>, Failure> {
        let (began, metrics) = (Instant::now(), Metrics::install()?);
        Ok(Arc::new(Self { began, metrics, watched, hosts }))
    }

    fn healthz(&self) -> String {
        let mut facts = Map::new();
        facts.insert("ok".into(), true.into());
        facts.insert("pid".into(), std::process::id().into());
        facts.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        facts.insert("uptimeSeconds".into(), self.began.elapsed().as_secs().into());
        if let Watched::Own(own) = &self.watched {
            facts.insert("stateDir".into(), json!(own.layout.state_dir().display().to_string()));
            facts.insert("configPath".into(), json!(own.layout.config().display().to_string()));
            facts.insert("heldSessions".into(), own.held_sessions().into());
        }
        format!("{}\n", Value::Object(facts))
    }
}

/// Answers one client.
pub(super) async fn answer(stream: TokioIo<tokio::net::TcpStream>, site: Arc<Site>) {
    let service =
        service_fn(move |request: Request<Incoming>| {
            let site = Arc::clone(&site);
            async move {
                if !site.hosts.admit(&request) {
                    let told = "this host is not served; see --allow-host\n".to_owned();
                    return Ok(with(StatusCode::MISDIRECTED_REQUEST, TEXT, told));
                }
                // The facts are read from the disk.
                let path = request.uri().path().to_owned();
                let readable = matches!(*request.method(), Method::GET | Method::HEAD);
                let response = spawn_blocking(move || respond(&path, readable, &site)).await;
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

fn respond(path: &str, readable: bool, site: &Site) -> Response<String> {
    match path {
        "/healthz" | "/metrics" if !readable => {
            with(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n".into())
        }
        "/healthz" => with(StatusCode::OK, JSON, site.healthz()),
        "/metrics" => {
            let text = site.metrics.text(&site.watched, site.began.elapsed());
            with(StatusCode::OK, METRICS, text)
        }
        _ => with(StatusCode::NOT_FOUND, TEXT, "/healthz or /metrics\n".into()),
    }
}

fn with(status: StatusCode, kind: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
