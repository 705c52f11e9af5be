//! Where a new file has parts of the old one.

use std::ops::Range;

/// Parts that a new file has taken over unchanged from the old one, in order: their range in the
/// new file, and where they began in the old one. Of many, only the first and the last are listed.
#[derive(Debug, Default)]
pub(crate) struct Moves(Vec<(Range<u64>, u64)>);

/// This many parts are listed.
const MOST: usize = 12;

impl Moves {
    /// Adds a part of `length` bytes, which continues the last one if it can.
    pub(crate) fn add(&mut self, from: u64, to: u64, length: u64) {
        if let Some((last, old)) = self.0.last_mut()
            && last.end == to
            && *old + (last.end - last.start) == from
        {
            last.end += length;
        } else if length > 0 {
            self.0.push((to..to + length, from));
            if self.0.len() > MOST {
                self.0.remove(MOST - 1);
            }
        }
    }

    pub(crate) fn list(&self) -> &[(Range<u64>, u64)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_part_and_of_many_parts_the_first_and_the_last_are_listed() {
        let mut moves = Moves::default();
        moves.add(0, 10, 5);
        moves.add(5, 15, 5);
        moves.add(10, 20, 0);
        assert_eq!(moves.list(), [(10..20, 0)]);
        for n in 2..100 {
            moves.add(20 * n, 30 * n, 5);
        }
        assert_eq!(moves.list().len(), MOST);
        assert_eq!(
            (&moves.list()[1], moves.list().last()),
            (&(60..65, 40), Some(&(2970..2975, 1980)))
        );
    }
}
