"""The query parameters of GET /reports/{name}: the report's own, a format, and a limit of rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from analytics.definitions.parameters import BoundParameters, InvalidParametersError
from analytics.definitions.reports import ReportDefinition
from analytics.output.formats import FORMATS, Format
from salesengine.http.errors import InvalidInput
from salesengine.http.negotiation import preferred_media_type

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
    """Return the format that the header Accept prefers. Raises NotAcceptable."""
    formats = {media_type(FORMATS[name]): FORMATS[name] for name in PREFERRED}
    return formats[preferred_media_type(list(formats), accept)]


def media_type(candidate: Format) -> str:
    """Return the media type without its charset."""
    return candidate.media_type.partition(";")[0]
