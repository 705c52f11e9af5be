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
TOKEN = re.compile(
    r'(?P<blank>[ \t\r]+)'
    r'|(?P<string>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")'
    r"|(?P<scalar>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)"
    r"|(?P<mark>[{}\[\]:,])"
)


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


def object_at(line, start):
    """The end of the whole object that begins at `start`, or None."""
    try:
        end = JSON.raw_decode(line, start)[1]
    except ValueError:
        return None
    return end if is_utf8(line[start:end]) else None


def is_unfinished_with(text, place):
    """Whether `text` is the beginning of an object that is still open, and `place` in it the
    beginning of one of its values."""
    stack, want, at, seen = [], "value", 0, False
    while at < len(text):
        token = TOKEN.match(text, at)
        if not token:
            return False
        kind, word = token.lastgroup, token.group()
        if kind != "blank":
            if at == place:
                if want not in ("value", "first-element"):
                    return False
                seen = True
            opens = kind == "mark" and word in "{["
            if want in ("value", "first-element") and (opens or kind in ("string", "scalar")):
                if opens:
                    stack.append(word)
                    want = "first-key" if word == "{" else "first-element"
                else:
                    want = "after"
            elif want in ("key", "first-key") and kind == "string":
                want = "colon"
            elif want == "colon" and word == ":":
                want = "value"
            elif want == "after" and word == ",":
                want = "key" if stack[-1] == "{" else "value"
            elif word == "}" and want in ("first-key", "after") and stack[-1] == "{":
                stack.pop()
                want = "after"
            elif word == "]" and want in ("first-element", "after") and stack[-1] == "[":
                stack.pop()
                want = "after"
            else:
                return False
            if not stack:
                return False  # It is closed, or never was an object.
        at = token.end()
    return seen


def survivors(line, terminated):
    """The records that survive of a damaged line."""
    records, at, expected = [], 0, True
    after = 0  # The end of the latest record.
    while at < len(line):
        byte = line[at]
        if byte == "{":
            end = object_at(line, at)
            if end is not None and (expected or counts(line, after, at, end, terminated)):
                records.append(line[at:end])
                at = after = end
                expected = True
                continue
            expected = False
        elif byte == "\0":
            expected = True
        elif byte not in BLANK:
            expected = False
        at += 1
    return records


def counts(line, after, start, end, terminated):
    """Whether an object counts where no record is expected."""
    if not line[start + 1 : end - 1].strip(BLANK):
        return False
    rest = line[end:].lstrip(BLANK)
    if rest:
        return rest[0] not in ",]}:"
    if terminated:
        return True
    outer = (i for i in range(after, start) if line[i] == "{")
    return not any(is_unfinished_with(line[i:end], start - i) for i in outer)


def lines_left(content):
    """The lines that are not blank after a repair, without whitespace around them."""
    parts = content.decode("latin-1").split("\n")
    left = []
    for number, line in enumerate(parts):
        terminated = number + 1 < len(parts)
        if not line.strip(BLANK):
            continue
        if whole_value(line):
            left.append(line.strip(BLANK))
        else:
            left.extend(survivors(line, terminated))
    return left


# Random files.

# How often a hostile line repeats its piece. From about nine times on, the search reads a line
# again so often that it stops looking for the outer record, and takes an inner one.
HOSTILE = 4

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
