"""The forms that events come in: text -> the values in it, with the place and the text of each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.conf import settings

from sales.ingest.schema import MAX_LISTED_ERRORS, EventError, NotJSON, ValidationResult, parse_json
from salesengine.http.errors import ContentTooLarge, InvalidEvents

JSON = "application/json"
NDJSON = "application/x-ndjson"
SMALL = 1_000_000  # bytes, of which any JSON can be parsed
PARTS = 32  # commas, brackets and lines of one event, however generously it is laid out

# Elements of a list as they stand in the text, whatever they hold.
_split_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True)
class Batch:
    """Values that should be sale events, sent together."""

    values: Sequence[Any]
    texts: Callable[[], Sequence[bytes]]  # each value as it came; asked for only when one is to be kept
    is_list: bool = True
    lines: Sequence[int] | None = None  # where a form has lines: that of each value, from 1

    def place(self, index: int) -> dict[str, int]:
        """Where the value stands, as answers say it."""
        return {"index": index} if self.lines is None else {"index": index, "line": self.lines[index]}

    def placed(self, index: int, error: EventError) -> EventError:
        """An error of one value, with its place in the whole body."""
        if self.lines is not None:
            return {"line": self.lines[index], **error}
        return error | {"pointer": f"/{index}{error['pointer']}"} if self.is_list else error

    def all_placed(self, errors: Mapping[int, Sequence[EventError]]) -> list[EventError]:
        """The errors of values (by index) as the refusal of the whole lists them, which has an end."""
        return [self.placed(index, error) for index, those in errors.items() for error in those][:MAX_LISTED_ERRORS]

    def refusal(self, checked: ValidationResult) -> InvalidEvents:
        """What is wrong with it, where it is taken whole or not at all."""
        count = checked.error_count
        mistakes = f"There {'is' if count == 1 else 'are'} {count:,} mistake{'' if count == 1 else 's'}"
        detail = f"{mistakes} in {len(self.values):,} events; nothing was stored." if self.is_list else None
        return InvalidEvents(self.all_placed(checked.errors), detail, count)


def read_json(body: bytes) -> Batch:
    """One event, or a list of them. Raises InvalidEvents for what is no JSON, ContentTooLarge for too many events."""
    _refuse_too_many_parts(body)
    try:
        sent = parse_json(body)
    except ValueError as error:
        return _read_parts(body, str(error))
    if not isinstance(sent, list):
        return Batch([sent], lambda: [body], is_list=False)
    _refuse_too_many(len(sent))
    return Batch(sent, lambda: [bytes(part) for part in _split_list(body)])


def _read_parts(body: bytes, reason: str) -> Batch:
    """A list of which not every part is JSON that can be taken, such as one with the same name twice in an object."""
    if not body.strip():
        raise InvalidEvents([], "The body is empty: send one sale event as a JSON object, or a list.")
    try:
        texts = [bytes(part) for part in _split_list(body)]
    except (msgspec.DecodeError, RecursionError):
        raise InvalidEvents([], f"The body {reason}. Nothing was stored.") from None
    _refuse_too_many(len(texts))
    return Batch(parse_each(texts), lambda: texts)


def read_ndjson(body: bytes) -> Batch:
    """One event a line; empty lines are passed over. Raises InvalidEvents for none, ContentTooLarge for too many."""
    _refuse_too_many_parts(body)
    numbered = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line and not line.isspace()]
    if not numbered:
        raise InvalidEvents([], "The body is empty: send sale events as JSON objects, one a line.")
    _refuse_too_many(len(numbered))
    texts = [line for _, line in numbered]
    return Batch(parse_each(texts), lambda: texts, lines=[number for number, _ in numbered])


READERS: dict[str, Callable[[bytes], Batch]] = {JSON: read_json, NDJSON: read_ndjson}


def parse_each(texts: Iterable[bytes]) -> list[Any]:
    """JSON texts -> their values; a NotJSON where one is not valid."""
    values: list[Any] = []
    for text in texts:
        try:
            values.append(parse_json(text))
        except ValueError as error:
            values.append(NotJSON(str(error)))
    return values


def _refuse_too_many_parts(body: bytes) -> None:
    """Before it is parsed: what is small as text, such as [[],[],[], may be hundreds of megabytes as values."""
    most = settings.INGEST_MAX_EVENTS * PARTS
    if len(body) > SMALL and sum(map(body.count, (b",", b"[", b"{", b"\n"))) > most:
        raise ContentTooLarge(
            f"A request takes at most {settings.INGEST_MAX_EVENTS:,} events, and this one has more commas, brackets "
            "and lines than so many events have. Nothing was stored."
        )


def _refuse_too_many(number: int) -> None:
    if number > settings.INGEST_MAX_EVENTS:
        raise ContentTooLarge(
            f"A request takes at most {settings.INGEST_MAX_EVENTS:,} events, and this one has {number:,}; "
            "send them in several requests. Nothing was stored."
        )
