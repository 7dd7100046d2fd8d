"""What /docs says of the reports: an address for each, made from its file when the document is asked for."""

from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from analytics.api.parameters import DEFAULT_LIMIT, LIMIT, PREFERRED
from analytics.definitions.parameters import Parameter, Value
from analytics.definitions.relative_days import PHRASES
from analytics.definitions.reports import ReportDefinition, load_reports
from analytics.output.formats import FORMATS
from sales.ingest.schema import NOT_NUL
from salesengine.http import problem_types as types
from salesengine.http.openapi import problems

ANY_REPORT = "/reports/{name}"
TEXT = {"type": "string"}
DAY = f"a day, such as 2021-01-31, or one told from today: {PHRASES}"
SCHEMAS: dict[str, dict[str, Any]] = {
    "date": TEXT | {"description": DAY},
    "datetime": TEXT | {"description": f"a date and time (ISO 8601), UTC if it names no zone; or {DAY}"},
    "integer": {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1},
    "decimal": {"type": "number"},
    "text": TEXT | {"pattern": NOT_NUL},
    "choice": TEXT,
    "category": TEXT,
    "country": TEXT | {"pattern": NOT_NUL, "maxLength": 64, "description": "the id of a country"},
    "boolean": {"type": "boolean"},
}

PARAMETER_SCHEMA = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "type": TEXT | {"enum": list(SCHEMAS)},
        "default": {"type": ["string", "null"], "description": "what counts if it is left out, as it would be given"},
        "required": {"type": "boolean"},
        "help": TEXT,
        "choices": {"type": "array", "items": TEXT, "description": "the only values; empty: others do, too"},
        "minimum": {"type": ["number", "null"]},
        "maximum": {"type": ["number", "null"]},
    },
    "required": ["name", "type", "default", "required", "help", "choices", "minimum", "maximum"],
}
REPORT_SCHEMA = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "title": TEXT,
        "description": TEXT,
        "topic": TEXT,
        "address": TEXT | {"format": "uri", "description": "where the report is run"},
        "timeout": {"type": "number", "description": "how long a run may take, in seconds"},
        "parameters": {"type": "array", "items": PARAMETER_SCHEMA},
    },
    "required": ["name", "title", "description", "topic", "address", "timeout", "parameters"],
}
REPORTS_EXAMPLE = [
    {
        "name": "daily_sales",
        "title": "Sales of each day",
        "description": "How many sales were paid on each day, UTC.",
        "topic": "Sales",
        "address": "http://127.0.0.1:8000/reports/daily_sales",
        "timeout": 60.0,
        "parameters": [
            {
                "name": "start",
                "type": "date",
                "default": "first day of last month",
                "required": False,
                "help": "the first day",
                "choices": [],
                "minimum": None,
                "maximum": None,
            }
        ],
    }
]
ROWS_SCHEMAS: dict[str, dict[str, Any]] = {
    "json": {"type": "array", "items": {"type": "object", "description": "a row: the value of each column"}},
    "xlsx": TEXT | {"format": "binary"},
    "parquet": TEXT | {"format": "binary"},
}


def _header(name: str, schema: Any, description: str, *statuses: int) -> OpenApiParameter:
    """A header of the answers with these statuses."""
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, response=[*statuses] or [200], description=description
    )


HEADERS = [
    _header("Report-Rows", {"type": "integer", "minimum": 0}, "how many rows these are"),
    _header("Report-Row-Limit", {"type": "integer", "minimum": LIMIT[0]}, "how many they may be: `limit`"),
    _header("Report-Truncated", TEXT | {"enum": ["true", "false"]}, "whether there are more rows than the limit"),
    _header(
        "Report-Warnings",
        str,
        "which checks of the report its result did not pass; percent-encoded where it is not ASCII, and cut if long",
    ),
    _header("ETag", str, "for If-None-Match; not of a report that depends on more than sales and countries", 200, 304),
    _header("Content-Disposition", str, "the name of the file, of csv, xlsx and parquet"),
]

reports = extend_schema(
    operation_id="reports_list",
    summary="List the reports",
    description=(
        "Each report that can be run: what it says, where, and the parameters that it takes. A new file is a report "
        "at once. An API key needs the scope `reports`."
    ),
    responses={200: {"type": "array", "items": REPORT_SCHEMA}, **problems(types.INVALID_REQUEST)},
    examples=[OpenApiExample("One report", REPORTS_EXAMPLE, response_only=True, status_codes=["200"])],
)

report = extend_schema(
    operation_id="report",
    description=(
        "The answer is complete or it is an error. If there are more rows than `limit`, Report-Truncated says so. "
        "Numbers are exact in each format. With the ETag of an earlier answer in If-None-Match, the same rows are not "
        "made again: then it is 304. An API key needs the scope `reports`."
    ),
    parameters=[
        OpenApiParameter(
            "format",
            str,
            enum=list(FORMATS),
            description="goes before the header Accept; without both it is json",
        ),
        OpenApiParameter(
            "limit",
            {"type": "integer", "minimum": LIMIT[0], "maximum": LIMIT[-1], "default": DEFAULT_LIMIT},
            description="the most rows to answer with",
        ),
        OpenApiParameter(
            "If-None-Match", str, OpenApiParameter.HEADER, description="the ETag of an answer that is known"
        ),
        *HEADERS,
    ],
    responses={
        **{
            (200, FORMATS[name].media_type.partition(";")[0]): OpenApiResponse(
                ROWS_SCHEMAS.get(name, TEXT), "The rows."
            )
            for name in PREFERRED
        },
        304: OpenApiResponse(description="The rows are those of the ETag in If-None-Match; nothing was run."),
        **problems(
            types.INVALID_REQUEST,
            types.NOT_FOUND,
            types.REPORT_CHECK_FAILED,
            types.REPORT_FAILED,
            types.TOOK_TOO_LONG,
            types.RUN_CANCELLED,
        ),
    },
)


def expand_report_paths(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Puts in place of the one address of all reports an address for each, with its own parameters."""
    common = result["paths"].pop(ANY_REPORT)["get"]
    for each in load_reports():
        result["paths"][ANY_REPORT.format(name=each.name)] = {"get": _operation(each, deepcopy(common))}
    return result


def _operation(report: ReportDefinition, common: dict[str, Any]) -> dict[str, Any]:
    others = [parameter for parameter in common["parameters"] if parameter["in"] != "path"]
    return common | {
        "operationId": f"report_{report.name}",
        "summary": report.title,
        "description": f"{report.description}\n\nA run may take {report.timeout:g} seconds. {common['description']}",
        "parameters": [*_parameters(report), *others],
    }


def _parameters(report: ReportDefinition) -> Iterator[dict[str, Any]]:
    for name, parameter in report.parameters.items():
        schema = _schema(parameter)
        words = [(parameter.help or parameter.label).rstrip("."), schema.pop("description", "")]
        if not parameter.required:
            words.append("empty: no value")
            if parameter.allowed:
                schema["enum"] = ["", *parameter.allowed]
        yield {
            "in": "query",
            "name": name,
            "description": "; ".join(filter(None, words)),
            "required": parameter.required and not parameter.default_text,
            "allowEmptyValue": not parameter.required,
            "schema": schema,
        }


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema = dict(SCHEMAS[parameter.type])
    if parameter.allowed:
        schema["enum"] = parameter.allowed
    limits = {"minimum": parameter.minimum, "maximum": parameter.maximum}
    schema |= {name: _as_json(limit) for name, limit in limits.items() if limit is not None}
    if parameter.default is not None:
        is_json = parameter.type in ("integer", "decimal", "boolean")
        schema["default"] = _as_json(parameter.parse(parameter.default_text)) if is_json else parameter.default_text
    return schema


def _as_json(value: Value) -> Any:
    return float(value) if isinstance(value, Decimal) else value
