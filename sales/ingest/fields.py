"""The table of the sale event's fields: a new field is one line in `SaleEvent`, a model field and a migration."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Annotated, Any, Literal, NotRequired, get_args, get_origin

from django.conf import settings
from django.db import models
from pydantic import AfterValidator, BeforeValidator, ConfigDict, StringConstraints, WithJsonSchema, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from countries.models import MAX_ID_LENGTH
from sales.categories import Category
from sales.models import Sale
from salesengine.plurals import counted

TIMESTAMP = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{1,2})(?P<rest>:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?)"
    r"(?P<zone>[Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?)?"
)
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[Ee][+-]?[0-9]{1,4})?")
DECIMAL_TEXT = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")  # what people may type as a decimal number
NOT_NUL = r"^[^\x00]*$"  # PostgreSQL's text type cannot store NUL
REVENUE_LIMIT = Decimal(10) ** 15
REVENUE_DECIMALS = 20
COLUMN_TYPES: Mapping[type, str] = {str: "text", datetime.datetime: "timestamptz", Decimal: "numeric"}


def parse_timestamp(value: object) -> datetime.datetime:
    """Parse ISO 8601 text into a UTC datetime. Text without a time zone is UTC; a date alone means its midnight.

    Raises PydanticCustomError with a message for API clients.
    """
    match = TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("timestamp", "must be an ISO 8601 date and time, such as 2021-01-07T00:09:24Z")
    date, hour, rest, zone = match.groups()
    try:
        timestamp = datetime.datetime.fromisoformat(f"{date}T{hour or 0:0>2}{rest or ':00'}{(zone or '').upper()}")
        return timestamp.astimezone(datetime.UTC) if timestamp.tzinfo else timestamp.replace(tzinfo=datetime.UTC)
    except ValueError as error:
        raise PydanticCustomError(
            "timestamp", "is not a valid date and time: {reason}", {"reason": str(error)}
        ) from None
    except OverflowError:
        raise PydanticCustomError("timestamp", "must be in the years 1 to 9999 (UTC)") from None


def check_payment_date(paid: datetime.datetime) -> datetime.datetime:
    """Return the time of a payment unchanged.

    Raises PydanticCustomError with a message for API clients when its day in UTC is outside the accepted period.
    """
    first, last = accepted_period()
    if not first <= paid.date() <= last:
        raise PydanticCustomError("payment_date", f"must be in the accepted period: {first} to {last} (UTC)")
    return paid


def accepted_period() -> tuple[datetime.date, datetime.date]:
    """Return the first and the last day in UTC on which a sale may have been paid."""
    last_ordinal = datetime.datetime.now(datetime.UTC).toordinal() + settings.MAX_PAYMENT_DAYS_AHEAD
    last = datetime.date.fromordinal(min(last_ordinal, datetime.date.max.toordinal()))
    return settings.EARLIEST_PAYMENT_DATE, last


def parse_revenue(value: object) -> Decimal:
    """Parse a JSON number, or a number in quotes, without losing a digit.

    Raises PydanticCustomError with a message for API clients.
    """
    if isinstance(value, str):
        if not NUMBER.fullmatch(value):
            raise PydanticCustomError("revenue", "must be a number, such as 57.27456")
        value = Decimal(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    elif not isinstance(value, Decimal):
        raise PydanticCustomError("revenue", "must be a number, such as 57.27456")
    if not -REVENUE_LIMIT < value < REVENUE_LIMIT:
        raise PydanticCustomError("revenue", "must be less than 10^15 and greater than -10^15")
    exponent = int(value.as_tuple().exponent)  # an integer, because the limits exclude NaN and Infinity
    if exponent < -REVENUE_DECIMALS:
        raise PydanticCustomError("revenue", f"must have at most {REVENUE_DECIMALS} decimals")
    if not value:
        value = value.copy_abs()  # PostgreSQL has no negative zero
    return value if exponent <= 0 else value.quantize(Decimal(1)) if value else Decimal(0)  # store 1E+3 as 1000


class Mark(Enum):
    """What other modules must know about a field, besides its type."""

    ID = auto()  # an id: a file may hold it as an integer
    FILTER = auto()  # sales can be filtered by its exact value; the column needs an index


Identifier = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH, pattern=NOT_NUL), Mark.ID]
Text = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=NOT_NUL)]
Timestamp = Annotated[
    datetime.datetime,
    BeforeValidator(parse_timestamp),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^{}$".format(re.sub(r"\?P<\w+>", "?:", TIMESTAMP.pattern)),
            "description": (
                "ISO 8601. Without a time zone it is UTC, and a date alone means its midnight. The day in UTC must be "
                f"from {settings.EARLIEST_PAYMENT_DATE} to "
                f"{counted(settings.MAX_PAYMENT_DAYS_AHEAD, 'day')} after today."
            ),
        }
    ),
]
Revenue = Annotated[
    Decimal,
    BeforeValidator(parse_revenue),
    WithJsonSchema(
        {
            "description": f"a number, or a number as text, with at most {REVENUE_DECIMALS} decimals",
            "anyOf": [
                {"type": "number", "exclusiveMinimum": -int(REVENUE_LIMIT), "exclusiveMaximum": int(REVENUE_LIMIT)},
                {"type": "string", "pattern": f"^{NUMBER.pattern}$"},
            ],
        }
    ),
]


@with_config(ConfigDict(extra="forbid"))
class SaleEvent(TypedDict):
    """One sold item, as clients send it."""

    # The name of each field in lower case is the name of its column in `sales`. Add new fields at the end, so that the
    # digests of stored events stay valid.
    ID_ORDER: Annotated[Identifier, Mark.FILTER]
    ID_PRODUCT: Annotated[Identifier, Mark.FILTER]
    ID_BUYER: Annotated[Identifier, Mark.FILTER]
    ID_SELLER: Annotated[Identifier, Mark.FILTER]
    ID_SELLER_COUNTRY: Annotated[Identifier, Mark.FILTER]
    ID_BUYER_COUNTRY: Annotated[Identifier, Mark.FILTER]
    DATE_PAYMENT: Annotated[Timestamp, AfterValidator(check_payment_date)]
    BRAND: NotRequired[Annotated[Text, Mark.FILTER] | None]
    CATEGORY: NotRequired[Annotated[Literal[tuple(Category.values)], Mark.FILTER] | None]  # type: ignore[valid-type]
    REVENUE: Revenue
    EVENT_ID: NotRequired[Identifier | None]


@dataclass(frozen=True)
class EventField:
    """One field of the sale event, read from its line in `SaleEvent` and from the model."""

    name: str  # in JSON
    python_type: type
    choices: tuple[str, ...]  # empty if every value of the type is valid
    max_length: int  # of text, in characters; 0 for other types
    is_required: bool  # otherwise it may be null or missing
    is_id: bool
    is_filter: bool
    model_field: models.Field[Any, Any]

    @property
    def column(self) -> str:
        """Return the name of the column in `sales`, which is also the name of the query parameter."""
        return self.name.lower()

    @property
    def column_type(self) -> str:
        return COLUMN_TYPES[self.python_type]

    @property
    def lookup(self) -> str:
        """Return the Django lookup of the column's value, across the relation for a country."""
        target = self.model_field.remote_field and self.model_field.remote_field.model._meta.pk.name
        return f"{self.model_field.name}__{target}" if target else self.model_field.name


def _read_field(name: str, annotation: Any) -> EventField:
    if get_origin(annotation) is NotRequired:
        [annotation] = get_args(annotation)
    if type(None) in get_args(annotation):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    base, *metadata = get_args(annotation) if hasattr(annotation, "__metadata__") else (annotation,)
    choices = get_args(base)
    return EventField(
        name,
        str if choices else base,
        choices,
        max((rule.max_length or 0 for rule in metadata if isinstance(rule, StringConstraints)), default=0),
        is_required=name in SaleEvent.__required_keys__,
        is_id=Mark.ID in metadata,
        is_filter=Mark.FILTER in metadata,
        model_field=MODEL_FIELDS[name.lower()],
    )


MODEL_FIELDS = {field.column: field for field in Sale._meta.concrete_fields}
FIELDS = {name: _read_field(name, annotation) for name, annotation in SaleEvent.__annotations__.items()}
FILTERS = {field.column: field for field in FIELDS.values() if field.is_filter}  # by query parameter
