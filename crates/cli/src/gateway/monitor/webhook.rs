//! The URL of `--webhook`, to which changes are posted.

use std::time::Duration;

use tokio::task::spawn_blocking;
use ureq::Agent;
use ureq::http::Uri;

use crate::output;

/// How long one try may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The pauses between the tries.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
];

/// Parses the URL.
pub(super) fn url(text: &str) -> Result<String, String> {
    let uri: Uri = text.parse().map_err(|e| format!("{e}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(_)) => Ok(text.to_owned()),
        _ => Err("it must begin with http:// or https://".to_owned()),
    }
}

/// Posts a change. Only `--once` waits for that, and tries once: a receiver that hangs must not
/// blind the monitor.
pub(super) async fn post(url: &str, change: String, waits: bool) {
    let (url, pauses) = (url.to_owned(), if waits { &[][..] } else { &PAUSES });
    let posted = tokio::spawn(keep_posting(url, change, pauses));
    if waits {
        let _ = posted.await;
    }
}

async fn keep_posting(url: String, change: String, pauses: &'static [Duration]) {
    let mut pauses = pauses.iter();
    loop {
        let (to, body) = (url.clone(), change.clone());
        let posted = spawn_blocking(move || try_to_post(&to, &body)).await;
        let failed = match posted {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        match pauses.next() {
            Some(pause) => tokio::time::sleep(*pause).await,
            // The URL may contain a secret.
            None => return output::tell(&format!("cannot post to the URL of --webhook: {failed}")),
        }
    }
}

fn try_to_post(url: &str, body: &str) -> Result<(), ureq::Error> {
    let agent: Agent = Agent::config_builder().timeout_global(Some(LIMIT)).build().into();
    agent.post(url).content_type("application/json").send(body).map(drop)
}
