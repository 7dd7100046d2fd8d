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
      | /\*.*?\*/
      | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)  # a string in dollars
    )
    | %\((?P<parameter>[^()]*)\)s
    | (?P<semicolon>;)
    """,
    re.VERBOSE | re.DOTALL,
)
COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
WORD = re.compile(r"[A-Za-z_]+")
# Their results change though neither data nor parameters do.
MOVING = re.compile(
    r"now|current_(?:date|time|timestamp)|local(?:time|timestamp)|\w*_timestamp|timeofday|random\w*|gen_random_uuid"
    r"|nextval|pg_\w+|txid_\w+",
    re.IGNORECASE,
)

# So do dates and times that are told from now, in a string (PostgreSQL manual, "Special Values").
MOVING_TEXT = re.compile(r"\b(?:now|today|tomorrow|yesterday)\b", re.IGNORECASE)


class InvalidStatementError(ValueError):
    """The SQL is not one statement; `offset` is where."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


@dataclass(frozen=True)
class Statement:
    """One SELECT. `parts` is its text in turns with the names of the parameters between."""

    parts: tuple[str, ...]
    is_moving: bool  # whether its result depends on the time or on chance

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
        elif COMMENT.sub("", sql[offset + 1 :]).strip():
            raise InvalidStatementError(offset, "a report is one SELECT; something follows its semicolon")
    return Statement(tuple(parts), is_moving(sql))


def is_moving(sql: str) -> bool:
    """Whether the result of the SQL, as far as its words tell, depends on the time or on chance."""
    for kind, text, _ in _tokens(sql):
        if kind == "plain" and any(MOVING.fullmatch(word) for word in WORD.findall(text)):
            return True
        if kind == "opaque" and not COMMENT.match(text) and MOVING_TEXT.search(text):
            return True
    return False


def _tokens(sql: str) -> Iterator[tuple[str, str, int]]:
    """The whole text in order, as (kind, text, offset): parameters (by name), semicolons, opaque and plain text."""
    done = 0
    for match in TOKEN.finditer(sql):
        yield "plain", sql[done : match.start()], done
        yield str(match.lastgroup), match[str(match.lastgroup)], match.start()
        done = match.end()
    yield "plain", sql[done:], done
