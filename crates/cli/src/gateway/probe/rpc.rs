//! The RPC of OpenClaw's gateways, over a WebSocket: as much of it as a probe needs.
//!
//! The gateway speaks first, with a challenge. The client answers with a `connect`, and may then
//! ask for `health`. Without a token that it accepts, the gateway refuses the `connect`.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::CloseFrame;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{HandshakeError, Message, WebSocket};

use super::target::Target;

/// The versions of the protocol in which these requests are the same.
const PROTOCOLS: (u32, u32) = (3, 4);
/// The close code of a gateway that does not let the client in.
const POLICY: u16 = 1008;
/// Words of the errors that say so.
const NOT_AUTHORISED: [&str; 7] =
    ["unauthor", "not authorized", "token", "password", "device", "pairing", "forbidden"];

/// What the RPC answered.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "reason")]
pub(super) enum Rpc {
    /// It let this client in, and answered `health`.
    Ok,
    /// It does not let this client in, for this reason.
    NotAuthorised(String),
    /// It refused, for this reason.
    Refused(String),
    /// It speaks another protocol, as this shows.
    Foreign(String),
    /// It did not answer in time.
    NoAnswer,
    /// It was not asked: there is no WebSocket.
    NotAsked,
}

impl fmt::Display for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("it answers"),
            Self::NotAuthorised(reason) => write!(f, "not authorised ({reason})"),
            Self::Refused(reason) => write!(f, "refused ({reason})"),
            Self::Foreign(reason) => write!(f, "another protocol ({reason})"),
            Self::NoAnswer => f.write_str("no answer in time"),
            Self::NotAsked => f.write_str("not asked"),
        }
    }
}

type Socket = WebSocket<MaybeTlsStream<TcpStream>>;

/// Upgrades to a WebSocket and asks. The error says why there is no WebSocket.
pub(super) fn ask(target: &Target, stream: TcpStream, until: Instant) -> Result<Rpc, String> {
    // The timeouts are those of the socket, which the WebSocket shares.
    let timed = stream.try_clone().map_err(|e| e.to_string())?;
    limit(&timed, until).map_err(|e| e.to_string())?;
    let request = target.url.to_string().into_client_request().map_err(|e| e.to_string())?;
    let socket = match tungstenite::client_tls(request, stream) {
        Ok((socket, _)) => socket,
        Err(HandshakeError::Interrupted(_)) => return Err("no answer in time".into()),
        Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
            return Err(format!("HTTP {}", answer.status().as_u16()));
        }
        Err(HandshakeError::Failure(error)) => return Err(error.to_string()),
    };
    let mut client = Client { socket, timed, until, target };
    Ok(client.converse().unwrap_or_else(|refusal| refusal))
}

/// Lets reads and writes end at this moment.
fn limit(stream: &TcpStream, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))
}

struct Client<'a> {
    socket: Socket,
    timed: TcpStream,
    until: Instant,
    target: &'a Target,
}

impl Client<'_> {
    fn converse(&mut self) -> Result<Rpc, Rpc> {
        let first = self.next()?;
        if first["event"] != "connect.challenge" {
            return Err(Rpc::Foreign("it does not begin with a challenge".into()));
        }
        let mut connect = json!({
            "minProtocol": PROTOCOLS.0,
            "maxProtocol": PROTOCOLS.1,
            "client": {
                "id": "gateway-client",
                "version": env!("CARGO_PKG_VERSION"),
                "platform": std::env::consts::OS,
                "mode": "backend",
            },
            "role": "operator",
            "scopes": ["operator.read"],
        });
        if let Some(token) = &self.target.token {
            connect["auth"] = json!({ "token": token });
        }
        self.call("connect", connect)?;
        self.call("health", json!({}))?;
        // Whoever closes politely is not logged as lost.
        let _ = self.socket.close(None);
        Ok(Rpc::Ok)
    }

    /// Calls a method, and waits for its result.
    fn call(&mut self, method: &str, params: Value) -> Result<(), Rpc> {
        let request = json!({"type": "req", "id": method, "method": method, "params": params});
        limit(&self.timed, self.until).map_err(|e| failed(&e.into()))?;
        self.socket.send(Message::text(request.to_string())).map_err(|e| failed(&e))?;
        loop {
            let frame = self.next()?;
            if frame["type"] != "res" || frame["id"] != method {
                continue;
            }
            return match frame["ok"] == true {
                true => Ok(()),
                false => Err(self.refusal(&frame["error"])),
            };
        }
    }

    /// The next frame with text.
    fn next(&mut self) -> Result<Value, Rpc> {
        loop {
            if Instant::now() >= self.until {
                return Err(Rpc::NoAnswer);
            }
            limit(&self.timed, self.until).map_err(|e| failed(&e.into()))?;
            match self.socket.read().map_err(|e| failed(&e))? {
                Message::Text(text) => {
                    return serde_json::from_str(&text)
                        .map_err(|_| Rpc::Foreign("its frames are not JSON".into()));
                }
                Message::Close(frame) => return Err(self.closed(frame)),
                _ => {}
            }
        }
    }

    fn refusal(&self, error: &Value) -> Rpc {
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        let reason = match (text("code"), text("message")) {
            ("", "") => "without a reason".to_owned(),
            (code, "") | ("", code) => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        self.judged(reason, false)
    }

    fn closed(&self, frame: Option<CloseFrame>) -> Rpc {
        let Some(frame) = frame else { return Rpc::Refused("it closed the connection".into()) };
        let code = u16::from(frame.code);
        self.judged(format!("closed with {code}: {}", frame.reason), code == POLICY)
    }

    fn judged(&self, reason: String, is_policy: bool) -> Rpc {
        let lower = reason.to_lowercase();
        if !is_policy && !NOT_AUTHORISED.iter().any(|word| lower.contains(word)) {
            return Rpc::Refused(reason);
        }
        Rpc::NotAuthorised(match self.target.token {
            Some(_) => reason,
            None => format!("no token was given; {reason}"),
        })
    }
}

fn failed(error: &tungstenite::Error) -> Rpc {
    match error {
        tungstenite::Error::Io(e)
            if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
        {
            Rpc::NoAnswer
        }
        other => Rpc::Refused(other.to_string()),
    }
}
