//! `gateway probe`: four facts, told apart.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};
use turnlock_testing::{Ended, ended};

use crate::rig::*;
use crate::schema::document;

/// How a gateway of the tests behaves. It speaks as OpenClaw's do.
#[derive(Clone, Copy)]
struct Behaviour {
    token: Option<&'static str>,
    health: &'static str,
    /// What it does after the upgrade.
    after: After,
}

#[derive(Clone, Copy, PartialEq)]
enum After {
    Speaks,
    SaysNothing,
    SaysSomethingElse,
    ClosesAsOfAnotherProtocol,
    FailsAtHealth,
}

const WELL: Behaviour = Behaviour { token: None, health: r#"{"ok":true}"#, after: After::Speaks };

/// Starts one, which lasts as long as the test.
fn start(behaviour: Behaviour) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, behaviour));
        }
    });
    address
}

fn answer(stream: TcpStream, behaviour: Behaviour) {
    let mut head = [0; 2048];
    let mut length = 0;
    while !head[..length].windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        length = match stream.peek(&mut head) {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
    }
    let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
    if head.contains("upgrade: websocket") {
        if let Ok(socket) = tungstenite::accept(stream) {
            converse(socket, behaviour);
        }
    } else {
        let _ = respond(stream, "200 OK", behaviour.health);
    }
}

fn converse(mut socket: WebSocket<TcpStream>, behaviour: Behaviour) {
    let challenge = json!({"type": "event", "event": "connect.challenge",
        "payload": {"nonce": "n", "ts": 1}});
    match behaviour.after {
        After::SaysNothing => {
            let _ = socket.read();
            return;
        }
        After::SaysSomethingElse => {
            let _ = socket.send(Message::text("{\"hello\":1}"));
            return;
        }
        _ => socket.send(Message::text(challenge.to_string())).unwrap(),
    }
    while let Ok(Message::Text(text)) = socket.read() {
        let request: Value = serde_json::from_str(&text).unwrap();
        let mut result = json!({"type": "res", "id": request["id"], "ok": true, "payload": {}});
        let error = match request["method"].as_str().unwrap() {
            "connect" if behaviour.after == After::ClosesAsOfAnotherProtocol => {
                let reason = "protocol mismatch, expectedProtocol 9".into();
                let _ = socket.close(Some(CloseFrame { code: CloseCode::Protocol, reason }));
                let _ = socket.read();
                let _ = socket.get_ref().shutdown(Shutdown::Both);
                return;
            }
            "connect" if request["params"]["auth"]["token"].as_str() != behaviour.token => {
                Some(json!({"code": "INVALID_REQUEST", "message": "unauthorized: token mismatch"}))
            }
            "health" if behaviour.after == After::FailsAtHealth => {
                Some(json!({"code": "UNAVAILABLE", "message": "still starting"}))
            }
            _ => None,
        };
        if let Some(error) = error {
            result["ok"] = false.into();
            result["error"] = error;
        }
        // Events come in between.
        socket.send(Message::text(json!({"type": "event", "event": "tick"}).to_string())).unwrap();
        socket.send(Message::text(result.to_string())).unwrap();
    }
}

/// What a probe of this address tells, and its exit code.
fn probe(address: SocketAddr, more: &[&str]) -> (Value, Option<i32>, Ended) {
    let url = format!("ws://{address}");
    let probe =
        ended(gateway(&["probe", "--json", "--timeout", "500ms", "--url", &url]).args(more));
    let told = document(&probe.out, "turnlock.gateway.probe/1");
    (told["gateways"][0].clone(), probe.code, probe)
}

#[test]
fn four_facts_are_four() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let web = plain.local_addr().unwrap();
    serve(plain, "200 OK", r#"{"ok":true}"#);
    let after = |after| start(Behaviour { after, ..WELL });
    let ill = start(Behaviour { health: r#"{"ok":false}"#, ..WELL });
    for (address, listens, upgrades, health, rpc, condition, codes) in [
        (start(WELL), true, true, "healthy", "ok", "healthy", [0, 0]),
        (nobody, false, false, "refused", "not-asked", "gone", [1, 1]),
        (silent.local_addr().unwrap(), true, false, "silent", "not-asked", "locked-up", [1, 1]),
        (web, true, false, "healthy", "not-asked", "healthy", [0, 1]),
        (ill, true, true, "unhealthy", "ok", "degraded", [1, 0]),
        (after(After::SaysNothing), true, true, "healthy", "no-answer", "degraded", [1, 1]),
        (after(After::SaysSomethingElse), true, true, "healthy", "foreign", "degraded", [1, 1]),
        (
            after(After::ClosesAsOfAnotherProtocol),
            true,
            true,
            "healthy",
            "refused",
            "degraded",
            [1, 1],
        ),
        (after(After::FailsAtHealth), true, true, "healthy", "refused", "degraded", [1, 1]),
    ] {
        let (told, code, probed) = probe(address, &[]);
        assert_eq!((&told["listens"], &told["upgrades"]), (&listens.into(), &upgrades.into()));
        assert_eq!(
            (&told["health"]["state"], &told["rpc"]["state"]),
            (&health.into(), &rpc.into())
        );
        assert_eq!(told["condition"], condition, "{probed:?}");
        assert_eq!(code, Some(codes[0]), "{probed:?}");
        let (_, code, probed) = probe(address, &["--require-rpc"]);
        assert_eq!(code, Some(codes[1]), "{probed:?}");
    }
}

#[test]
fn a_refused_token_is_no_death() {
    let address = start(Behaviour { token: Some("hunter2"), ..WELL });
    for (more, state, code) in [
        (&["--token", "hunter2"][..], "ok", 0),
        (&["--token", "hunter2", "--require-rpc"], "ok", 0),
        (&["--token", "wrong"], "not-authorised", 0),
        (&[], "not-authorised", 0),
        (&["--require-rpc"], "not-authorised", 1),
    ] {
        let (told, exit, probed) = probe(address, more);
        assert_eq!((&told["rpc"]["state"], exit), (&state.into(), Some(code)), "{probed:?}");
    }
    let url = format!("ws://{address}");
    let told = ended(gateway(&["probe", "--url", &url]));
    for words in
        ["is degraded: not authorised: no token was given", "listens    yes", "WebSocket  yes"]
    {
        assert!(told.out.contains(words), "{words}: {told:?}");
    }
}

/// The token and the remote gateway are those of the config, which is JSON5.
#[test]
fn the_local_gateway_is_probed_and_the_remote_one_beside_it() {
    let home = home();
    let local = start(Behaviour { token: Some("here"), ..WELL });
    let remote = start(Behaviour { token: Some("there"), ..WELL });
    let config = format!(
        "{{ gateway: {{ port: {}, auth: {{ token: 'here' }}, // ours\n\
         remote: {{ url: 'ws://localhost:{}', token: 'there' }} }} }}",
        local.port(),
        remote.port()
    );
    std::fs::write(home.state.join("openclaw.json"), config).unwrap();
    let probed = home.ask("probe", &["--json", "--require-rpc"]);
    assert_eq!(probed.code, Some(0), "{probed:?}");
    let told = document(&probed.out, "turnlock.gateway.probe/1");
    let facts =
        |n: usize| (told["gateways"][n]["target"].clone(), told["gateways"][n]["rpc"].clone());
    assert_eq!(facts(0), ("local".into(), json!({"state": "ok"})), "{probed:?}");
    assert_eq!(facts(1), ("remote".into(), json!({"state": "ok"})), "{probed:?}");
    // A reference to a secret is no token, and a URL of another kind is told.
    let config = "{ gateway: { auth: { token: '${TOKEN}' }, remote: { url: 'http://x' } } }";
    std::fs::write(home.state.join("openclaw.json"), config).unwrap();
    let refused = home.ask("probe", &[]);
    assert!(
        refused.code == Some(1) && refused.err.contains("must begin with ws://"),
        "{refused:?}"
    );
}

#[test]
fn turnlock_s_own_gateway_is_healthy_and_has_no_rpc() {
    let home = home();
    let _running = ready(home.run(&[]));
    let probed = home.ask("probe", &[]);
    assert_eq!(probed.code, Some(0), "{probed:?}");
    assert!(
        probed.out.contains("is healthy") && probed.out.contains("no (HTTP 404)"),
        "{probed:?}"
    );
    assert_eq!(home.ask("probe", &["--require-rpc"]).code, Some(1));
    assert_eq!(ended(gateway(&["probe", "--url", "http://x"])).code, Some(2));
}
