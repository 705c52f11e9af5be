//! What a storm writes into a session without a lock.

use crate::storm::Dice;

/// Damaged bytes. They have no whole record, nor end one that others have begun.
pub fn damage(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = match dice.below(5) {
        0 => br#"{"torn":"in the middle of a wo"#[..10 + dice.below(20)].to_vec(),
        1 => vec![0; 1 + dice.below(300)],
        2 => b"Killed: out of memory".to_vec(),
        3 => b"{\"bad\":\"\xff\xfe\"}".to_vec(),
        _ => br#"{"torn":{"deep":[1,2,{"a"#.to_vec(),
    };
    if dice.below(2) == 0 {
        bytes.push(b'\n');
    }
    bytes
}
