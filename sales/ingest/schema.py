"""Validate sale events, and describe their errors for API clients."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import jiter
from pydantic import BeforeValidator, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from sales.categories import Category
from sales.ingest.fields import FIELDS, SaleEvent

MAX_FIELDS = len(FIELDS) + 5  # more in one event are reported as one error
MAX_LISTED_ERRORS = 1_000  # a few hundred kilobytes: a small body, compressed, may have 50,000 events without a field
MAX_NAME_LENGTH = 100  # characters of a name in a pointer, which the client may choose at any length
MAX_PARSER_MESSAGE = 200  # characters of the parser's message, which may quote a name
SLICE = 1_000  # events validated at once: errors need far more memory than events
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
MESSAGES = {
    "missing": "is required",
    "extra_forbidden": f"is not a field of a sale event; the fields are {', '.join(FIELDS)}",
    "string_type": "must be text, in quotes",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must not contain the character NUL",
    "literal_error": f"must be null or one of {', '.join(Category.values)}",
    "dict_type": "must be an object with the fields of a sale event",
}

EventError = dict[str, str | int]  # {"pointer": a JSON pointer from the event's root, "detail": the message}


@dataclass(frozen=True)
class NotJSON:
    """A placeholder for a value whose text is not valid JSON. `reason` continues a sentence: "This text …"."""

    reason: str


def reject_early(thing: str, max_fields: int) -> BeforeValidator:
    """Reject what must not be validated field by field, so that an object with many fields is one error."""

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > max_fields:
            raise PydanticCustomError(
                "fields",
                "must have only the fields of {thing}; it has {number} fields",
                {"thing": thing, "number": len(value)},
            )
        if isinstance(value, NotJSON):
            raise PydanticCustomError("json", "{reason}", {"reason": value.reason})
        return value

    return BeforeValidator(check)


LimitedEvent = Annotated[SaleEvent, reject_early("a sale event", MAX_FIELDS)]
EVENT: TypeAdapter[SaleEvent] = TypeAdapter(LimitedEvent)
EVENTS: TypeAdapter[list[SaleEvent]] = TypeAdapter(list[LimitedEvent])


@dataclass
class ValidationResult:
    """The valid events of a batch, and the errors of the other values."""

    events: list[SaleEvent] = field(default_factory=list)
    errors: dict[int, list[EventError]] = field(default_factory=dict)  # by index among the values
    error_count: int = 0  # of all errors, including those that `errors` does not list


def validate_event(value: Any) -> SaleEvent | list[EventError]:
    """Validate a parsed JSON value. Return the event, or its errors."""
    try:
        return EVENT.validate_python(value)
    except ValidationError as error:
        return [event_error(details) for details in error.errors(include_url=False, include_input=False)]


def validate_events(values: Sequence[Any], *, count_only: bool = False) -> ValidationResult:
    """Validate parsed JSON values.

    After MAX_LISTED_ERRORS errors, list only the first error of each invalid event. With `count_only`, list none by
    then and only count the errors, which takes a tenth of the time; the events are incomplete then too.
    """
    result = ValidationResult()
    for start in range(0, len(values), SLICE):
        part = values[start : start + SLICE]
        try:
            result.events.extend(EVENTS.validate_python(part))
        except ValidationError as error:
            if count_only and result.error_count >= MAX_LISTED_ERRORS:
                result.error_count += error.error_count()
            else:
                _add_mixed(result, start, part, error)
    return result


def _add_mixed(result: ValidationResult, start: int, part: Sequence[Any], error: ValidationError) -> None:
    """Add a slice that has valid and invalid events; `start` is its index among all values."""
    for details in error.errors(include_url=False, include_input=False):
        number, *location = details["loc"]
        listed = result.errors.setdefault(start + int(number), [])
        if not listed or result.error_count < MAX_LISTED_ERRORS:
            listed.append(event_error(details, location))
        result.error_count += 1
    valid = (value for index, value in enumerate(part, start) if index not in result.errors)
    result.events.extend(EVENT.validate_python(value) for value in valid)


def stored_sale(sale_id: int, event: SaleEvent) -> dict[str, Any]:
    """Return the response to a single event: the sale's id and all its fields."""
    return {"ID": sale_id, **{name: event.get(name) for name in FIELDS}}


def parse_json(text: bytes) -> Any:
    """Parse JSON in UTF-8, with every number that has a decimal point as a Decimal.

    Raises ValueError with a message for API clients.
    """
    try:
        return jiter.from_json(text, float_mode="decimal", allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        reason = "number out of range" if "Internal error" in str(error) else shorten(str(error), MAX_PARSER_MESSAGE)
        raise ValueError(f"is not valid JSON in UTF-8: {reason}") from None


def event_error(
    details: ErrorDetails, location: Iterable[int | str] | None = None, messages: Mapping[str, str] = MESSAGES
) -> EventError:
    """Convert an error of pydantic; `location` replaces the one in `details`, which may start with a list index."""
    message = messages.get(details["type"])
    return {
        "pointer": json_pointer(details["loc"] if location is None else location),
        "detail": message.format(**details.get("ctx", {})) if message else details["msg"],
    }


def json_pointer(location: Iterable[int | str]) -> str:
    """Return the JSON pointer (RFC 6901) of a location: (3, "CATEGORY") is /3/CATEGORY. Long names are shortened."""
    names = (shorten(str(part), MAX_NAME_LENGTH) for part in location)
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def shorten(text: str, length: int) -> str:
    """Return at most `length` characters of a text; an ellipsis stands for its end."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
