//! What a program that takes no lock does to a session file.

/// Damage that is appended. Each piece has a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrawl {
    /// A whole line, though written without the lock.
    Whole,
    NoNewline,
    Torn,
    Nul,
    /// A cut record with a whole one glued to it.
    Splice,
    /// Two whole records on one line.
    Glued,
    BadUtf8,
}

impl Scrawl {
    pub const ALL: [Self; 7] = [
        Self::Whole,
        Self::NoNewline,
        Self::Torn,
        Self::Nul,
        Self::Splice,
        Self::Glued,
        Self::BadUtf8,
    ];

    pub fn bytes(self, number: u64) -> Vec<u8> {
        match self {
            Self::Whole => format!("{{\"f\":{number}}}\n").into(),
            Self::NoNewline => format!("{{\"f\":{number}}}").into(),
            Self::Torn => format!("{{\"f\":{number},\"text\":\"cut he").into(),
            Self::Nul => vec![0; 5],
            Self::Splice => {
                format!("{{\"f\":{number},\"text\":\"cut{{\"f\":{number},\"x\":1}}\n").into()
            }
            Self::Glued => format!("{{\"f\":{number}}}{{\"f\":{number},\"x\":2}}\n").into(),
            Self::BadUtf8 => {
                [format!("{{\"f\":{number},\"x\":\"").as_bytes(), b"\xe2\x82\"}\n"].concat()
            }
        }
    }
}
