//! What a terminal has room for.

use comfy_table::Table;
use unicode_width::UnicodeWidthStr;

/// The width where the terminal tells none.
const USUAL: usize = 80;
/// On less, columns would be some letters wide.
const NARROWEST: usize = 60;

/// How wide the terminal is.
pub(crate) fn columns() -> usize {
    // A terminal that does not know its width says 0.
    let told = Table::new().width().filter(|width| *width > 0);
    told.map_or(USUAL, usize::from).max(NARROWEST)
}

/// Text in lines that are no wider, broken at its spaces, each but the first with this indent.
///
/// What is between backticks is a command. It is never broken, so that it can be copied.
pub(crate) fn wrapped(text: &str, columns: usize, indent: usize) -> String {
    let (mut lines, mut width) = (String::new(), 0);
    for word in words(text) {
        let needed = word.width();
        if width > 0 && width + 1 + needed > columns {
            lines += "\n";
            lines += &" ".repeat(indent);
            width = indent;
        } else if width > 0 {
            lines.push(' ');
            width += 1;
        }
        lines += word;
        width += needed;
    }
    lines
}

/// The words of a text. A command between backticks is one of them. Spaces before the first word
/// belong to it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let (mut in_command, mut in_words) = (false, false);
    text.split(move |c| {
        in_command ^= c == '`';
        in_words |= c != ' ';
        c == ' ' && in_words && !in_command
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_wider_and_commands_stay_whole() {
        assert_eq!(wrapped("  one two three", 9, 4), "  one two\n    three");
        assert_eq!(wrapped("中文 字符 集", 9, 0), "中文 字符\n集");
        assert_eq!(wrapped("run `turnlock doctor a b`, then", 12, 2), {
            "run\n  `turnlock doctor a b`,\n  then"
        });
        assert_eq!(wrapped("", 9, 4), "");
    }
}
