//! The validator and `serde_json` agree on what is JSON.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use turnlock::testing::Validator;

use super::damaged::{soup, value};
use crate::cases::cases;

/// `serde_json` skips ignored values without recursion and without a look at UTF-8, surrogates and
/// number ranges, just as the validator does.
pub fn whole_by_serde(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// The validator's answer, fed in pieces of these sizes, over and over.
fn whole_by_us(text: &[u8], sizes: &[usize]) -> bool {
    let mut json = Validator::new();
    let mut rest = text;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| *size).min(rest.len());
        let (piece, behind) = rest.split_at(size);
        if json.feed(piece).is_err() {
            return false;
        }
        rest = behind;
    }
    json.is_whole()
}

fn same(text: &[u8], sizes: &[usize]) {
    let shown = String::from_utf8_lossy(text);
    assert_eq!(whole_by_us(text, sizes), whole_by_serde(text), "{shown:?}");
}

/// Bytes that mean something in JSON, and some that must not be in it.
const BYTES: &[u8] = b"{}[]\",:\\ \t\n0123456789.eE+-tfnu/\x00\x1f\x7f\xff";

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..20, 0..4)
}

proptest! {
    #![proptest_config(cases(5000))]

    #[test]
    fn on_values(text in value(), sizes in sizes()) {
        prop_assert!(whole_by_us(text.as_bytes(), &sizes));
        same(text.as_bytes(), &sizes);
    }

    #[test]
    fn on_values_with_a_byte_changed_put_in_or_taken_out(
        text in value(),
        sizes in sizes(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![prop::sample::select(BYTES.to_vec()), any::<u8>()],
        change in 0..3,
    ) {
        let mut text = text.into_bytes();
        let at = at.index(text.len());
        match change {
            0 => text[at] = byte,
            1 => text.insert(at, byte),
            _ => drop(text.remove(at)),
        }
        same(&text, &sizes);
    }

    #[test]
    fn on_values_cut_anywhere(
        text in value(),
        sizes in sizes(),
        at in any::<prop::sample::Index>(),
    ) {
        same(&text.as_bytes()[..at.index(text.len())], &sizes);
    }

    #[test]
    fn on_bytes_in_any_order(text in soup(), sizes in sizes()) {
        same(&text, &sizes);
    }

    #[test]
    fn on_numbers(
        text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?[ ,0]?",
        sizes in sizes(),
    ) {
        same(text.as_bytes(), &sizes);
    }

    #[test]
    fn on_escapes(
        text in "\"(\\\\[\"\\\\/bfnrtux0]|\\\\u[0-9a-fA-Fg]{0,5}|[a\\\\\"]){0,4}\"",
        sizes in sizes(),
    ) {
        same(text.as_bytes(), &sizes);
    }
}

#[test]
fn on_depths_beyond_serdes_usual_limit() {
    for depth in [100, 129, 100_000] {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        same(text.as_bytes(), &[]);
        same(&text.as_bytes()[1..], &[]);
    }
}
