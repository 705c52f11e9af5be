//! Codex. Every record has a `timestamp`, a `type` and a `payload`. The first is `session_meta`,
//! with the id of the session, its `cwd`, and the program that wrote it. A file without it cannot
//! be resumed, and is not listed.

use super::members::Outline;
use super::openclaw::{is_value, object, quoted};
use super::{Rebuilt, Remains, time_of, uuid_in};

const KINDS: [&str; 5] =
    ["session_meta", "response_item", "event_msg", "turn_context", "compacted"];

pub(super) fn is_record(outline: &Outline<'_>) -> bool {
    let of_codex = outline.kind().is_some_and(|kind| KINDS.contains(&kind));
    of_codex && (outline.has_object("payload") || outline.cut("payload").is_some())
}

pub(super) fn is_header(outline: &Outline<'_>) -> bool {
    let payload = outline.get("payload").map(Outline::of).unwrap_or_default();
    outline.is("type", "session_meta") && payload.text("id").is_some()
}

pub(super) fn rebuild(remains: &Remains<'_>) -> Result<Rebuilt, &'static str> {
    let (outer, fragment) = of_header(remains.fragment);
    let mut invented = Vec::new();

    let id = fragment.text("id").or_else(|| {
        let id = uuid_in(remains.name)?;
        invented.push(format!("the id {id} from the name of the file"));
        Some(id.to_owned())
    });
    let id = quoted(&id.ok_or("an id, which the name of the file does not tell either")?);

    let time = fragment.text("timestamp").or_else(|| outer.text("timestamp"));
    let time = time.unwrap_or_else(|| {
        invented.push("the timestamp of the first record".to_owned());
        time_of(remains.records).unwrap_or_else(|| remains.now.to_owned())
    });
    let outer_time = quoted(&outer.text("timestamp").unwrap_or_else(|| time.clone()));
    let time = quoted(&time);

    let cwd = fragment.text("cwd").or_else(|| {
        let cwd = remains.records.iter().find_map(|record| cwd_of(record))?;
        invented.push("the cwd of the first turn".to_owned());
        Some(cwd)
    });
    let cwd = quoted(&cwd.ok_or("a cwd, which no record tells either")?);

    let mut payload = vec![
        (&b"id"[..], id.as_bytes()),
        (b"timestamp", time.as_bytes()),
        (b"cwd", cwd.as_bytes()),
    ];
    for (key, value) in [("originator", "\"unknown\""), ("cli_version", "\"0.0.0\"")] {
        if fragment.text(key).is_none() {
            payload.push((key.as_bytes(), value.as_bytes()));
            invented.push(format!("the {key} {value}"));
        }
    }
    let known = ["id", "timestamp", "cwd"];
    let more = fragment.members().iter().filter(|(key, value)| {
        !known.iter().any(|known| known.as_bytes() == *key) && is_value(value)
    });
    payload.extend(more);

    let payload = object(&payload);
    let line = object(&[
        (b"timestamp", outer_time.as_bytes()),
        (b"type", b"\"session_meta\""),
        (b"payload", payload.as_bytes()),
    ]);
    Ok(Rebuilt { line, invented })
}

/// Whether this is a part of a header.
pub(super) fn is_of_header(fragment: &[u8]) -> bool {
    !of_header(fragment).0.is_empty()
}

/// What the part of a header tells, if it is one: around its payload, and in it.
fn of_header(fragment: &[u8]) -> (Outline<'_>, Outline<'_>) {
    let outer = Outline::of(fragment);
    if outer.kind() != Some("session_meta") {
        return Default::default();
    }
    let payload = outer.get("payload").or_else(|| outer.cut("payload"));
    let payload = payload.map(Outline::of).unwrap_or_default();
    (outer, payload)
}

/// The directory of a turn, if this record has one.
fn cwd_of(record: &[u8]) -> Option<String> {
    let outline = Outline::of(record);
    let payload = outline.get("payload").filter(|_| outline.is("type", "turn_context"))?;
    Outline::of(payload).text("cwd")
}
