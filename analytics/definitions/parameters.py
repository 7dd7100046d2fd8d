"""The parameters of reports: their types, their rules, and parsing from text, the same for every channel."""

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from analytics.definitions.relative_days import PHRASES, parse_relative_day
from countries.models import MAX_ID_LENGTH
from sales.categories import Category
from sales.ingest.fields import DECIMAL_TEXT, parse_timestamp

RESERVED = {"format", "limit", "sort", "page", "run"}  # query parameters that the admin and the API use themselves
BIGINT = range(-(2**63), 2**63)

Value = str | int | Decimal | bool | datetime.date | datetime.datetime | None


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise PydanticCustomError("reserved", "{name} is a reserved name", {"name": name})
    return name


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63), AfterValidator(_not_reserved)]


class InvalidParametersError(ValueError):
    """Some parameters are invalid. `errors` maps the name of each to a message that follows the name."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("\n".join(f"{name} {error}" for name, error in errors.items()))
        self.errors = errors


class Parameter(BaseModel):
    """One parameter, as the report's header declares it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["date", "datetime", "integer", "decimal", "text", "choice", "category", "country", "boolean"]
    default: Any = None
    required: bool = False
    label: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()
    minimum: int | Decimal | None = None
    maximum: int | Decimal | None = None

    @model_validator(mode="after")
    def check(self) -> Self:
        if (self.type == "choice") != bool(self.choices):
            raise PydanticCustomError("choices", "the type choice needs choices; other types have none")
        if self.type not in ("integer", "decimal") and (self.minimum is not None or self.maximum is not None):
            raise PydanticCustomError("limits", "only the types integer and decimal have minimum and maximum")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise PydanticCustomError("limits", "the minimum is larger than the maximum")
        if any("\0" in choice for choice in self.choices):
            raise PydanticCustomError("choices", "a choice must not contain the character NUL")
        if isinstance(self.default, list | dict):
            raise PydanticCustomError("default", "the default must be one value")
        if self.default is not None:
            try:
                self.parse(self.default_text)
            except ValueError as error:
                raise PydanticCustomError("default", "the default {error}", {"error": str(error)}) from None
        return self

    @property
    def sql_type(self) -> str:
        return TYPES[self.type][0]

    @property
    def allowed(self) -> list[str]:
        """The allowed texts of a choice or category; empty for other types."""
        return list(Category.values if self.type == "category" else self.choices)

    @property
    def default_text(self) -> str:
        """The default as text, such as "first day of last month". Empty without a default."""
        return "" if self.default is None else to_text(self.default)

    def parse(self, text: str) -> Value:
        """Return the value of a text. Raises ValueError with a message that follows the parameter's name."""
        if "\0" in text:
            raise ValueError("must not contain the character NUL")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("must be valid UTF-8 text")
        if self.allowed and text not in self.allowed:
            raise ValueError(f"must be one of {', '.join(self.allowed)}")
        value = TYPES[self.type][1](text)
        if self.minimum is not None and value < self.minimum:  # type: ignore[operator]  # a number
            raise ValueError(f"must be at least {self.minimum}")
        if self.maximum is not None and value > self.maximum:  # type: ignore[operator]
            raise ValueError(f"must be at most {self.maximum}")
        return value


@dataclass(frozen=True)
class BoundParameters:
    """The value of each parameter of the report, for one run."""

    values: Mapping[str, Value]

    @property
    def texts(self) -> dict[str, str]:
        """The values as texts that parse to the same values."""
        return {name: to_text(value) for name, value in self.values.items()}


def parse_parameters(parameters: Mapping[str, Parameter], texts: Mapping[str, str]) -> BoundParameters:
    """Parse texts (name -> text). A missing parameter gets its default; an empty text means no value (null).

    The time in `end` must not be before the time in `start`: every row would be missing, without an error.

    Raises InvalidParametersError, which names every invalid parameter.
    """
    known = f"its parameters are {', '.join(parameters)}" if parameters else "it has no parameters"
    errors = {name: f"is not a parameter of this report; {known}" for name in texts if name not in parameters}
    values: dict[str, Value] = {}
    for name, parameter in parameters.items():
        text = texts.get(name, parameter.default_text)
        try:
            values[name] = parameter.parse(text) if text else None
        except ValueError as error:
            errors[name] = str(error)
        if not text and parameter.required:
            errors[name] = "is required"
    start, end = values.get("start"), values.get("end")
    if isinstance(start, datetime.date) and type(start) is type(end) and start > end:
        errors["end"] = f"is before the start of the period, {to_text(start)}"
    if errors:
        raise InvalidParametersError(errors)
    return BoundParameters(values)


def to_text(value: Value) -> str:
    """Return the text that parses to this value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _parse_date(text: str) -> datetime.date:
    if day := parse_relative_day(text):
        return day
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be a date, such as 2021-01-31, or a relative day: {PHRASES}") from None


def _parse_datetime(text: str) -> datetime.datetime:
    if day := parse_relative_day(text):
        return datetime.datetime.combine(day, datetime.time.min, datetime.UTC)
    try:
        return parse_timestamp(text)
    except PydanticCustomError as error:
        raise ValueError(f"{error.message()}; or a relative day: {PHRASES}") from None


def _parse_integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text) or int(text) not in BIGINT:
        raise ValueError("must be a whole number, such as 12")
    return int(text)


def _parse_decimal(text: str) -> Decimal:
    if not DECIMAL_TEXT.fullmatch(text):
        raise ValueError("must be a number, such as 57.25")
    return Decimal(text)


def _parse_country(text: str) -> str:
    if len(text) > MAX_ID_LENGTH:
        raise ValueError(f"must be a country id of at most {MAX_ID_LENGTH} characters")
    return text


def _parse_boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


TYPES: dict[str, tuple[str, Callable[[str], Value]]] = {  # the SQL type and the parser of each type
    "date": ("date", _parse_date),
    "datetime": ("timestamptz", _parse_datetime),
    "integer": ("bigint", _parse_integer),
    "decimal": ("numeric", _parse_decimal),
    "text": ("text", str),
    "choice": ("text", str),
    "category": ("text", str),
    "country": ("text", _parse_country),
    "boolean": ("boolean", _parse_boolean),
}
