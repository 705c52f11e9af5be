//! UTF-8 validation in pieces.

/// Checks bytes that arrive in pieces of any size. It keeps at most the first three bytes of a
/// character that a piece ends in.
#[derive(Default)]
pub(super) struct Utf8 {
    /// The first bytes of the character that the last piece ended in.
    cut: [u8; 4],
    cut_len: usize,
}

impl Utf8 {
    /// Takes the next bytes. Returns false if they cannot be UTF-8, whatever follows.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while self.cut_len > 0 {
            let [next, rest @ ..] = bytes else {
                return true;
            };
            self.cut[self.cut_len] = *next;
            self.cut_len += 1;
            bytes = rest;
            match std::str::from_utf8(&self.cut[..self.cut_len]) {
                Ok(_) => self.cut_len = 0,
                // Without a length, the character is incomplete and has at most three of its bytes.
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let Err(error) = std::str::from_utf8(bytes) else {
            return true;
        };
        let cut = &bytes[error.valid_up_to()..];
        if error.error_len().is_some() {
            return false;
        }
        self.cut[..cut.len()].copy_from_slice(cut);
        self.cut_len = cut.len();
        true
    }

    /// Whether the last character is complete.
    pub(super) fn is_whole(&self) -> bool {
        self.cut_len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8;

    fn valid(pieces: &[&[u8]]) -> bool {
        let mut utf8 = Utf8::default();
        pieces.iter().all(|piece| utf8.feed(piece)) && utf8.is_whole()
    }

    #[test]
    fn borders_inside_characters_change_nothing() {
        let text = "aé€𝄞z\u{10ffff}".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let (head, tail) = (&text[..first], &text[second..]);
                assert!(valid(&[head, &text[first..second], tail]));
                let left_out = valid(&[head, tail]);
                assert_eq!(left_out, std::str::from_utf8(&[head, tail].concat()).is_ok());
            }
        }
        assert!(valid(&text.chunks(1).collect::<Vec<_>>()));
    }

    #[test]
    fn what_is_never_utf8_is_refused_at_once() {
        for bad in
            [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82{"]
        {
            assert!(!valid(&[bad]));
            assert!(!valid(&bad.chunks(1).collect::<Vec<_>>()));
        }
        assert!(!valid(&[b"\xe2\x82"]));
    }
}
