"""Read the text of a request into a batch of values, and locate each value in it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
from django.conf import settings

from sales.ingest.schema import MAX_LISTED_ERRORS, EventError, NotJSON, ValidationResult, parse_json, validate_events
from sales.ingest.valid_events import read_each_valid, read_valid_list
from salesengine.http.errors import ContentTooLarge, InvalidEvents
from salesengine.plurals import counted

JSON = "application/json"
NDJSON = "application/x-ndjson"
SMALL_BODY = 1_000_000  # bytes: parsing JSON of this size never needs much memory
TOKENS_PER_EVENT = 32  # the most commas, brackets and lines that one event has, even if it is indented

# Splits a list into the texts of its elements, without parsing them.
_split_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True)
class Batch:
    """Values sent together, each of which should be a sale event."""

    values: Sequence[Any]
    texts: Callable[[], Sequence[bytes]]  # the text of each value as sent; called only to store rejected values
    is_list: bool = True
    lines: Sequence[int] | None = None  # the line of each value, from 1; None for a format without lines
    is_valid: bool = False  # whether the values are valid events already

    def validate(self, *, count_only: bool) -> ValidationResult:
        """Validate the values. `count_only` is that of `validate_events`."""
        return (
            ValidationResult(list(self.values))
            if self.is_valid
            else validate_events(self.values, count_only=count_only)
        )

    def position(self, index: int) -> dict[str, int]:
        """Return the position of a value, as responses show it."""
        return {"index": index} if self.lines is None else {"index": index, "line": self.lines[index]}

    def name(self, index: int) -> str:
        """Return how a message names a value."""
        return f"the event /{index}" if self.lines is None else f"the event in line {self.lines[index]}"

    def locate_error(self, index: int, error: EventError) -> EventError:
        """Add the position of a value in the whole body to one of its errors."""
        if self.lines is not None:
            return {"line": self.lines[index], **error}
        return error | {"pointer": f"/{index}{error['pointer']}"} if self.is_list else error

    def locate_errors(self, errors: Mapping[int, Sequence[EventError]]) -> list[EventError]:
        """List the errors of values (by index) with their positions: at most MAX_LISTED_ERRORS."""
        located = (self.locate_error(index, error) for index, found in errors.items() for error in found)
        return list(islice(located, MAX_LISTED_ERRORS))

    def validation_error(self, result: ValidationResult) -> InvalidEvents:
        """Return the exception to raise when one invalid event rejects the whole batch."""
        count = result.error_count
        detail = f"Found {counted(count, 'error')} in {counted(len(self.values), 'event')}. Nothing was stored."
        return InvalidEvents(self.locate_errors(result.errors), detail, count)


def read_json(body: bytes) -> Batch:
    """Read one event or a list of events.

    Raises InvalidEvents when the body is not JSON, and ContentTooLarge when it has too many events.
    """
    _check_token_count(body)
    if body.startswith(b"[") and (events := read_valid_list(body)) is not None:
        _check_event_count(len(events))
        return Batch(events, lambda: [bytes(element) for element in _split_list(body)], is_valid=True)
    if body.startswith(b"{") and (events := read_each_valid([body])) is not None:
        return Batch(events, lambda: [body], is_list=False, is_valid=True)
    try:
        sent = parse_json(body)
    except ValueError as error:
        return _read_list_elements(body, str(error))
    if not isinstance(sent, list):
        return Batch([sent], lambda: [body], is_list=False)
    _check_event_count(len(sent))
    return Batch(sent, lambda: [bytes(element) for element in _split_list(body)])


def _read_list_elements(body: bytes, reason: str) -> Batch:
    """Read a list one element at a time, because some element is not valid, such as an object with a repeated name."""
    if not body.strip():
        raise InvalidEvents([], "The body is empty. Send one sale event as a JSON object, or a list of them.")
    try:
        texts = [bytes(element) for element in _split_list(body)]
    except (msgspec.DecodeError, RecursionError):
        raise InvalidEvents([], f"The body {reason}. Nothing was stored.") from None
    _check_event_count(len(texts))
    return Batch(parse_each(texts), lambda: texts)


def read_ndjson(body: bytes) -> Batch:
    """Read one event per line, ignoring empty lines.

    Raises InvalidEvents when the body has no events, and ContentTooLarge when it has too many.
    """
    _check_token_count(body)
    numbered = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line and not line.isspace()]
    if not numbered:
        raise InvalidEvents([], "The body is empty. Send sale events as JSON objects, one per line.")
    _check_event_count(len(numbered))
    texts = [line for _, line in numbered]
    events = read_each_valid(texts)
    values = parse_each(texts) if events is None else events
    return Batch(values, lambda: texts, lines=[number for number, _ in numbered], is_valid=events is not None)


READERS: dict[str, Callable[[bytes], Batch]] = {JSON: read_json, NDJSON: read_ndjson}


def parse_each(texts: Iterable[bytes]) -> list[Any]:
    """Parse JSON texts; a text that is not valid JSON becomes a NotJSON."""
    values: list[Any] = []
    for text in texts:
        try:
            values.append(parse_json(text))
        except ValueError as error:
            values.append(NotJSON(_within_event(str(error), text)))
    return values


def _within_event(reason: str, text: bytes) -> str:
    """Say that the parser's line and column are those of one value, not of the body."""
    return f"{reason} of this event" if b"\n" in text else reason.replace(" at line 1 column ", " at column ")


def _check_token_count(body: bytes) -> None:
    """Reject a body such as [[],[],[], before parsing: its values could need hundreds of megabytes of memory."""
    limit = settings.INGEST_MAX_EVENTS * TOKENS_PER_EVENT
    if len(body) > SMALL_BODY and sum(map(body.count, (b",", b"[", b"{", b"\n"))) > limit:
        raise ContentTooLarge(
            f"A request may have at most {counted(settings.INGEST_MAX_EVENTS, 'event')}. This one has more commas, "
            f"brackets and lines than {limit:,}, also counting those inside texts. Nothing was stored."
        )


def _check_event_count(count: int) -> None:
    if count > settings.INGEST_MAX_EVENTS:
        raise ContentTooLarge(
            f"A request may have at most {counted(settings.INGEST_MAX_EVENTS, 'event')}, and this one has {count:,}. "
            "Send them in several requests. Nothing was stored."
        )
