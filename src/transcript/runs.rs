//! Runs of ordinary bytes inside strings, measured eight bytes at a time.

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// Sets the high bit of the lowest zero byte of `word`. Bytes above it may be marked wrongly.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

/// The number of bytes at the front that are no quote, backslash or control character.
#[inline]
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    run(bytes, |word| {
        zero_bytes(word ^ (ONES * b'"' as u64))
            | zero_bytes(word ^ (ONES * b'\\' as u64))
            | (word.wrapping_sub(ONES * 0x20) & !word & HIGH)
    })
}

/// The number of bytes at the front that are no quote, backslash, control character or opening
/// brace.
#[inline]
pub(super) fn quiet_run(bytes: &[u8]) -> usize {
    run(bytes, |word| {
        zero_bytes(word ^ (ONES * b'"' as u64))
            | zero_bytes(word ^ (ONES * b'\\' as u64))
            | zero_bytes(word ^ (ONES * b'{' as u64))
            | (word.wrapping_sub(ONES * 0x20) & !word & HIGH)
    })
}

/// The number of NUL bytes at the front.
pub(super) fn nul_run(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let whole = 8 * words.iter().take_while(|word| u64::from_ne_bytes(**word) == 0).count();
    whole + bytes[whole..].iter().take_while(|byte| **byte == 0).count()
}

#[inline]
fn run(bytes: &[u8], marks: impl Fn(u64) -> u64) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = marks(u64::from_le_bytes(*word));
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    // The zeros behind the rest count as control characters and end the run.
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    words.len() * 8 + marks(u64::from_le_bytes(last)).trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_at_the_first_special_byte_wherever_it_is() {
        for length in 0..40 {
            for special in [b'"', b'\\', 0, 0x1f] {
                for at in 0..length {
                    let mut bytes = vec![0xe9; length];
                    bytes[at] = special;
                    assert_eq!(plain_run(&bytes), at);
                    assert_eq!(quiet_run(&bytes), at);
                }
            }
            assert_eq!(plain_run(&vec![b'{'; length]), length);
            assert_eq!(quiet_run(&vec![b'{'; length]), 0);
        }
        for length in 0..40 {
            let mut bytes = vec![0; length];
            assert_eq!(nul_run(&bytes), length);
            bytes.push(1);
            assert_eq!(nul_run(&bytes), length);
        }
        let harmless: Vec<u8> = (0x20..=0xff).filter(|b| !b"\"\\".contains(b)).collect();
        assert_eq!(plain_run(&harmless), harmless.len());
    }
}
