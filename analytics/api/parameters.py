"""What may be asked of a report by query parameters: its own parameters, a format, and how many rows."""

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
# Of formats that are accepted equally, the first is taken.
PREFERRED = ("json", "csv", "ndjson", "markdown", "xlsx", "parquet", "table")


@dataclass(frozen=True)
class ReportQuery:
    """Which report is asked for with which parameters, in which format, and at most how many of its rows."""

    report: ReportDefinition
    given: BoundParameters
    format: Format
    limit: int


def parse_report_query(report: ReportDefinition, parameters: Mapping[str, list[str]], accept: str) -> ReportQuery:
    """Query parameters (name -> all its values) and the header Accept -> the question; `format` goes before Accept.

    Raises InvalidInput, which names every bad parameter, and NotAcceptable.
    """
    first = {name: texts[0] for name, texts in parameters.items()}
    known = {name: text for name, text in first.items() if name in report.parameters}
    errors: dict[str, str] = {}
    try:
        given = report.parse(known)
    except InvalidParametersError as error:
        errors |= error.errors
    if not re.fullmatch("[0-9]{1,7}", limit := first.get("limit", str(DEFAULT_LIMIT))) or int(limit) not in LIMIT:
        errors["limit"] = f"must be a whole number from {LIMIT[0]} to {LIMIT[-1]}"
    if first.get("format", "json") not in FORMATS:
        errors["format"] = f"must be one of {', '.join(FORMATS)}"
    names = [*report.parameters, "format", "limit"]
    errors |= {name: f"is not known here; there are {', '.join(names)}" for name in first if name not in names}
    errors |= {name: "must be given once" for name, texts in parameters.items() if len(texts) > 1}
    if errors:
        details = [{"parameter": name, "detail": detail} for name, detail in errors.items()]
        raise InvalidInput(details, "The query parameters make no sense; see errors. Nothing was run.")
    chosen = FORMATS[first["format"]] if "format" in first else accepted_format(accept)
    return ReportQuery(report, given, chosen, int(limit))


def accepted_format(accept: str) -> Format:
    """The format that the header Accept likes best (RFC 9110, 12.5.1); empty, it takes any. Raises NotAcceptable."""
    ranges = [MediaType(text) for text in accept.split(",") if text.strip()]
    best = max((FORMATS[name] for name in PREFERRED), key=lambda each: _quality(each, ranges))
    if ranges and not _quality(best, ranges):
        raise NotAcceptable(f"The formats of a report are {', '.join(_media_type(each) for each in FORMATS.values())}.")
    return best


def _quality(wanted: Format, ranges: list[MediaType]) -> float:
    """How well the most precise of the ranges that take this format likes it; 0 is not at all."""
    taking = [each for each in ranges if each.match(_media_type(wanted))]
    return max(taking, key=lambda each: (each.specificity, each.quality)).quality if taking else 0


def _media_type(wanted: Format) -> str:
    """Without the charset, of which all have the same."""
    return wanted.media_type.partition(";")[0]
