"""What comes in: the one description of a sale event, and of the questions that feedback answers."""

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired

import jiter
from django.conf import settings
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
from salesengine.errors import ContentTooLarge, InvalidInput

MOMENT = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{1,2})(?P<rest>:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?)"
    r"(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[Ee][+-]?[0-9]{1,4})?")
MAX_FIELDS = 32  # of one event, before it is looked at more closely
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
        WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": NUMBER.pattern}]}),
    ]


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


def refuse_many_fields(value: object) -> object:
    """An object with a great many unknown fields is one mistake, not as many as it has fields."""
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        raise PydanticCustomError(
            "fields", "must have only the fields of a sale event; it has {number} fields", {"number": len(value)}
        )
    return value


LimitedEvent = Annotated[SaleEvent, BeforeValidator(refuse_many_fields)]
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


def parse_events(body: bytes) -> tuple[list[SaleEvent], bool]:
    """JSON text -> the events in it, and whether they came as a list.

    Raises InvalidInput, which names every bad field of every bad event, and ContentTooLarge for too many events.
    """
    sent = _parse_json(body)
    if isinstance(sent, list):
        return _validate_list(sent), True
    try:
        return [EVENT.validate_python(sent)], False
    except ValidationError as error:
        raise InvalidInput(_in_plain_words(error)) from None


def _validate_list(sent: list[Any]) -> list[SaleEvent]:
    if len(sent) > settings.INGEST_MAX_EVENTS:
        raise ContentTooLarge(
            f"A request takes at most {settings.INGEST_MAX_EVENTS:,} events, and this one has {len(sent):,}; "
            "send them in several requests. Nothing was stored."
        )
    events: list[SaleEvent] = []
    errors: list[dict[str, str]] = []
    error_count = 0
    for start in range(0, len(sent), SLICE):
        try:
            events += EVENTS.validate_python(sent[start : start + SLICE])
        except ValidationError as error:
            error_count += error.error_count()
            if len(errors) < MAX_LISTED_ERRORS:
                errors += _in_plain_words(error, first_event=start)
    if error_count:
        mistakes = f"{error_count:,} mistake{'' if error_count == 1 else 's'}"
        detail = f"There {'is' if error_count == 1 else 'are'} {mistakes} in {len(sent):,} events; nothing was stored."
        raise InvalidInput(errors[:MAX_LISTED_ERRORS], detail, error_count)
    return events


def stored_sale(new_id: int, event: SaleEvent) -> dict[str, Any]:
    """The answer to a single event: what is stored, in the event's own names, and its id."""
    return {"ID": new_id, **{name: event.get(name) for name in SaleEvent.__annotations__}}


def _parse_json(body: bytes) -> Any:
    try:
        return jiter.from_json(body, float_mode="decimal", allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        if not body.strip():
            raise InvalidInput([], "The body is empty: send one sale event as a JSON object, or a list.") from None
        reason = "number out of range" if "Internal error" in str(error) else str(error)
        raise InvalidInput([], f"The body is not valid JSON in UTF-8: {reason}. Nothing was stored.") from None


def _in_plain_words(error: ValidationError, first_event: int | None = None) -> list[dict[str, str]]:
    """What is wrong where; `first_event` is the place in the whole list of the first event of a list."""
    return [
        {"pointer": json_pointer(_location(details, first_event)), "detail": _explanation(details)}
        for details in error.errors(include_url=False, include_input=False)
    ]


def _location(details: ErrorDetails, first_event: int | None) -> tuple[int | str, ...]:
    if first_event is None:
        return details["loc"]
    number, *field = details["loc"]
    return (first_event + int(number), *field)


def _explanation(details: ErrorDetails) -> str:
    words = PLAIN_WORDS.get(details["type"])
    return words.format(**details.get("ctx", {})) if words else details["msg"]


def json_pointer(location: Iterable[int | str]) -> str:
    """The place of a value in a JSON document, as in RFC 6901: (3, "CATEGORY") is /3/CATEGORY."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


@dataclass(frozen=True)
class FeedbackQuestion:
    """Which sales count: of one category or of all, paid from `start` on and before `stop` (None: no limit), UTC."""

    category: str | None = None
    start: datetime.datetime | None = None
    stop: datetime.datetime | None = None


FEEDBACK_PARAMETERS = ("category", "start_date", "end_date")


def parse_feedback_question(parameters: Mapping[str, list[str]]) -> FeedbackQuestion:
    """Query parameters (name -> all its values) -> the question. Both dates are included; a bare end date wholly.

    Raises InvalidInput, which names every bad parameter and says what would do.
    """
    errors = []
    values: dict[str, Any] = {}
    for name, texts in parameters.items():
        try:
            values[name] = _parse_parameter(name, texts)
        except (ValueError, PydanticCustomError) as error:
            message = error.message() if isinstance(error, PydanticCustomError) else str(error)
            errors.append({"parameter": name, "detail": message})
    question = FeedbackQuestion(values.get("category"), values.get("start_date"), values.get("end_date"))
    if question.start and question.stop and question.start >= question.stop:
        errors.append({"parameter": "end_date", "detail": "must not be before start_date"})
    if errors:
        raise InvalidInput(errors, "The question makes no sense; see errors.")
    return question


def _parse_parameter(name: str, texts: list[str]) -> str | datetime.datetime | None:
    """One parameter's value; for end_date the first moment that is past it (None: past the end of time)."""
    if name not in FEEDBACK_PARAMETERS:
        raise ValueError(f"is not known here; there are {', '.join(FEEDBACK_PARAMETERS)}")
    if len(texts) != 1:
        raise ValueError("must be given once")
    if name == "category":
        if texts[0] not in Category.values:
            raise ValueError(f"must be one of {', '.join(Category.values)}")
        return texts[0]
    moment = parse_moment(texts[0])
    if name == "start_date":
        return moment
    step = datetime.timedelta(days=1) if DATE.fullmatch(texts[0]) else datetime.timedelta.resolution
    try:
        return moment + step
    except OverflowError:
        return None
