//! Answers as JSON: one shape everywhere, which `docs/json.md` tells and `docs/schemas` has.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::answer;
use crate::failure::Failure;

/// The name and the version of a document's shape. A shape that loses or changes a key gets the
/// next version.
#[derive(Clone, Copy, Serialize)]
pub(crate) enum Schema {
    #[serde(rename = "turnlock.append/1")]
    Append,
    #[serde(rename = "turnlock.read/1")]
    Read,
    #[serde(rename = "turnlock.status/1")]
    Status,
    #[serde(rename = "turnlock.doctor/1")]
    Doctor,
    #[serde(rename = "turnlock.doctor.undo/1")]
    Undo,
    #[serde(rename = "turnlock.revoke/1")]
    Revoke,
    #[serde(rename = "turnlock.gateway.status/1")]
    GatewayStatus,
    #[serde(rename = "turnlock.gateway.probe/1")]
    GatewayProbe,
    #[serde(rename = "turnlock.gateway.doctor/1")]
    GatewayDoctor,
    #[serde(rename = "turnlock.gateway.isolation/1")]
    GatewayIsolation,
    #[serde(rename = "turnlock.gateway.monitor/1")]
    GatewayMonitor,
    #[serde(rename = "turnlock.stress/1")]
    Stress,
    #[serde(rename = "turnlock.error/1")]
    Error,
}

#[derive(Serialize)]
struct Document<'a, T: ?Sized> {
    schema: Schema,
    #[serde(flatten)]
    answer: &'a T,
}

/// Writes an answer as one line of JSON.
pub(crate) fn answer_json<T: Serialize + ?Sized>(schema: Schema, value: &T) -> Result<(), Failure> {
    answer(&json(schema, value)?)
}

/// An answer as one line of JSON.
pub(crate) fn json<T: Serialize + ?Sized>(schema: Schema, value: &T) -> Result<String, Failure> {
    let json = serde_json::to_string(&Document { schema, answer: value })
        .map_err(|e| Failure::new(format!("cannot write the answer: {e}")))?;
    Ok(safe(&json) + "\n")
}

/// JSON may contain DEL, the control characters above 127 and those that change the direction of
/// the text unescaped. A terminal obeys them.
fn safe(json: &str) -> String {
    super::escaped(json, |c| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    })
}

/// Whether this process was asked for JSON.
static ASKED: AtomicBool = AtomicBool::new(false);

/// From here on failures are told as JSON too.
pub(crate) fn asked_for_json() {
    ASKED.store(true, Ordering::Relaxed);
}

/// Whether failures are told as JSON too.
pub(crate) fn is_json_asked_for() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// The entries of a path: as text, and if that is not exact, in Base64 too.
fn path<S: Serializer>(
    key: &str,
    exact: &str,
    path: &Path,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry(key, &path.to_string_lossy())?;
    if path.to_str().is_none() {
        map.serialize_entry(exact, &STANDARD.encode(path.as_os_str().as_bytes()))?;
    }
    map.end()
}

/// The same for a path that may be unknown.
pub(crate) fn path_if_any<S: Serializer>(
    at: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => plain_path(at, serializer),
        None => serializer.serialize_map(Some(0))?.end(),
    }
}

/// For fields with `#[serde(flatten, serialize_with = "…")]`.
macro_rules! paths {
    ($($name:ident: $key:literal, $exact:literal;)*) => {$(
        pub(crate) fn $name<S: Serializer>(
            at: &(impl AsRef<Path> + ?Sized),
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            path($key, $exact, at.as_ref(), serializer)
        }
    )*};
}

paths! {
    session_path: "session", "sessionBase64";
    state_dir_path: "stateDir", "stateDirBase64";
    plain_path: "path", "pathBase64";
    first_path: "a", "aBase64";
    second_path: "b", "bBase64";
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn characters_that_a_terminal_obeys_are_escaped_and_mean_the_same() {
        #[derive(Serialize)]
        struct Text {
            text: String,
        }
        for c in "\u{200b}\u{200f}\u{2028}\u{202a}\u{2066}\u{2069}\u{feff}\u{61c}\u{e0041}".chars()
        {
            let Ok(text) = json(Schema::Error, &Text { text: c.into() }) else {
                panic!("no JSON of {c:?}")
            };
            assert!(text.is_ascii(), "{text}");
            let told: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(told["text"], c.to_string());
        }
    }

    #[test]
    fn a_name_that_is_no_text_can_be_had_exactly() {
        #[derive(Serialize)]
        struct Named {
            #[serde(flatten, serialize_with = "session_path")]
            session: PathBuf,
        }
        let told = |name: &[u8]| {
            serde_json::to_value(Named { session: OsStr::from_bytes(name).into() }).unwrap()
        };
        assert_eq!(told(b"a.jsonl"), serde_json::json!({"session": "a.jsonl"}));
        assert_eq!(
            told(b"a\xff.jsonl"),
            serde_json::json!({"session": "a\u{fffd}.jsonl", "sessionBase64": "Yf8uanNvbmw="})
        );
    }
}
