//! The members of a JSON object, or of what is left of one.
//!
//! A record may be torn, have a key twice or an `id` that is a number. None of that keeps the other
//! members from being read. Nothing is validated here: a member is what looks like one.

/// The members of an object that are there in full, in order.
#[derive(Debug, Default)]
pub(crate) struct Outline<'a> {
    members: Vec<(&'a [u8], &'a [u8])>,
    /// The last member, if it was cut: its key, and what is left of its value.
    cut: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Outline<'a> {
    /// The members of an object, which may be cut. None of anything else.
    pub(crate) fn of(record: &'a [u8]) -> Self {
        let mut outline = Self::default();
        let Some(rest) = trimmed(record).strip_prefix(b"{") else { return outline };
        outline.read(rest);
        outline
    }

    /// The members of an object whose beginning was cut off, from the first `,"` on.
    pub(crate) fn of_rest(rest: &'a [u8]) -> Self {
        let mut outline = Self::default();
        if let Some(at) = rest.windows(2).position(|pair| pair == b",\"") {
            outline.read(&rest[at + 1..]);
        }
        outline
    }

    fn read(&mut self, mut rest: &'a [u8]) {
        while let Some((key, after)) = string(trimmed(rest)) {
            let Some(value) = trimmed(after).strip_prefix(b":").map(trimmed) else { break };
            let whole = value_length(value).filter(|length| ends(value, *length));
            let Some(length) = whole else {
                self.cut = Some((key, value));
                break;
            };
            self.members.push((key, &value[..length]));
            match trimmed(&value[length..]).strip_prefix(b",") {
                Some(next) => rest = next,
                None => break,
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members, as they are written: the keys without quotes.
    pub(crate) fn members(&self) -> &[(&'a [u8], &'a [u8])] {
        &self.members
    }

    /// What is left of the value of this key, if it was cut.
    pub(crate) fn cut(&self, key: &str) -> Option<&'a [u8]> {
        self.cut.filter(|(name, _)| *name == key.as_bytes()).map(|(_, value)| value)
    }

    /// The value of a key, as it is written. Of a key that is there twice, the last one, as in
    /// JavaScript.
    pub(crate) fn get(&self, key: &str) -> Option<&'a [u8]> {
        let found = self.members.iter().rfind(|(name, _)| *name == key.as_bytes());
        found.map(|(_, value)| *value)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key, if it is a string.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        serde_json::from_slice(self.get(key)?).ok()
    }

    /// Whether the value of a key is this string, without escapes.
    pub(crate) fn is(&self, key: &str, text: &str) -> bool {
        self.get(key).and_then(unquoted) == Some(text.as_bytes())
    }

    /// Whether the value of a key is an object.
    pub(crate) fn has_object(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.starts_with(b"{"))
    }

    /// The value of the key `type`, if it is a string without escapes.
    pub(crate) fn kind(&self) -> Option<&'a str> {
        self.get("type").and_then(unquoted).and_then(|text| std::str::from_utf8(text).ok())
    }
}

fn unquoted(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_start()
}

/// The contents of a string at the front, and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = string_length(bytes)?;
    Some((&bytes[1..length - 1], &bytes[length..]))
}

/// The length of a whole string at the front, with its quotes.
fn string_length(bytes: &[u8]) -> Option<usize> {
    bytes.strip_prefix(b"\"")?;
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The length of a whole value at the front.
fn value_length(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' => string_length(bytes),
        b'{' | b'[' => container_length(bytes),
        _ => Some(bytes.iter().take_while(|byte| is_of_scalar(**byte)).count()),
    }
}

fn container_length(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match bytes.get(at)? {
            b'"' => {
                at += string_length(&bytes[at..])?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

fn is_of_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Whether what follows a value shows that it was not cut. A string that ends at a quote may be
/// followed by anything that a record begins with, or by nothing.
fn ends(value: &[u8], length: usize) -> bool {
    let is_scalar = length > 0 && is_of_scalar(value[0]);
    match trimmed(&value[length..]).first() {
        Some(b',' | b'}') => length > 0,
        Some(b'{' | 0) | None => length > 0 && !is_scalar,
        Some(_) => false,
    }
}
