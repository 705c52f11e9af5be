//! Paths in answers: as text, and where that is not exact, in Base64 too.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serializer;
use serde::ser::SerializeMap;

fn entries<S: Serializer>(
    key: &str,
    exact: &str,
    path: &Path,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry(key, &path.to_string_lossy())?;
    if path.to_str().is_none() {
        map.serialize_entry(exact, &STANDARD.encode(path.as_os_str().as_encoded_bytes()))?;
    }
    map.end()
}

/// For fields with `#[serde(flatten, serialize_with = "…")]`: the entry of a path, and `…Base64`
/// beside it if the path is not UTF-8.
macro_rules! paths {
    ($($(#[$feature:meta])? $name:ident: $key:literal, $exact:literal;)*) => {$(
        $(#[$feature])?
        pub(crate) fn $name<S: Serializer>(
            path: &Path,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            entries($key, $exact, path, serializer)
        }
    )*};
}

paths! {
    path: "path", "pathBase64";
    lock: "lock", "lockBase64";
    #[cfg(feature = "gateway")] state_dir: "stateDir", "stateDirBase64";
    #[cfg(feature = "gateway")] config: "config", "configBase64";
}
