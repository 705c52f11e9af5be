//! What an input is that is not JSON lines, and how to make JSON lines of it.

use serde_json::value::RawValue;

const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the input plainly is, and what to do about it.
pub(super) fn of(input: &[u8]) -> Option<&'static str> {
    Some(match input {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "the input is UTF-16; pass it through `iconv -f UTF-16 -t UTF-8`"
        }
        [0x1f, 0x8b, ..] => "the input is compressed; pass it through `zcat`",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "the input is compressed; pass it through `zstd -dc`",
        [0xef, 0xbb, 0xbf, ..] => {
            "the input begins with a byte order mark (BOM), which is not JSON; pass it through \
             `sed '1s/^\\xef\\xbb\\xbf//'`"
        }
        [_, 0, _, 0, ..] => "the input is UTF-16; pass it through `iconv -f UTF-16LE -t UTF-8`",
        [0, _, 0, _, ..] => "the input is UTF-16; pass it through `iconv -f UTF-16BE -t UTF-8`",
        _ if contains(input, UTF_8_MARK) && is_json_without_marks(input) => {
            "the input has byte order marks (BOM), as of files that were joined; pass it through \
             `sed 's/^\\xef\\xbb\\xbf//'`"
        }
        _ if !are_values(input) => return None,
        _ if input.trim_ascii_start().starts_with(b"[") => {
            "the input is a JSON array, and not one record per line; pass it through \
             `jq -c '.[]'`"
        }
        _ => {
            "the input is JSON, but not one record per line; pass it through \
             `jq -c .`"
        }
    })
}

/// Whether all of it is JSON values, whatever lines they are on.
fn are_values(input: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(input).into_iter::<&RawValue>();
    values.all(|value| value.is_ok())
}

fn is_json_without_marks(input: &[u8]) -> bool {
    let is_json = |line: &[u8]| {
        let line = line.strip_prefix(UTF_8_MARK).unwrap_or(line);
        line.trim_ascii().is_empty() || serde_json::from_slice::<&RawValue>(line).is_ok()
    };
    input.split(|byte| *byte == b'\n').all(is_json)
}

fn contains(input: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(input, what).is_some()
}
