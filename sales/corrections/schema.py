"""Validate corrections: which sale is wrong, why, and what is right."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from django.db.models import BigIntegerField
from pydantic import AfterValidator, BeforeValidator, ConfigDict, StringConstraints, TypeAdapter, with_config
from pydantic_core import ErrorDetails, PydanticCustomError, ValidationError
from typing_extensions import TypedDict

from sales.ingest.batches import Batch
from sales.ingest.fields import FIELDS, NOT_NUL, Identifier
from sales.ingest.schema import (
    MAX_LISTED_ERRORS,
    MESSAGES,
    SLICE,
    EventError,
    LimitedEvent,
    event_error,
    reject_early,
)
from salesengine.http.errors import InvalidEvents
from salesengine.plurals import counted

REASON_LENGTH = 256  # characters
MAX_ID = BigIntegerField.MAX_BIGINT
# The columns of a file, and the members of a correction. The columns of a sale event follow, for a replacement.
PARTS = {"ID": "ID", "EVENT_ID": "EVENT_ID", "ACTION": "action", "REASON": "reason", "SALE": "sale"}
COLUMNS = (*PARTS, *(name for name in FIELDS if name not in PARTS))
REQUIRED_COLUMNS = {"ACTION", "REASON"}


def parse_id(value: object) -> int:
    """Return the id of a sale, which a file may hold as text. Raises PydanticCustomError."""
    if isinstance(value, str) and re.fullmatch("[0-9]{1,19}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_ID:
        raise PydanticCustomError("sale_id", "must be the ID of a sale, such as 50001")
    return value


@with_config(ConfigDict(extra="forbid"))
class CorrectionMembers(TypedDict):
    """One correction, as clients send it. `sale` is the whole sale that takes the place of the wrong one."""

    ID: NotRequired[Annotated[int, BeforeValidator(parse_id)] | None]
    EVENT_ID: NotRequired[Identifier | None]
    action: Literal["void", "replace"]
    reason: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=REASON_LENGTH, pattern=NOT_NUL)
    ]
    sale: NotRequired[LimitedEvent | None]


def _check_members(correction: CorrectionMembers) -> CorrectionMembers:
    if (correction.get("ID") is None) == (correction.get("EVENT_ID") is None):
        raise PydanticCustomError("which", "must have the ID or the EVENT_ID of a sale, and not both")
    if (correction["action"] == "replace") == (correction.get("sale") is None):
        raise PydanticCustomError("sale", "must have a sale if the action is replace, and otherwise none")
    return correction


MEMBERS = tuple(CorrectionMembers.__annotations__)
OWN_MESSAGES = MESSAGES | {
    "extra_forbidden": f"is not a member of a correction; the members are {', '.join(MEMBERS)}",
    "literal_error": "must be void or replace",
    "dict_type": "must be an object with the members of a correction",
}
Correction = Annotated[
    CorrectionMembers, reject_early("a correction", 2 * len(MEMBERS)), AfterValidator(_check_members)
]
CORRECTIONS: TypeAdapter[list[CorrectionMembers]] = TypeAdapter(list[Correction])


def read_corrections(batch: Batch) -> list[CorrectionMembers]:
    """Return the values of a batch as corrections. Raises InvalidEvents, which lists up to MAX_LISTED_ERRORS errors."""
    corrections: list[CorrectionMembers] = []
    errors: dict[int, list[EventError]] = {}
    count = 0
    for start in range(0, len(batch.values), SLICE):
        try:
            corrections += CORRECTIONS.validate_python(batch.values[start : start + SLICE])
        except ValidationError as error:
            if count < MAX_LISTED_ERRORS:
                for details in error.errors(include_url=False, include_input=False):
                    index, *location = details["loc"]
                    errors.setdefault(start + int(index), []).append(_correction_error(details, location))
            count += error.error_count()
    if errors:
        found = f"Found {counted(count, 'error')} in {counted(len(batch.values), 'correction')}. Nothing was changed."
        raise InvalidEvents(batch.locate_errors(errors), found, count)
    return corrections


def _correction_error(details: ErrorDetails, location: list[int | str]) -> EventError:
    is_in_sale = location[:1] == ["sale"]
    return event_error(details, location, MESSAGES if is_in_sale else OWN_MESSAGES)


def from_row(row: Any) -> Any:
    """Return the correction in a row of a file, whose columns are COLUMNS. Other values are returned unchanged.

    If the row has an ID, its EVENT_ID is that of the replacement. The columns of the sale are read only to replace it.
    """
    if not isinstance(row, Mapping):
        return row
    correction = {PARTS.get(name, name): value for name, value in row.items() if value not in (None, "")}
    names = [name for name in FIELDS if name in correction and (name != "EVENT_ID" or "ID" in correction)]
    sale = {name: correction.pop(name) for name in names}
    return correction | {"sale": sale} if sale and correction.get("action") == "replace" else correction
