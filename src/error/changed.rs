//! The ways in which a session file changes under its holder.

use std::fmt;

use serde::Serialize;

/// How a session file was changed by another program while a turn was held. What the holder had
/// seen of it is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SessionChange {
    /// There is no file any more: it was removed or moved away.
    Removed,
    /// Another file was put in its place.
    Replaced,
    /// It is shorter than what the holder had seen of it.
    Shortened,
    /// It was cut or written over, and holds other bytes where the holder had seen some.
    Overwritten,
}

impl SessionChange {
    /// A name that stays the same in all versions: kebab-case, as in `shortened`. It is
    /// also how this is serialised.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::Shortened => "shortened",
            Self::Overwritten => "overwritten",
        }
    }
}

impl fmt::Display for SessionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "another program has removed it",
            Self::Replaced => "another program has put another file in its place",
            Self::Shortened => "another program has cut it",
            Self::Overwritten => "another program has written over it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_what_is_serialised() {
        for value in [
            SessionChange::Removed,
            SessionChange::Replaced,
            SessionChange::Shortened,
            SessionChange::Overwritten,
        ] {
            assert_eq!(serde_json::to_value(value).unwrap(), value.as_str());
        }
    }
}
