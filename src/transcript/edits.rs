//! Many short edits in one entry of the quarantine.
//!
//! An entry of its own for each would need up to a hundred times what a repair takes out. Here an
//! edit needs a byte or two besides what it took out, and a step over healthy lines the same.
//!
//! The edits are a sequence of steps through the repaired file. A step begins with a number, seven
//! bits to a byte, the lowest first; all bytes but the last have the high bit. Its two lowest bits
//! are the kind of the step, and the others a count:
//!
//! | kind | meaning |
//! |---|---|
//! | 0 | so many lines of the repaired file are the original's |
//! | 1 | here, so many bytes were taken out, which follow |
//! | 2 | the same at the end of the line, and a newline was inserted in their place |
//! | 3 | the same at the end of the line, and its newline is the original's |
//!
//! A step of kind 0 without lines is another kind: two more numbers follow, and bytes, as many as
//! the second number says. They were taken out here, and as many bytes of the repaired file as the
//! first number says are in their place.

/// Where bytes were taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// At the start of a line of the repaired file.
    Here,
    /// At its end, with a newline in their place.
    Newline,
    /// At its end, before its newline.
    End,
}

const SPOTS: [Spot; 3] = [Spot::Here, Spot::Newline, Spot::End];

/// One step through the repaired file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// So many lines are the original's.
    Lines(u64),
    /// These bytes were taken out.
    Put(Spot, &'a [u8]),
    /// These bytes were taken out, and so many of the repaired file are in their place.
    Replace(u64, &'a [u8]),
}

/// Edits that were not written yet.
#[derive(Default)]
pub(super) struct Edits {
    steps: Vec<u8>,
    /// The offset in the original at which the first step begins.
    offset: u64,
    /// The number of edits.
    count: u64,
}

impl Edits {
    /// The edits after this offset of the original.
    pub(super) fn at(offset: u64) -> Self {
        Self { offset, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn steps(&self) -> &[u8] {
        &self.steps
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Adds an edit behind `lines` healthy lines.
    pub(super) fn push(&mut self, lines: u64, spot: Spot, removed: &[u8]) {
        if lines > 0 {
            self.number(lines << 2);
        }
        let kind = 1 + SPOTS.iter().position(|one| *one == spot).unwrap_or_default();
        self.number((removed.len() as u64) << 2 | kind as u64);
        self.steps.extend_from_slice(removed);
        self.count += 1;
    }

    /// Adds an edit behind `lines` healthy lines that has put `inserted` bytes in place of others.
    pub(super) fn push_replaced(&mut self, lines: u64, inserted: u64, removed: &[u8]) {
        if lines > 0 {
            self.number(lines << 2);
        }
        self.number(0);
        self.number(inserted);
        self.number(removed.len() as u64);
        self.steps.extend_from_slice(removed);
        self.count += 1;
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.steps.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.steps.push(number as u8);
    }
}

/// Takes the next step from the front. `None` if it is cut or is no step.
pub(super) fn next_step<'a>(steps: &mut &'a [u8]) -> Option<Step<'a>> {
    let number = next_number(steps)?;
    let (kind, count) = ((number & 3) as usize, number >> 2);
    match kind.checked_sub(1) {
        Some(kind) => Some(Step::Put(SPOTS[kind], next_bytes(count, steps)?)),
        None if count > 0 => Some(Step::Lines(count)),
        None => {
            let inserted = next_number(steps)?;
            let length = next_number(steps)?;
            Some(Step::Replace(inserted, next_bytes(length, steps)?))
        }
    }
}

fn next_bytes<'a>(count: u64, steps: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (bytes, rest) = steps.split_at_checked(usize::try_from(count).ok()?)?;
    *steps = rest;
    Some(bytes)
}

fn next_number(steps: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = steps.split_first()?;
        *steps = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let long = [b'x'; 1000];
        let mut edits = Edits::at(7);
        let made = [
            (0, Spot::Here, &b"a"[..]),
            (1, Spot::Newline, b""),
            (31, Spot::End, &long[..31]),
            (32, Spot::Newline, &long[..32]),
            (u64::MAX >> 2, Spot::Here, &long),
        ];
        for (lines, spot, removed) in made {
            edits.push(lines, spot, removed);
        }
        edits.push_replaced(2, 300, b"ab\n");
        assert_eq!((edits.count(), edits.offset(), edits.is_empty()), (6, 7, false));
        let mut steps = edits.steps();
        for (lines, spot, removed) in made {
            if lines > 0 {
                assert_eq!(next_step(&mut steps), Some(Step::Lines(lines)));
            }
            assert_eq!(next_step(&mut steps), Some(Step::Put(spot, removed)));
        }
        assert_eq!(next_step(&mut steps), Some(Step::Lines(2)));
        assert_eq!(next_step(&mut steps), Some(Step::Replace(300, b"ab\n")));
        assert_eq!((next_step(&mut steps), steps), (None, &b""[..]));
    }

    #[test]
    fn what_is_no_step_is_refused() {
        for bad in [
            &b"\x80"[..],
            &[0x80; 20],
            b"\x09a",
            &[0xff; 10],
            b"\xfd\xff\x03ab",
            b"\0\x01",
            b"\0\x01\x02a",
        ] {
            assert_eq!(next_step(&mut &bad[..]), None, "{bad:?}");
        }
    }
}
