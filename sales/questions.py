"""What may be asked by query parameters: the questions that feedback answers, and how a batch is taken."""

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError

from sales.models import Category
from sales.schemas import parse_moment
from salesengine.errors import InvalidInput

DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Parser = Callable[[str], Any]  # raises ValueError or PydanticCustomError, in plain words


@dataclass(frozen=True)
class FeedbackQuestion:
    """Which sales count: of one category or of all, paid from `start` on and before `stop` (None: no limit), UTC."""

    category: str | None = None
    start: datetime.datetime | None = None
    stop: datetime.datetime | None = None


def parse_feedback_question(parameters: Mapping[str, list[str]]) -> FeedbackQuestion:
    """Query parameters (name -> all its values) -> the question. Both dates are included; a bare end date wholly.

    Raises InvalidInput, which names every bad parameter and says what would do.
    """
    values = _parse(parameters, FEEDBACK_PARAMETERS)
    return FeedbackQuestion(values.get("category"), values.get("start_date"), values.get("end_date"))


@dataclass(frozen=True)
class IngestOptions:
    """How a batch is taken: `skip` takes the good events and keeps the bad ones apart, instead of all or nothing."""

    skip: bool = False
    dry_run: bool = False


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


FEEDBACK_PARAMETERS: dict[str, Parser] = {
    "category": parse_category,
    "start_date": parse_moment,
    "end_date": parse_end,
}
INGEST_PARAMETERS: dict[str, Parser] = {
    "on_error": one_of({"stop": False, "skip": True}),
    "dry_run": one_of({"true": True, "false": False}),
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
        raise ValueError(f"is not known here; there are {', '.join(parsers)}")
    if len(texts) != 1:
        raise ValueError("must be given once")
    return parsers[name](texts[0])
