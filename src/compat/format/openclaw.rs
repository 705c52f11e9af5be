//! OpenClaw, its forks, and pi. The first record is the header
//! `{"type":"session","version":3,"id","timestamp","cwd"}`. Of a file that begins with any other,
//! they read nothing. From version 2 on, every other record has an `id`, and a `parentId` that
//! names an earlier one.

use super::members::Outline;
use super::{Format, Rebuilt, Remains, time_of, uuid_in};

const KINDS: [&str; 10] = [
    "message",
    "custom_message",
    "custom",
    "model_change",
    "thinking_level_change",
    "compaction",
    "branch_summary",
    "label",
    "session_info",
    "leaf",
];

pub(super) fn is_record(outline: &Outline<'_>) -> bool {
    let of_openclaw = outline.kind().is_some_and(|kind| KINDS.contains(&kind));
    of_openclaw && outline.has("id") && outline.has("parentId")
}

pub(super) fn is_header(outline: &Outline<'_>) -> bool {
    outline.is("type", "session") && outline.text("id").is_some_and(|id| !id.is_empty())
}

pub(super) fn rebuild(remains: &Remains<'_>) -> Result<Rebuilt, &'static str> {
    let fragment = of_header(remains.fragment);
    let mut line = vec![(&b"type"[..], &b"\"session\""[..])];
    let mut invented = Vec::new();

    let version = fragment.get("version").filter(|version| version.iter().all(u8::is_ascii_digit));
    if let Some(version) = version {
        line.push((b"version", version));
    } else if has_ids(remains.records) {
        line.push((b"version", b"3"));
        invented.push("version 3, as its records have ids".to_owned());
    }

    let from_name = || uuid_in(remains.name).unwrap_or(remains.name);
    let id = fragment.text("id").filter(|id| !id.is_empty()).or_else(|| {
        let id = from_name();
        is_id(id).then(|| {
            invented.push(format!("the id {id} from the name of the file"));
            id.to_owned()
        })
    });
    let id = quoted(&id.ok_or("an id, which the name of the file does not tell either")?);
    line.push((b"id", id.as_bytes()));

    let time = fragment.text("timestamp").unwrap_or_else(|| match time_of(remains.records) {
        Some(time) => {
            invented.push("the timestamp of the first record".to_owned());
            time
        }
        None => {
            invented.push("the time of this repair as timestamp".to_owned());
            remains.now.to_owned()
        }
    });
    let time = quoted(&time);
    line.push((b"timestamp", time.as_bytes()));

    if fragment.text("cwd").is_none() {
        invented.push("no cwd".to_owned());
    }
    let known = ["type", "version", "id", "timestamp"];
    let more = fragment.members().iter().filter(|(key, value)| {
        !known.iter().any(|known| known.as_bytes() == *key) && is_value(value)
    });
    line.extend(more);
    Ok(Rebuilt { line: object(&line), invented })
}

/// Whether this is a part of a header.
pub(super) fn is_of_header(fragment: &[u8]) -> bool {
    !of_header(fragment).is_empty()
}

/// What the part of a header tells, if it is one.
fn of_header(fragment: &[u8]) -> Outline<'_> {
    let outline = Outline::of(fragment);
    if outline.kind() == Some("session") {
        return outline;
    }
    // Its beginning may be lost. A record has a parent.
    let rest = Outline::of_rest(fragment);
    let is_of_header = rest.text("cwd").is_some() && !rest.has("parentId");
    if is_of_header && outline.kind().is_none() { rest } else { Outline::default() }
}

/// Whether the records have ids, as from version 2 on.
fn has_ids(records: &[Vec<u8>]) -> bool {
    records.iter().any(|record| is_record(&Outline::of(record)))
}

/// Whether a name can be the id of a session.
fn is_id(name: &str) -> bool {
    let is_of_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(is_of_id)
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether this is a value of the header, and not a record that was glued to it where it was cut.
pub(super) fn is_value(bytes: &[u8]) -> bool {
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    is_json && Format::of_record(bytes).is_none()
}

/// An object with these members.
pub(super) fn object(members: &[(&[u8], &[u8])]) -> String {
    let member = |(key, value): &(&[u8], &[u8])| {
        format!("\"{}\":{}", String::from_utf8_lossy(key), String::from_utf8_lossy(value))
    };
    format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
}
