"""Random session files, and what a repair has to leave of each, by the rule in docs/protocol.md
("Which records survive a repair"). Written from that rule, with Python's own JSON parser.

    python3 reference.py SEED COUNT FILES EXPECTED

writes COUNT session files to the directory FILES, and their surviving lines to EXPECTED.
"""

import json
import os
import random
import re
import sys

BLANK = " \t\r"


def refuse(constant):
    raise ValueError(constant)  # NaN and Infinity are no JSON.


# Bytes are read as latin-1, so that an offset in the text is an offset in the file. UTF-8 is
# checked apart.
JSON = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=refuse)
TEXT = re.compile(r'(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*')
ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
# The longest beginning of a number.
NUMBER = re.compile(
    r"-?(?:(?:0|[1-9][0-9]*)(?:\.(?:[0-9]+(?:[eE](?:[+-]?[0-9]*))?)?|[eE](?:[+-]?[0-9]*))?)?"
)
WORDS_OF_JSON = ["true", "false", "null"]


def is_utf8(text):
    try:
        text.encode("latin-1").decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


def whole_value(line):
    try:
        JSON.decode(line.strip(BLANK))
    except ValueError:
        return False
    return is_utf8(line)


class Attempt:
    """An attempt to read an object that begins at `start`."""

    def __init__(self, line, start):
        self.start = start
        self.end = None  # Where it ends, if it is whole.
        self.cut = None  # Else the byte that cannot follow, or the end of the line.
        self.braces = []  # The opening braces that it takes for parts of strings.
        self.read(line)

    def read(self, line):
        stack, want, at = [], "value", self.start
        while at < len(line):
            char = line[at]
            if char in BLANK:
                at += 1
            elif want in ("value", "first-element") and char in "{[":
                stack.append(char)
                want = "first-key" if char == "{" else "first-element"
                at += 1
            elif want in ("value", "first-element", "key", "first-key") and char == '"':
                at = self.text(line, at + 1)
                if at is None:
                    return
                want = "colon" if "key" in want else "after"
            elif want in ("value", "first-element") and char in "-0123456789tfn":
                end = self.scalar(line, at)
                if end is None:
                    return
                at, want = end, "after"
            elif want == "colon" and char == ":":
                want = "value"
                at += 1
            elif want == "after" and char == ",":
                want = "key" if stack[-1] == "{" else "value"
                at += 1
            elif (char == "}" and stack[-1:] == ["{"] and want in ("first-key", "after")) or (
                char == "]" and stack[-1:] == ["["] and want in ("first-element", "after")
            ):
                stack.pop()
                want = "after"
                at += 1
                if not stack:
                    self.end = at
                    return
            else:
                break
        self.cut = at

    def text(self, line, start):
        """Behind the string whose text begins at `start`. None if it is cut."""
        end = TEXT.match(line, start).end()
        closed = line[end : end + 1] == '"'
        if not closed and line[end : end + 1] == "\\":
            end = ESCAPE.match(line, end).end()
        self.braces.extend(at for at in range(start, end) if line[at] == "{")
        if closed:
            return end + 1
        self.cut = end
        return None

    def scalar(self, line, start):
        for word in WORDS_OF_JSON:
            if line[start] == word[0]:
                end = start + len(os.path.commonprefix([word, line[start : start + len(word)]]))
                whole = line[start:end] == word
                break
        else:
            end = NUMBER.match(line, start).end()
            whole = line[end - 1].isdigit()
        if whole and end < len(line):
            return end
        self.cut = end
        return None


def heir(line, first):
    """If the object was cut in a string: the attempt that began there and goes on."""
    if first.end is not None:
        return None
    free = 0
    for brace in first.braces:
        if brace >= free:
            second = Attempt(line, brace)
            free = second.cut if second.end is None else second.end
            if free > first.cut:
                return second
    return None


def survivors(line):
    """The records that survive of a damaged line."""
    records, begin, at = [], 0, 0  # A record is expected at `begin`.
    known_cut = None
    while (start := line.find("{", at)) >= 0:
        between = line[begin:start].rstrip(BLANK)
        expected = not between or between[-1] == "\0"
        known = not between or start == known_cut
        attempt = Attempt(line, start)
        while (second := heir(line, attempt)) is not None:
            attempt, expected = second, False
        if attempt.end is None:
            at, known_cut = attempt.cut, attempt.cut if known else None
            continue
        at, known_cut = attempt.end, None
        text = line[attempt.start : at]
        if not is_utf8(text) or looks_nested(line, begin, attempt, known):
            continue
        if expected or text[1:-1].strip(BLANK):
            records.append(text)
            begin = at
    return records


def looks_nested(line, begin, attempt, known):
    before = line[begin : attempt.start].rstrip(BLANK)[-1:]
    behind = line[attempt.end :].lstrip(BLANK)[:1]
    return behind in tuple(",]}:") or (not known and before in tuple("[,:"))


def lines_left(content):
    """The lines that are not blank after a repair, without whitespace around them."""
    parts = content.decode("latin-1").split("\n")
    left = []
    for line in parts:
        if not line.strip(BLANK):
            continue
        if whole_value(line):
            left.append(line.strip(BLANK))
        else:
            left.extend(survivors(line))
    return left


# Random files.

# The most times that a hostile line repeats its piece.
HOSTILE = 12

WORDS = ["a", "text", "{", "}", ":", ",", "[", '"', "\\", "{}", '{"a":1}', "é", "\U0001f980", "",
         '{"role":"system"}', '\\"', "\n", "\0", '"}', '{"']
SOUP = list('{}[]",:\\ \t0123456789.eE+-tfnu/\0\x1f\x7f\xff') + [
    '{"a":1}', '{"', '":', '"}', "true", "null", "{}", "[]", '\\"', "\r", "\xc3\xa9", "\xc3"]


def value(dice, depth):
    kind = dice.randrange(9 if depth else 5)
    if kind == 0:
        return dice.choice([True, False, None])
    if kind == 1:
        return dice.choice([0, -1, 17, 1.5, 1e300, 10**30])
    if kind < 5:
        return "".join(dice.choice(WORDS) for _ in range(dice.randrange(5)))
    if kind < 7:
        return [value(dice, depth - 1) for _ in range(dice.randrange(4))]
    return record(dice, depth - 1)


def record(dice, depth=3):
    keys = ["".join(dice.choice(WORDS) for _ in range(2)) for _ in range(dice.randrange(4))]
    return {key: value(dice, depth) for key in keys}


def written(dice, what):
    text = json.dumps(what, ensure_ascii=dice.random() < 0.3,
                      separators=dice.choice([(",", ":"), (", ", ": "), (" ,\t", " : ")]))
    return text.encode("utf-8").decode("latin-1")


def part(dice):
    kind = dice.randrange(10)
    text = written(dice, record(dice))
    if kind < 3:
        return text
    if kind < 6:
        return text[: dice.randrange(len(text) + 1)]
    if kind == 6:
        return text[dice.randrange(len(text) + 1) :]
    if kind == 7:
        return dice.choice(["\0", "\0" * 300, " ", "\t \0 ", "Killed", "[1]", "[", "123", "\r"])
    if kind == 8:
        return "".join(dice.choice(SOUP) for _ in range(dice.randrange(30)))
    at = dice.randrange(len(text) + 1)
    return text[:at] + dice.choice(SOUP) + text[at + dice.randrange(2) :]


def hostile(dice):
    """A line on which objects begin inside the strings of others."""
    piece = dice.choice(['"k":{"{":":","}":"x",', '{"a":"{', '"{":{"', '{"":{"}":', '{"text":"{",'])
    end = dice.choice(['{"text":"{",":":"}x"}', '"}', '{"a":1}', '":1}', '"}}'])
    return "{" * dice.randrange(2) + piece * dice.randrange(1, HOSTILE + 1) + end


def content(dice):
    lines = []
    for _ in range(dice.randrange(1, 7)):
        if dice.random() < 0.3:
            lines.append(written(dice, value(dice, 3)))
        else:
            parts = [part(dice) for _ in range(dice.randrange(5))]
            if dice.random() < 0.2:
                parts.insert(dice.randrange(len(parts) + 1), hostile(dice))
            lines.append("".join(parts))
    return ("\n".join(lines) + "\n" * dice.randrange(2)).encode("latin-1")


def main(seed, count, files, expected):
    for number in range(int(count)):
        dice = random.Random(f"{seed}/{number}")
        made = content(dice)
        with open(os.path.join(files, f"{number}.jsonl"), "wb") as file:
            file.write(made)
        with open(os.path.join(expected, f"{number}.jsonl"), "wb") as file:
            file.write("".join(line + "\n" for line in lines_left(made)).encode("latin-1"))


if __name__ == "__main__":
    main(*sys.argv[1:])
