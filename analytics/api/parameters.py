"""The query parameters of GET /reports/{name}: the report's own, a format, and a limit of rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from django.http.request import MediaType
from rest_framework.exceptions import NotAcceptable

from analytics.definitions.parameters import BoundParameters, InvalidParametersError
from analytics.definitions.reports import ReportDefinition
from analytics.output.formats import FORMATS, Format
from salesengine.http.errors import InvalidInput

LIMIT = range(1, 1_000_001)  # rows
DEFAULT_LIMIT = 10_000
# The first one wins among formats that Accept rates the same.
PREFERRED = ("json", "csv", "ndjson", "markdown", "xlsx", "parquet", "table")


@dataclass(frozen=True)
class ReportQuery:
    """A report with its parameters, a format, and the maximum number of rows."""

    report: ReportDefinition
    bound: BoundParameters
    format: Format
    limit: int


def parse_report_query(report: ReportDefinition, parameters: Mapping[str, list[str]], accept: str) -> ReportQuery:
    """Parse query parameters (name -> all its values) and the header Accept. `format` overrides Accept.

    Raises InvalidInput, which names every invalid parameter, and NotAcceptable.
    """
    first = {name: texts[0] for name, texts in parameters.items()}
    errors: dict[str, str] = {}
    try:
        bound = report.parse({name: text for name, text in first.items() if name in report.parameters})
    except InvalidParametersError as error:
        errors |= error.errors
    if not re.fullmatch("[0-9]{1,7}", limit := first.get("limit", str(DEFAULT_LIMIT))) or int(limit) not in LIMIT:
        errors["limit"] = f"must be a whole number from {LIMIT[0]} to {LIMIT[-1]}"
    if first.get("format", "json") not in FORMATS:
        errors["format"] = f"must be one of {', '.join(FORMATS)}"
    names = [*report.parameters, "format", "limit"]
    unknown = f"is not a parameter of this report; its parameters are {', '.join(names)}"
    errors |= dict.fromkeys(first.keys() - {*names}, unknown)
    errors |= {name: "must be given once" for name, texts in parameters.items() if len(texts) > 1}
    if errors:
        details = [{"parameter": name, "detail": detail} for name, detail in errors.items()]
        raise InvalidInput(details, "Some query parameters are invalid; see errors. The report did not run.")
    chosen = FORMATS[first["format"]] if "format" in first else accepted_format(accept)
    return ReportQuery(report, bound, chosen, int(limit))


def accepted_format(accept: str) -> Format:
    """Return the format that the header Accept prefers (RFC 9110, 12.5.1). Raises NotAcceptable.

    An empty header accepts every format.
    """
    ranges = [MediaType(text) for text in accept.split(",") if text.strip()]
    best = max((FORMATS[name] for name in PREFERRED), key=lambda candidate: _quality(candidate, ranges))
    if ranges and not _quality(best, ranges):
        media_types = ", ".join(map(media_type, FORMATS.values()))
        raise NotAcceptable(f"A report has these formats: {media_types}.")
    return best


def _quality(candidate: Format, ranges: list[MediaType]) -> float:
    """Return the quality of the most specific range that matches the format. 0 means that it is not acceptable."""
    matching = [media_range for media_range in ranges if media_range.match(media_type(candidate))]
    most_specific = max(matching, key=lambda media_range: (media_range.specificity, media_range.quality), default=None)
    return most_specific.quality if most_specific else 0


def media_type(candidate: Format) -> str:
    """Return the media type without its charset."""
    return candidate.media_type.partition(";")[0]
