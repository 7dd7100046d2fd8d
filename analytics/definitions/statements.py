"""Parse the SQL of a report file: find its parameters, and leave everything else unchanged."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Parameters and semicolons, and the text in which they have no meaning (PostgreSQL manual, "Lexical Structure").
TOKEN = re.compile(
    r"""
    (?P<opaque>
        \b[eE]'(?:[^'\\]|\\.|'')*'              # a string with backslash escapes
      | '(?:[^']|'')*'                          # a string
      | "(?:[^"]|"")*"                          # a quoted name
      | --[^\n]*
      | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)  # a dollar-quoted string
    )
    | (?P<comment>/\*)                           # `_end_of_comment` finds its end
    | %\((?P<parameter>[^()]*)\)s
    | (?P<semicolon>;)
    """,
    re.VERBOSE | re.DOTALL,
)
COMMENT_SIGN = re.compile(r"/\*|\*/")
WORD = re.compile(r"[A-Za-z_]+")
# SQL words whose value can change while data and parameters stay the same.
VOLATILE = re.compile(
    r"now|age|current_\w+|local(?:time|timestamp)|\w*_timestamp|timeofday|random\w*|gen_random_uuid|uuidv|tablesample"
    r"|nextval|pg_\w+|txid_\w+",
    re.IGNORECASE,
)
# Strings that PostgreSQL reads as a date or time relative to now (PostgreSQL manual, "Special Values").
VOLATILE_TEXT = re.compile(r"\b(?:now|today|tomorrow|yesterday)\b", re.IGNORECASE)
ORDER_BY = re.compile(r"\border\s+by\b", re.IGNORECASE)


class InvalidStatementError(ValueError):
    """The SQL is more than one statement. `offset` is the position of the first semicolon."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


@dataclass(frozen=True)
class Statement:
    """One SELECT. `parts` alternates between its text and the names of its parameters."""

    parts: tuple[str, ...]
    is_volatile: bool  # see is_volatile()

    @property
    def parameters(self) -> frozenset[str]:
        return frozenset(self.parts[1::2])

    def bind(self, types: Mapping[str, str]) -> str:
        """Return the SQL for psycopg: each parameter is cast to its SQL type, and percent signs are doubled."""
        texts = [text.replace("%", "%%") for text in self.parts]
        texts[1::2] = [f"%({name})s::{types[name]}" for name in self.parts[1::2]]
        return "".join(texts)


def parse_statement(sql: str) -> Statement:
    """Parse a statement, which may end in a semicolon. Raises InvalidStatementError if more SQL follows."""
    parts = [""]
    for kind, text, offset in _tokens(sql):
        if kind == "parameter":
            parts += [text, ""]
        elif kind != "semicolon":
            parts[-1] += text
        elif any(not _is_comment(kind, text) and text.strip() for kind, text, _ in _tokens(sql[offset + 1 :])):
            raise InvalidStatementError(offset, "a report must be one SELECT; there is more text after the semicolon")
    return Statement(tuple(parts), is_volatile(sql))


def is_volatile(sql: str) -> bool:
    """Say whether the SQL uses a word that makes its result depend on the time or on chance."""
    for kind, text, _ in _tokens(sql):
        if kind == "plain" and any(VOLATILE.fullmatch(word) for word in WORD.findall(text)):
            return True
        if kind == "opaque" and not _is_comment(kind, text) and VOLATILE_TEXT.search(text):
            return True
    return False


def is_ordered(sql: str) -> bool:
    """Say whether the statement itself, not only a part of it in brackets, has an ORDER BY."""
    outside, depth = "", 0
    for character in "".join(text for kind, text, _ in _tokens(sql) if kind == "plain"):
        depth += {"(": 1, ")": -1}.get(character, 0)
        outside += "" if depth else character
    return bool(ORDER_BY.search(outside))


def _tokens(sql: str) -> Iterator[tuple[str, str, int]]:
    """Split the SQL into (kind, text, offset). The text of a parameter is its name."""
    position = 0
    while match := TOKEN.search(sql, position):
        yield "plain", sql[position : match.start()], position
        kind = str(match.lastgroup)
        position = _end_of_comment(sql, match.start()) if kind == "comment" else match.end()
        yield kind, sql[match.start() : position] if kind == "comment" else match[kind], match.start()
    yield "plain", sql[position:], position


def _end_of_comment(sql: str, start: int) -> int:
    """Return the end of the comment at `start`. Comments of PostgreSQL can be nested."""
    depth = 0
    for sign in COMMENT_SIGN.finditer(sql, start):
        depth += 1 if sign[0] == "/*" else -1
        if not depth:
            return sign.end()
    return len(sql)


def _is_comment(kind: str, text: str) -> bool:
    return kind == "comment" or text.startswith("--")
