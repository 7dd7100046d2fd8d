"""The OpenAPI description of reports. Each report gets a path of its own, made from its file at each request."""

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from analytics.api.parameters import DEFAULT_LIMIT, LIMIT, PREFERRED, media_type
from analytics.definitions.parameters import Parameter, Value
from analytics.definitions.relative_days import PHRASES
from analytics.definitions.reports import ReportDefinition, load_reports
from analytics.output.formats import FORMATS
from countries.models import MAX_ID_LENGTH
from sales.ingest.fields import NOT_NUL
from salesengine.http import problem_types as types
from salesengine.http.openapi import TEXT, object_schema, problem_responses
from salesengine.plurals import counted

ANY_REPORT = "/reports/{name}"
DAY_TEXT = f"a date, such as 2021-01-31, or a relative day: {PHRASES}"
SCHEMAS: dict[str, dict[str, Any]] = {
    "date": TEXT | {"description": DAY_TEXT},
    "datetime": TEXT | {"description": f"a date and time (ISO 8601), in UTC if it has no time zone; or {DAY_TEXT}"},
    "integer": {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1},
    "decimal": {"type": "number"},
    "text": TEXT | {"pattern": NOT_NUL},
    "choice": TEXT,
    "category": TEXT,
    "country": TEXT | {"pattern": NOT_NUL, "maxLength": MAX_ID_LENGTH, "description": "a country id"},
    "boolean": {"type": "boolean"},
}
PARAMETER_SCHEMA = object_schema(
    {
        "name": TEXT,
        "type": TEXT | {"enum": list(SCHEMAS)},
        "default": {"type": ["string", "null"], "description": "the value of a missing parameter"},
        "required": {"type": "boolean"},
        "help": TEXT,
        "choices": {"type": "array", "items": TEXT, "description": "the allowed values; empty if any value is allowed"},
        "minimum": {"type": ["number", "null"]},
        "maximum": {"type": ["number", "null"]},
    }
)
REPORT_SCHEMA = object_schema(
    {
        "name": TEXT,
        "title": TEXT,
        "description": TEXT,
        "topic": TEXT,
        "address": TEXT | {"format": "uri", "description": "the URL that runs the report"},
        "timeout": {"type": "number", "description": "the maximum duration of a run, in seconds"},
        "parameters": {"type": "array", "items": PARAMETER_SCHEMA},
    }
)
REPORTS_EXAMPLE = [
    {
        "name": "daily_sales",
        "title": "Sales by day",
        "description": "The number of sales paid on each day (UTC).",
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
    """Describe a header of the responses with these statuses, or with 200."""
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, response=[*statuses] or [200], description=description
    )


HEADERS = [
    _header("Report-Rows", {"type": "integer", "minimum": 0}, "the number of rows"),
    _header("Report-Row-Limit", {"type": "integer", "minimum": LIMIT[0]}, "the maximum number of rows, from `limit`"),
    _header("Report-Truncated", TEXT | {"enum": ["true", "false"]}, "whether there are more rows than the limit"),
    _header(
        "Report-Warnings",
        str,
        "the messages of failed assertions of severity warn, and which sales are archived and not counted; "
        "percent-encoded except for printable ASCII, cut if long",
    ),
    _header("ETag", str, "for If-None-Match; only for reports whose file declares `depends_on`", 200, 304),
    _header("Content-Disposition", str, "the file name for csv, xlsx and parquet"),
]

reports = extend_schema(
    operation_id="reports_list",
    summary="List the reports",
    description=(
        "The reports that the caller may run: their descriptions, URLs and parameters. A new report file appears "
        "immediately. "
        "An API key needs the scope `reports`."
    ),
    responses={200: {"type": "array", "items": REPORT_SCHEMA}, **problem_responses(types.INVALID_REQUEST)},
    examples=[OpenApiExample("One report", REPORTS_EXAMPLE, response_only=True, status_codes=["200"])],
)

report = extend_schema(
    operation_id="report",
    description=(
        "The response is complete, or it is an error. Report-Truncated is true if there are more rows than `limit`. "
        "Numbers are exact in csv, json, ndjson, markdown and table. Send the ETag of an earlier response in "
        "If-None-Match to get 304 if the rows have not changed. Staff without the permission to download reports get "
        "one page of json. An API key needs the scope `reports`."
    ),
    parameters=[
        OpenApiParameter(
            "format", str, enum=list(FORMATS), description="overrides the header Accept; the default is json"
        ),
        OpenApiParameter(
            "limit",
            {"type": "integer", "minimum": LIMIT[0], "maximum": LIMIT[-1], "default": DEFAULT_LIMIT},
            description="the maximum number of rows",
        ),
        OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="the ETag of an earlier response"),
        *HEADERS,
    ],
    responses={
        **{
            (200, media_type(FORMATS[name])): OpenApiResponse(ROWS_SCHEMAS.get(name, TEXT), "The rows.")
            for name in PREFERRED
        },
        304: OpenApiResponse(description="The rows have not changed since that ETag. The report did not run."),
        **problem_responses(
            types.INVALID_REQUEST,
            types.NOT_FOUND,
            types.REPORT_CHECK_FAILED,
            types.REPORT_FAILED,
            types.SERVICE_BUSY,
            types.TOOK_TOO_LONG,
            types.RUN_CANCELLED,
        ),
    },
)


class DocumentGenerator(SchemaGenerator):
    """Describe the endpoints once per process. Describe the reports again each time, each with a path of its own."""

    def get_schema(self, request: Any = None, public: bool = False) -> dict[str, Any]:
        endpoints = _endpoints()
        paths = dict(endpoints["paths"])
        common = paths.pop(ANY_REPORT)["get"]
        for report in load_reports():
            paths[ANY_REPORT.format(name=report.name)] = {"get": _operation(report, common)}
        return endpoints | {"paths": paths}


@cache
def _endpoints() -> dict[str, Any]:
    document: dict[str, Any] = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return document


def _operation(report: ReportDefinition, common: dict[str, Any]) -> dict[str, Any]:
    shared = [parameter for parameter in common["parameters"] if parameter["in"] != "path"]
    description = [
        report.description,
        f"\n\nA run may take at most {counted(report.timeout, 'second')}. ",
        common["description"],
    ]
    description += [f" This report also needs the scope `{scope}`." for scope in report.header.requires]
    return common | {
        "operationId": f"report_{report.name}",
        "summary": report.title,
        "description": "".join(description),
        "parameters": [*_parameters(report), *shared],
    }


def _parameters(report: ReportDefinition) -> Iterator[dict[str, Any]]:
    for name, parameter in report.parameters.items():
        schema = _schema(parameter)
        description = [(parameter.help or parameter.label).rstrip("."), schema.pop("description", "")]
        if not parameter.required:
            description.append("empty: no value")
            if parameter.allowed:
                schema["enum"] = ["", *parameter.allowed]
        yield {
            "in": "query",
            "name": name,
            "description": "; ".join(filter(None, description)),
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
