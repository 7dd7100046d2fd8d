"""What may be asked by query parameters: which sales count, which are read back, and how a batch is taken."""

import base64
import datetime
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic_core import PydanticCustomError

from sales.ingest.schema import parse_moment
from sales.ingest.service import IngestOptions
from sales.models import Category
from sales.totals.feedback import FeedbackQuery
from salesengine.http.errors import InvalidInput

DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
LIMIT = range(1, 1_001)  # sales on a page
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta.resolution
CURSOR = struct.Struct(">qq")  # microseconds since EPOCH, and an id

Parser = Callable[[str], Any]  # raises ValueError or PydanticCustomError, in plain words


class SalesCursor(NamedTuple):
    """A place in the order in which sales are read: that of the sale with this payment and id."""

    date_payment: datetime.datetime
    id: int


@dataclass(frozen=True)
class SalesQuery:
    """Which sales are read back: at most `limit` of those after the place `after` (None: from the newest payment on).

    `filters` is the value of each parameter that must be equal (None: the sale has none); `start` and `stop` are as in
    FeedbackQuery.
    """

    filters: Mapping[str, str | None] = field(default_factory=dict)
    start: datetime.datetime | None = None
    stop: datetime.datetime | None = None
    limit: int = 100
    after: SalesCursor | None = None


def parse_feedback_query(parameters: Mapping[str, list[str]]) -> FeedbackQuery:
    """Query parameters (name -> all its values) -> the question. Both dates are included; a bare end date wholly.

    Raises InvalidInput, which names every bad parameter and says what would do.
    """
    values = _parse(parameters, FEEDBACK_PARAMETERS)
    return FeedbackQuery(values.get("category"), values.get("start_date"), values.get("end_date"))


def parse_ingest_options(parameters: Mapping[str, list[str]]) -> IngestOptions:
    """Query parameters (name -> all its values) -> the options. Raises InvalidInput as above."""
    values = _parse(parameters, INGEST_PARAMETERS)
    return IngestOptions(values.get("on_error", False), values.get("dry_run", False))


def one_of(choices: Mapping[str, Any]) -> Parser:
    """A parser of a few words, each of which stands for a value."""

    def parse(text: str) -> Any:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return choices[text]

    return parse


def parse_sales_query(parameters: Mapping[str, list[str]]) -> SalesQuery:
    """Query parameters (name -> all its values) -> the question; dates as in `parse_feedback_question`.

    Raises InvalidInput, which names every bad parameter and says what would do.
    """
    values = _parse(parameters, SALES_PARAMETERS)
    return SalesQuery(
        filters={name: value for name, value in values.items() if name in SALES_FILTERS},
        start=values.get("start_date"),
        stop=values.get("end_date"),
        limit=values.get("limit", SalesQuery.limit),
        after=values.get("cursor"),
    )


def reject_parameters(parameters: Mapping[str, list[str]]) -> None:
    """Where there is nothing to ask. Raises InvalidInput as above."""
    _parse(parameters, {})


def write_cursor(place: SalesCursor) -> str:
    """The place as text that can stand in a URL as it is."""
    microseconds = (place.date_payment - EPOCH) // MICROSECOND
    return base64.urlsafe_b64encode(CURSOR.pack(microseconds, place.id)).decode().rstrip("=")


def parse_cursor(text: str) -> SalesCursor:
    """The place that `write_cursor` wrote; raises ValueError for any other text."""
    try:
        microseconds, sale_id = CURSOR.unpack(base64.urlsafe_b64decode(text + "=="))
        place = SalesCursor(EPOCH + microseconds * MICROSECOND, sale_id)
        written = write_cursor(place)
    except (ValueError, OverflowError, struct.error):
        written = None
    if written != text:  # the decoder skips what is not base64
        raise ValueError("must be the cursor of an earlier answer, unchanged")
    return place


def parse_category(text: str) -> str:
    if text not in Category.values:
        raise ValueError(f"must be one of {', '.join(Category.values)}")
    return text


def parse_end(text: str) -> datetime.datetime | None:
    """The first moment that is past this end (None: past the end of time); the end of a bare date is its day's."""
    step = datetime.timedelta(days=1) if DATE.fullmatch(text) else datetime.timedelta.resolution
    try:
        return parse_moment(text) + step
    except OverflowError:
        return None


def parse_limit(text: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) not in LIMIT:
        raise ValueError(f"must be a whole number from {LIMIT[0]} to {LIMIT[-1]}")
    return int(text)


def text_up_to(length: int) -> Parser:
    """A parser of text as sales hold it, which is never empty."""

    def parse(text: str) -> str:
        if not 1 <= len(text) <= length or "\0" in text:
            raise ValueError(f"must be text of 1 to {length} characters, without the character NUL")
        return text

    return parse


def or_none(parse: Parser) -> Parser:
    """The empty text asks for the sales that have none: no category and no brand is empty."""
    return lambda text: parse(text) if text else None


FEEDBACK_PARAMETERS: dict[str, Parser] = {
    "category": parse_category,
    "start_date": parse_moment,
    "end_date": parse_end,
}
INGEST_PARAMETERS: dict[str, Parser] = {
    "on_error": one_of({"stop": False, "skip": True}),
    "dry_run": one_of({"true": True, "false": False}),
}
SALES_FILTERS: dict[str, Parser] = {
    "category": or_none(parse_category),
    "brand": or_none(text_up_to(256)),
    "id_order": text_up_to(64),
    "id_product": text_up_to(64),
    "id_buyer": text_up_to(64),
    "id_seller": text_up_to(64),
    "id_seller_country": text_up_to(64),
    "id_buyer_country": text_up_to(64),
}
SALES_PARAMETERS: dict[str, Parser] = SALES_FILTERS | {
    "start_date": parse_moment,
    "end_date": parse_end,
    "limit": parse_limit,
    "cursor": parse_cursor,
}


def _parse(parameters: Mapping[str, list[str]], parsers: Mapping[str, Parser]) -> dict[str, Any]:
    """The values of the parameters that were given; raises InvalidInput."""
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
        raise InvalidInput(errors, "The query parameters make no sense; see errors.")
    return values


def _parse_one(name: str, texts: list[str], parsers: Mapping[str, Parser]) -> Any:
    if name not in parsers:
        raise ValueError(f"is not known here; there are {', '.join(parsers) or 'none'}")
    if len(texts) != 1:
        raise ValueError("must be given once")
    return parsers[name](texts[0])
