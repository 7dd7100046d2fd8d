"""Parse query parameters: which sales to count, which sales to read, and how to store a batch."""

import base64
import datetime
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic_core import PydanticCustomError
from rest_framework.request import Request

from sales.changes.feed import ChangesQuery
from sales.ingest.fields import FILTERS, EventField, parse_timestamp
from sales.ingest.service import IngestOptions
from sales.totals.feedback import FeedbackQuery
from salesengine.http.errors import InvalidInput

DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
LIMIT = range(1, 1_001)  # sales on a page
CHANGES_LIMIT = range(1, 10_001)  # changes in a response
WAIT = range(31)  # seconds
LATEST = "latest"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta.resolution
CURSOR = struct.Struct(">qq")  # microseconds since EPOCH, and an id

Parser = Callable[[str], Any]  # raises ValueError or PydanticCustomError with a message for API clients
Parameters = Mapping[str, list[str]]  # all values of each query parameter


class SalesCursor(NamedTuple):
    """The position of a sale in the order in which sales are read."""

    date_payment: datetime.datetime
    id: int


@dataclass(frozen=True)
class SalesQuery:
    """Which sales to read: at most `limit` sales that follow `after`, or from the newest payment on if it is None.

    `filters` has the exact value of each filtered field, None for sales without a value. `start` and `stop` are as in
    FeedbackQuery.
    """

    filters: Mapping[str, str | None] = field(default_factory=dict)
    start: datetime.datetime | None = None
    stop: datetime.datetime | None = None
    limit: int = 100
    after: SalesCursor | None = None


def parameters_of(request: Request) -> Parameters:
    """Return all values of each query parameter. Most requests have none, and nothing to parse."""
    return dict(request.query_params.lists()) if request.META["QUERY_STRING"] else {}


def parse_feedback_query(parameters: Parameters) -> FeedbackQuery:
    """Parse the parameters of GET /feedback. Both dates are included; an end date without a time means its whole day.

    Raises InvalidInput, which lists every invalid parameter.
    """
    values = _parse(parameters, FEEDBACK_PARAMETERS)
    return FeedbackQuery(values.get("category"), values.get("start_date"), values.get("end_date"))


def parse_ingest_options(parameters: Parameters) -> IngestOptions:
    """Parse the parameters of POST /ingest. Raises InvalidInput."""
    values = _parse(parameters, INGEST_PARAMETERS)
    return IngestOptions(values.get("on_error", False), values.get("dry_run", False))


def parse_sales_query(parameters: Parameters) -> SalesQuery:
    """Parse the parameters of GET /sales; the dates are as in `parse_feedback_query`. Raises InvalidInput."""
    values = _parse(parameters, SALES_PARAMETERS)
    return SalesQuery(
        filters={name: value for name, value in values.items() if name in FILTERS},
        start=values.get("start_date"),
        stop=values.get("end_date"),
        limit=values.get("limit", SalesQuery.limit),
        after=values.get("cursor"),
    )


def parse_changes_query(parameters: Parameters) -> ChangesQuery:
    """Parse the parameters of GET /changes. Raises InvalidInput."""
    values = _parse(parameters, CHANGES_PARAMETERS)
    values.pop("format", None)  # which chose the renderer
    return ChangesQuery(**values)


def reject_parameters(parameters: Parameters) -> None:
    """Raise InvalidInput if a request has any query parameters."""
    _parse(parameters, {})


def write_cursor(cursor: SalesCursor) -> str:
    """Encode a cursor as text that needs no escaping in a URL."""
    microseconds = (cursor.date_payment - EPOCH) // MICROSECOND
    return base64.urlsafe_b64encode(CURSOR.pack(microseconds, cursor.id)).decode().rstrip("=")


def parse_cursor(text: str) -> SalesCursor:
    """Decode the text of `write_cursor`. Raises ValueError for any other text."""
    try:
        microseconds, sale_id = CURSOR.unpack(base64.urlsafe_b64decode(text + "=="))
        cursor = SalesCursor(EPOCH + microseconds * MICROSECOND, sale_id)
        canonical = write_cursor(cursor)
    except (ValueError, OverflowError, struct.error):
        canonical = None
    if canonical != text:  # the base64 decoder ignores invalid characters
        raise ValueError("must be the cursor of an earlier response, unchanged")
    return cursor


def parse_end(text: str) -> datetime.datetime | None:
    """Parse an end date into the first timestamp after it, or None if that is after the year 9999."""
    step = datetime.timedelta(days=1) if DATE.fullmatch(text) else datetime.timedelta.resolution
    try:
        return parse_timestamp(text) + step
    except OverflowError:
        return None


def parse_position(text: str) -> int | None:
    """Parse the position of a change. Return None for LATEST, the position of the last one."""
    if text == LATEST:
        return None
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError(f"must be the position of an earlier response, 0 or {LATEST}")
    return int(text)


def whole_number(allowed: range) -> Parser:
    """Return a parser of the whole numbers in a range."""

    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,5}", text) or int(text) not in allowed:
            raise ValueError(f"must be a whole number from {allowed[0]} to {allowed[-1]}")
        return int(text)

    return parse


def one_of(choices: Mapping[str, Any]) -> Parser:
    """Return a parser that accepts these words and returns their values."""

    def parse(text: str) -> Any:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return choices[text]

    return parse


def filter_value(event_field: EventField, *, may_be_null: bool) -> Parser:
    """Return a parser of exact values of a field. If the value may be null, empty text stands for null."""

    def parse(text: str) -> str | None:
        if may_be_null and not text:
            return None
        if event_field.choices and text not in event_field.choices:
            raise ValueError(f"must be one of {', '.join(event_field.choices)}")
        if not event_field.choices and (not 1 <= len(text) <= event_field.max_length or "\0" in text):
            raise ValueError(f"must be text of 1 to {event_field.max_length} characters, without the character NUL")
        return text

    return parse


PERIOD: dict[str, Parser] = {"start_date": parse_timestamp, "end_date": parse_end}
FEEDBACK_PARAMETERS = {"category": filter_value(FILTERS["category"], may_be_null=False)} | PERIOD
INGEST_PARAMETERS: dict[str, Parser] = {
    "on_error": one_of({"stop": False, "skip": True}),
    "dry_run": one_of({"true": True, "false": False}),
}
SALES_PARAMETERS: dict[str, Parser] = {
    **{name: filter_value(each, may_be_null=not each.is_required) for name, each in FILTERS.items()},
    **PERIOD,
    "limit": whole_number(LIMIT),
    "cursor": parse_cursor,
}
CHANGES_PARAMETERS: dict[str, Parser] = {
    "after": parse_position,
    "limit": whole_number(CHANGES_LIMIT),
    "wait": whole_number(WAIT),
    "format": one_of({"json": "json", "ndjson": "ndjson"}),
}


def _parse(parameters: Parameters, parsers: Mapping[str, Parser]) -> dict[str, Any]:
    """Return the values of the parameters sent. Raises InvalidInput, which lists every invalid parameter."""
    errors: list[dict[str, str | int]] = []
    values: dict[str, Any] = {}
    for name, texts in parameters.items():
        try:
            values[name] = _parse_one(name, texts, parsers)
        except (ValueError, PydanticCustomError) as error:
            message = error.message() if isinstance(error, PydanticCustomError) else str(error)
            errors.append({"parameter": name, "detail": message})
    start, stop = values.get("start_date"), values.get("end_date")
    if start and stop and start >= stop:
        errors.append({"parameter": "end_date", "detail": "must not be before start_date"})
    if errors:
        raise InvalidInput(errors, "Some query parameters are invalid; see errors.")
    return values


def _parse_one(name: str, texts: list[str], parsers: Mapping[str, Parser]) -> Any:
    if name not in parsers:
        known = f"the parameters are {', '.join(parsers)}" if parsers else "there are no parameters"
        raise ValueError(f"is unknown; {known}")
    if len(texts) != 1:
        raise ValueError("must be given once")
    return parsers[name](texts[0])
