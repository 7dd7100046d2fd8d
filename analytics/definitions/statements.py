"""From the SQL of a report file to statements that PostgreSQL runs: parameters bound, everything else as it stands."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# What matters in SQL here, and what it may stand in without a meaning (PostgreSQL manual, "Lexical Structure").
TOKEN = re.compile(
    r"""
    (?P<opaque>
        \b[eE]'(?:[^'\\]|\\.|'')*'              # a string with escapes
      | '(?:[^']|'')*'                          # a string
      | "(?:[^"]|"")*"                          # a name in quotes
      | --[^\n]*
      | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)  # a string in dollars
    )
    | (?P<comment>/\*)                           # up to where `_end_of_comment` says
    | %\((?P<parameter>[^()]*)\)s
    | (?P<semicolon>;)
    """,
    re.VERBOSE | re.DOTALL,
)
COMMENT_SIGN = re.compile(r"/\*|\*/")
WORD = re.compile(r"[A-Za-z_]+")
# Their results change though neither data nor parameters do.
VOLATILE = re.compile(
    r"now|current_(?:date|time|timestamp)|local(?:time|timestamp)|\w*_timestamp|timeofday|random\w*|gen_random_uuid"
    r"|nextval|pg_\w+|txid_\w+",
    re.IGNORECASE,
)

# So do dates and times that are told from now, in a string (PostgreSQL manual, "Special Values").
VOLATILE_TEXT = re.compile(r"\b(?:now|today|tomorrow|yesterday)\b", re.IGNORECASE)


class InvalidStatementError(ValueError):
    """The SQL is not one statement; `offset` is where."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


@dataclass(frozen=True)
class Statement:
    """One SELECT. `parts` is its text in turns with the names of the parameters between."""

    parts: tuple[str, ...]
    is_volatile: bool  # whether its result depends on the time or on chance

    @property
    def parameters(self) -> frozenset[str]:
        return frozenset(self.parts[1::2])

    def bind(self, types: Mapping[str, str]) -> str:
        """The text for psycopg, with each parameter cast to its type, and with %% for each percent sign."""
        texts = [text.replace("%", "%%") for text in self.parts]
        texts[1::2] = [f"%({name})s::{types[name]}" for name in self.parts[1::2]]
        return "".join(texts)


def parse_statement(sql: str) -> Statement:
    """The statement in the text; a semicolon may end it. Raises InvalidStatementError when something follows that."""
    parts = [""]
    for kind, text, offset in _tokens(sql):
        if kind == "parameter":
            parts += [text, ""]
        elif kind != "semicolon":
            parts[-1] += text
        elif any(not _is_comment(kind, text) and text.strip() for kind, text, _ in _tokens(sql[offset + 1 :])):
            raise InvalidStatementError(offset, "a report is one SELECT; something follows its semicolon")
    return Statement(tuple(parts), is_volatile(sql))


def is_volatile(sql: str) -> bool:
    """Whether the result of the SQL, as far as its words tell, depends on the time or on chance."""
    for kind, text, _ in _tokens(sql):
        if kind == "plain" and any(VOLATILE.fullmatch(word) for word in WORD.findall(text)):
            return True
        if kind == "opaque" and not _is_comment(kind, text) and VOLATILE_TEXT.search(text):
            return True
    return False


def _tokens(sql: str) -> Iterator[tuple[str, str, int]]:
    """The whole text in order, as (kind, text, offset): parameters (by name), semicolons, opaque and plain text."""
    done = 0
    while match := TOKEN.search(sql, done):
        yield "plain", sql[done : match.start()], done
        kind = str(match.lastgroup)
        done = _end_of_comment(sql, match.start()) if kind == "comment" else match.end()
        yield kind, sql[match.start() : done] if kind == "comment" else match[kind], match.start()
    yield "plain", sql[done:], done


def _end_of_comment(sql: str, start: int) -> int:
    """Where the comment that begins there ends: comments of PostgreSQL may hold comments."""
    depth = 0
    for sign in COMMENT_SIGN.finditer(sql, start):
        depth += 1 if sign[0] == "/*" else -1
        if not depth:
            return sign.end()
    return len(sql)


def _is_comment(kind: str, text: str) -> bool:
    return kind == "comment" or text.startswith("--")
