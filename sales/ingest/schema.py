"""What comes in: the one description of a sale event."""

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired

import jiter
from pydantic import (
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    with_config,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from sales.models import Category

MOMENT = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{1,2})(?P<rest>:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?)"
    r"(?P<zone>[Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?)?"
)
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[Ee][+-]?[0-9]{1,4})?")
MAX_FIELDS = 16  # of one event, before it is looked at more closely
MAX_LISTED_ERRORS = 10_000  # a body of nothing but mistakes must not make an answer many times its size
SLICE = 1_000  # events that are validated in one go: errors take far more memory than events
REVENUE_LIMIT = Decimal(10) ** 15
REVENUE_DECIMALS = 20


def parse_moment(value: object) -> datetime.datetime:
    """ISO 8601 text -> the moment in UTC. Without a zone it is UTC already; a bare date is its midnight.

    Raises PydanticCustomError, in plain words.
    """
    match = MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("moment", "must be a date and time as in ISO 8601, such as 2021-01-07T00:09:24Z")
    date, hour, rest, zone = match.groups()
    try:
        moment = datetime.datetime.fromisoformat(f"{date}T{hour or 0:0>2}{rest or ':00'}{(zone or '').upper()}")
        return moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    except ValueError as error:
        raise PydanticCustomError("moment", "is no date and time: {reason}", {"reason": str(error)}) from None
    except OverflowError:
        raise PydanticCustomError("moment", "must lie in the years 1 to 9999 in UTC") from None


def parse_revenue(value: object) -> Decimal:
    """A JSON number, or one in quotes, digit for digit. Raises PydanticCustomError, in plain words."""
    if isinstance(value, str):
        if not NUMBER.fullmatch(value):
            raise PydanticCustomError("revenue", "must be a number, such as 57.27456")
        value = Decimal(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    elif not isinstance(value, Decimal):
        raise PydanticCustomError("revenue", "must be a number, such as 57.27456")
    if not -REVENUE_LIMIT < value < REVENUE_LIMIT:
        raise PydanticCustomError("revenue", "must be smaller than 10^15, and greater than -10^15")
    exponent = int(value.as_tuple().exponent)  # a letter for NaN and Infinity only, which came no further than here
    if exponent < -REVENUE_DECIMALS:
        raise PydanticCustomError("revenue", "must have at most 20 decimals")
    return value if exponent <= 0 else value.quantize(Decimal(1)) if value else Decimal(0)  # 1E+3 is stored as 1000


NOT_NUL = r"^[^\x00]*$"  # PostgreSQL's text cannot hold a NUL
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NOT_NUL)]


@with_config(ConfigDict(extra="forbid"))
class SaleEvent(TypedDict):
    """One sold item, as clients send it."""

    ID_ORDER: Identifier
    ID_PRODUCT: Identifier
    ID_BUYER: Identifier
    ID_SELLER: Identifier
    ID_SELLER_COUNTRY: Identifier
    ID_BUYER_COUNTRY: Identifier
    DATE_PAYMENT: Annotated[datetime.datetime, BeforeValidator(parse_moment)]
    BRAND: NotRequired[Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=NOT_NUL)] | None]
    CATEGORY: NotRequired[Literal[tuple(Category.values)] | None]  # type: ignore[valid-type]
    REVENUE: Annotated[
        Decimal,
        BeforeValidator(parse_revenue),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": -int(REVENUE_LIMIT), "exclusiveMaximum": int(REVENUE_LIMIT)},
                    {"type": "string", "pattern": f"^{NUMBER.pattern}$"},
                ]
            }
        ),
    ]
    EVENT_ID: NotRequired[Identifier | None]


EXAMPLE = {
    "ID_ORDER": "34033734",
    "ID_PRODUCT": "13681706",
    "ID_BUYER": "9666775",
    "ID_SELLER": "6723223",
    "ID_SELLER_COUNTRY": "203",
    "ID_BUYER_COUNTRY": "170",
    "DATE_PAYMENT": "2021-01-07 0:09:24",
    "BRAND": "Dsquared2",
    "CATEGORY": "clothing",
    "REVENUE": "57.27456",
}


@dataclass(frozen=True)
class NotJSON:
    """Stands among parsed values for a text that cannot be parsed; `reason` continues "this text"."""

    reason: str


def refuse_at_sight(value: object) -> object:
    """What need not be looked at field by field: an object with a great many of them is one mistake, not as many."""
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        raise PydanticCustomError(
            "fields", "must have only the fields of a sale event; it has {number} fields", {"number": len(value)}
        )
    if isinstance(value, NotJSON):
        raise PydanticCustomError("json", "{reason}", {"reason": value.reason})
    return value


LimitedEvent = Annotated[SaleEvent, BeforeValidator(refuse_at_sight)]
EVENT: TypeAdapter[SaleEvent] = TypeAdapter(LimitedEvent)
EVENTS: TypeAdapter[list[SaleEvent]] = TypeAdapter(list[LimitedEvent])

PLAIN_WORDS = {
    "missing": "is required",
    "extra_forbidden": f"is not a field of a sale event; the fields are {', '.join(SaleEvent.__annotations__)}",
    "string_type": "must be text, in quotes",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must not contain the character NUL",
    "literal_error": f"must be null or one of {', '.join(Category.values)}",
    "dict_type": "must be an object with the fields of a sale event",
}


EventError = dict[str, str | int]  # {"pointer": ..., "detail": ...}, the pointer from the event's own root


@dataclass
class ValidationResult:
    """What became of values that should be events: the good ones, and what is wrong with the others."""

    events: list[SaleEvent] = field(default_factory=list)
    errors: dict[int, list[EventError]] = field(default_factory=dict)  # by place among the values
    error_count: int = 0  # of all mistakes, where `errors` does not list them all


def validate_event(value: Any) -> SaleEvent | list[EventError]:
    """A parsed JSON value -> the event, or what is wrong with it."""
    try:
        return EVENT.validate_python(value)
    except ValidationError as error:
        return [_in_plain_words(details) for details in error.errors(include_url=False, include_input=False)]


def validate_events(values: Sequence[Any]) -> ValidationResult:
    """Parsed JSON values -> the events among them, and what is wrong with the rest.

    After MAX_LISTED_ERRORS mistakes only the first one of each further event is listed.
    """
    checked = ValidationResult()
    for start in range(0, len(values), SLICE):
        part = values[start : start + SLICE]
        try:
            checked.events.extend(EVENTS.validate_python(part))
        except ValidationError as error:
            _add_mixed(checked, start, part, error)
    return checked


def _add_mixed(checked: ValidationResult, start: int, part: Sequence[Any], error: ValidationError) -> None:
    """Add a part that has good events and bad ones; `start` is its place among all the values."""
    for details in error.errors(include_url=False, include_input=False):
        number, *location = details["loc"]
        known = checked.errors.setdefault(start + int(number), [])
        if not known or checked.error_count < MAX_LISTED_ERRORS:
            known.append(_in_plain_words(details, location))
        checked.error_count += 1
    good = (value for place, value in enumerate(part, start) if place not in checked.errors)
    checked.events.extend(EVENT.validate_python(value) for value in good)


def stored_sale(new_id: int, event: SaleEvent) -> dict[str, Any]:
    """The answer to a single event: what is stored, in the event's own names, and its id."""
    return {"ID": new_id, **{name: event.get(name) for name in SaleEvent.__annotations__}}


def parse_json(text: bytes) -> Any:
    """JSON text in UTF-8 -> its value, numbers with a point as Decimal. Raises ValueError, in plain words."""
    try:
        return jiter.from_json(text, float_mode="decimal", allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        reason = "number out of range" if "Internal error" in str(error) else str(error)
        raise ValueError(f"is not valid JSON in UTF-8: {reason}") from None


def _in_plain_words(details: ErrorDetails, location: Iterable[int | str] | None = None) -> EventError:
    """What is wrong where; `location` is the place in the event, where the details have that of a list."""
    return {"pointer": json_pointer(details["loc"] if location is None else location), "detail": _explanation(details)}


def _explanation(details: ErrorDetails) -> str:
    words = PLAIN_WORDS.get(details["type"])
    return words.format(**details.get("ctx", {})) if words else details["msg"]


def json_pointer(location: Iterable[int | str]) -> str:
    """The place of a value in a JSON document, as in RFC 6901: (3, "CATEGORY") is /3/CATEGORY."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)
