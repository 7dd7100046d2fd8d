"""Describe the sales API for /openapi.json, from the fields of the sale event."""

import json
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from sales.api.parameters import CHANGES_LIMIT, LATEST, LIMIT, WAIT, SalesQuery
from sales.api.reading import MAX_LINES, READ_TIMEOUT
from sales.categories import Category
from sales.changes.feed import ChangesQuery
from sales.ingest.batches import JSON, NDJSON
from sales.ingest.fields import FILTERS, NOT_NUL, EventField
from sales.ingest.idempotency import KEY
from sales.ingest.schema import EVENT, EXAMPLE, MAX_LISTED_ERRORS
from salesengine.http import problem_types as types
from salesengine.http.openapi import TEXT, object_schema, problem_responses

COUNT = {"type": "integer", "minimum": 0}
DATE_TIME = TEXT | {"format": "date-time"}


def _list(items: dict[str, Any], **limits: int) -> dict[str, Any]:
    return {"type": "array", "items": items, **limits}


EVENT_SCHEMA = EVENT.json_schema()
SALE_PROPERTIES = {
    "ID": {"type": "integer"},
    **EVENT_SCHEMA["properties"],
    "DATE_PAYMENT": DATE_TIME,
    "REVENUE": {"type": "number"},
}
STORED_SCHEMA = object_schema(SALE_PROPERTIES)
READ_SCHEMA = object_schema({**SALE_PROPERTIES, "RECEIVED_AT": DATE_TIME})
PAGE_SCHEMA = object_schema({"results": _list(READ_SCHEMA), "next": {"type": ["string", "null"], "format": "uri"}})
ORDER_SCHEMA = object_schema({"id_order": TEXT, "results": _list(READ_SCHEMA, minItems=1)})
CHANGE_PROPERTIES = {
    "position": COUNT | {"minimum": 1, "description": "positions have no gaps and never change"},
    "kind": TEXT | {"enum": ["sale", "void"]},
    **SALE_PROPERTIES,
    "RECEIVED_AT": DATE_TIME,
    "voided_at": DATE_TIME | {"description": "only for a void, as are the next two fields"},
    "reason": TEXT,
    "replaced_by": {"type": ["integer", "null"], "description": "the ID of the sale that is right"},
}
CHANGE_SCHEMA = object_schema(CHANGE_PROPERTIES, "voided_at", "reason", "replaced_by")
ARCHIVED_SCHEMA = object_schema({"position": COUNT, "kind": TEXT | {"enum": ["archived"]}, "ID": {"type": "integer"}})
CHANGES_SCHEMA = object_schema(
    {"results": _list({"oneOf": [CHANGE_SCHEMA, ARCHIVED_SCHEMA]}), "next": COUNT, "has_more": {"type": "boolean"}}
)
REJECTED_SCHEMA = object_schema(
    {
        "index": COUNT | {"description": "the position among the events, from 0"},
        "line": {"type": "integer", "minimum": 1, "description": "the line of newline-delimited JSON"},
        "errors": _list(object_schema({"pointer": TEXT, "detail": TEXT})),
    },
    "line",
)
COUNTS_SCHEMA = object_schema(
    {
        "accepted": COUNT | {"description": "events stored by this request"},
        "duplicate": COUNT | {"description": "events stored before, with the same EVENT_ID and content"},
        "rejected": COUNT | {"description": "events not stored; only with on_error=skip"},
        "errors": _list(REJECTED_SCHEMA)
        | {"description": f"the errors of the first {MAX_LISTED_ERRORS:,} rejected events; only with on_error=skip"},
    },
    "errors",
)
FEEDBACK_SCHEMA = _list(
    object_schema(
        {
            "category": TEXT | {"enum": Category.values},
            "sales_count": {"type": "integer"},
            "total_revenue": {"type": "number"},
        }
    ),
    maxItems=3,
)
PERIOD = [
    OpenApiParameter(
        "start_date", description="only sales paid at or after this time: an ISO 8601 date, or date and time, UTC"
    ),
    OpenApiParameter("end_date", description="only sales paid at or before this time; a date means its whole day"),
]

EVENT_EXAMPLE = {**EXAMPLE, "EVENT_ID": "shop-1-000042"}
STORED_EXAMPLE = {"ID": 50001, **EVENT_EXAMPLE, "DATE_PAYMENT": "2021-01-07T00:09:24Z", "REVENUE": 57.27456}
READ_EXAMPLE = {**STORED_EXAMPLE, "EVENT_ID": None, "RECEIVED_AT": "2021-01-07T00:09:25.130512Z"}
CHANGE_EXAMPLE = {"position": 50001, "kind": "sale", **READ_EXAMPLE}
VOID_EXAMPLE = CHANGE_EXAMPLE | {
    "position": 50002,
    "kind": "void",
    "voided_at": "2021-01-07T09:30:00.5Z",
    "reason": "wrong price",
    "replaced_by": 50002,
}
COUNTS_EXAMPLE = {"accepted": 2, "duplicate": 0, "rejected": 0}
REJECTED_EXAMPLE = {
    "index": 1,
    "errors": [{"pointer": "/REVENUE", "detail": "must be a number, such as 57.27456"}],
}


def once_headers(*statuses: int) -> list[OpenApiParameter]:
    """Describe the headers of requests that can be retried. `statuses` are those of stored responses."""
    return [
        OpenApiParameter(
            "Idempotency-Key",
            TEXT | {"pattern": f"^(?:{KEY.pattern})$"},
            OpenApiParameter.HEADER,
            description="a new value, such as a UUID, for each new request; retries with it store nothing twice",
        ),
        OpenApiParameter(
            "Idempotent-Replayed",
            location=OpenApiParameter.HEADER,
            response=list(statuses),
            enum=["true"],
            description="this is the stored response to an earlier request with the same Idempotency-Key",
        ),
    ]


def request_example(name: str, body: Any, media_type: str = JSON) -> OpenApiExample:
    return OpenApiExample(name, body, request_only=True, media_type=media_type)


def response_example(name: str, body: Any, *statuses: str, media_type: str | None = None) -> OpenApiExample:
    """Return an example for the responses with these statuses: in one media type, or in all that they have."""
    return OpenApiExample(name, body, response_only=True, status_codes=[*statuses], media_type=media_type)


def _text(field: EventField, min_length: int = 1) -> dict[str, Any]:
    return TEXT | {"minLength": min_length, "maxLength": field.max_length, "pattern": NOT_NUL}


def _filter(name: str, field: EventField) -> OpenApiParameter:
    label = f"{'id of the ' if field.is_id else ''}{field.model_field.verbose_name}"
    empty = "" if field.is_required else f"; empty: sales without a {label}"
    if field.choices:
        schema = TEXT | {"enum": [*([""] if empty else []), *field.choices]}
    else:
        schema = _text(field, min_length=0 if empty else 1)
    return OpenApiParameter(name, schema, description=f"the exact {label}{empty}")


ingest = extend_schema(
    summary="Store sales",
    description=(
        "Send one sale event as an object, and the response is the stored sale. Or send many, as a list or one per "
        "line, and the response counts them. Any body may be compressed with `Content-Encoding: gzip`. Either all "
        "events are stored or none, unless `on_error=skip` is set. When the status is 200, 201 or 207, the sales are "
        "committed and included in the feedback.\n\n"
        "To make retries safe, send an `Idempotency-Key`, or give each event an `EVENT_ID`. "
        "An API key needs the scope `ingest`."
    ),
    parameters=[
        OpenApiParameter(
            "on_error",
            enum=["stop", "skip"],
            default="stop",
            description="skip: store the valid events, list the invalid ones and keep them in the back office",
        ),
        OpenApiParameter(
            "dry_run", enum=["true", "false"], default="false", description="true: check everything, store nothing"
        ),
        *once_headers(200, 201, 207),
    ],
    request={
        JSON: {"oneOf": [EVENT_SCHEMA, _list(EVENT_SCHEMA)]},
        NDJSON: TEXT | {"description": "one event per line"},
    },
    responses={
        200: OpenApiResponse(
            {"oneOf": [STORED_SCHEMA, COUNTS_SCHEMA]},
            "Nothing new was stored: all events were duplicates, or this was a dry run.",
        ),
        201: OpenApiResponse({"oneOf": [STORED_SCHEMA, COUNTS_SCHEMA]}, "All events are stored, now or earlier."),
        207: OpenApiResponse(COUNTS_SCHEMA, "Some events were rejected; the others are stored."),
        **problem_responses(
            types.INVALID_REQUEST,
            types.INVALID_EVENT,
            types.EVENT_CONFLICT,
            types.REQUEST_IN_PROGRESS,
            types.CONTENT_TOO_LARGE,
            types.UNSUPPORTED_MEDIA_TYPE,
            types.IDEMPOTENCY_KEY_REUSED,
            types.TOO_MANY_REJECTED,
            types.SERVICE_BUSY,
            types.OUTCOME_UNKNOWN,
        ),
    },
    examples=[
        request_example("One event", EVENT_EXAMPLE),
        request_example("A list of events", [EVENT_EXAMPLE, EXAMPLE]),
        request_example("One event per line", f"{json.dumps(EVENT_EXAMPLE)}\n{json.dumps(EXAMPLE)}", NDJSON),
        response_example("The stored sale", STORED_EXAMPLE, "200", "201"),
        response_example("The counts of a list", COUNTS_EXAMPLE, "200", "201"),
        response_example(
            "One of two events was rejected",
            COUNTS_EXAMPLE | {"accepted": 1, "rejected": 1, "errors": [REJECTED_EXAMPLE]},
            "207",
        ),
    ],
)

feedback = extend_schema(
    summary="Get the categories with the most sales",
    description=(
        "Returns at most three categories, ordered by number of sales, then revenue, then name. Sales without a "
        "category are not counted. Revenue is exact. Archived sales are counted, but a period must not divide a day of "
        "an archived month. An API key needs the scope `read`."
    ),
    parameters=[
        OpenApiParameter("category", enum=Category.values, description="only this category"),
        *PERIOD,
    ],
    responses={200: FEEDBACK_SCHEMA, **problem_responses(types.INVALID_REQUEST, types.SALES_ARCHIVED)},
)

sales = extend_schema(
    operation_id="sales_list",
    summary="Read sales",
    description=(
        "Returns the sales that match all parameters, newest payment first, without archived sales. `next` is the URL "
        "of the next page, also in the header Link; on the last page it is null. Every page costs the same, and new "
        "sales neither shift, repeat nor hide sales on later pages. A query that takes the database more than "
        f"{READ_TIMEOUT} seconds returns 503: for example, one for two common values that never occur together. "
        "Adding a period helps. An API key needs the scope `read`."
    ),
    parameters=[
        *(_filter(name, field) for name, field in FILTERS.items()),
        *PERIOD,
        OpenApiParameter(
            "limit",
            {"type": "integer", "minimum": LIMIT[0], "maximum": LIMIT[-1], "default": SalesQuery.limit},
            description="the number of sales on a page",
        ),
        OpenApiParameter(
            "cursor", description="where the page begins, from `next`; other parameters may change between pages"
        ),
        OpenApiParameter(
            "Link", str, OpenApiParameter.HEADER, response=[200], description='the next page: `<...>; rel="next"`'
        ),
    ],
    responses={200: PAGE_SCHEMA, **problem_responses(types.INVALID_REQUEST, types.TOOK_TOO_LONG)},
    examples=[
        response_example(
            "A page",
            {
                "results": [READ_EXAMPLE],
                "next": "http://127.0.0.1:8000/sales?brand=Dsquared2&limit=1&cursor=AAW4RECPtQAAAAAAAADDUQ",
            },
            "200",
        )
    ],
)

order = extend_schema(
    operation_id="sales_of_order",
    summary="Read the sales of an order",
    description=(
        f"Returns all lines of an order, oldest payment first. An order with more than {MAX_LINES:,} lines returns "
        "400: read it page by page, from /sales with id_order. Use /sales too for ids such as `..`, which HTTP "
        "clients remove from a path. An API key needs the scope `read`."
    ),
    parameters=[
        OpenApiParameter("id_order", _text(FILTERS["id_order"]), OpenApiParameter.PATH, description="percent-encoded")
    ],
    responses={200: ORDER_SCHEMA, **problem_responses(types.INVALID_REQUEST, types.NOT_FOUND, types.TOOK_TOO_LONG)},
    examples=[
        response_example("An order of one line", {"id_order": EXAMPLE["ID_ORDER"], "results": [READ_EXAMPLE]}, "200")
    ],
)

changes = extend_schema(
    operation_id="changes_list",
    summary="Follow the sales",
    description=(
        "Returns the changes after a position, in the order of their positions: every sale exactly once, and every "
        "void of a sale. Everything committed before the request is included. To follow the sales, send `next` as "
        "`after` again and again; nothing is skipped and nothing comes twice. A void takes a sale away: delete the "
        "sale with its ID. Of a sale that was archived, only the position and the ID are left: its kind is `archived`, "
        "and it is still true. With newline-delimited JSON, the headers Changes-Next and Changes-Has-More have the "
        "values of `next` and `has_more`. An API key needs the scope `read`."
    ),
    parameters=[
        OpenApiParameter(
            "after",
            {"oneOf": [COUNT, TEXT | {"enum": [LATEST]}], "default": ChangesQuery.after},
            description=f"the position to continue from; 0 is the beginning; {LATEST}: return only the last position",
        ),
        OpenApiParameter(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": CHANGES_LIMIT[-1], "default": ChangesQuery.limit},
            description="the maximum number of changes in the response",
        ),
        OpenApiParameter(
            "wait",
            {"type": "integer", "minimum": 0, "maximum": WAIT[-1], "default": ChangesQuery.wait},
            description="the number of seconds to wait for a change if there is none. The response may come earlier.",
        ),
        OpenApiParameter("format", enum=["json", "ndjson"], description="overrides the header Accept"),
        *(
            OpenApiParameter(name, str, OpenApiParameter.HEADER, response=[200], description=text)
            for name, text in (("Changes-Next", "as `next`"), ("Changes-Has-More", "as `has_more`: true or false"))
        ),
    ],
    responses={
        (200, JSON): CHANGES_SCHEMA,
        (200, NDJSON): TEXT | {"description": "one change per line"},
        **problem_responses(types.INVALID_REQUEST, types.POSITION_PURGED, types.TOOK_TOO_LONG),
    },
    examples=[
        response_example(
            "A sale and its void",
            {"results": [CHANGE_EXAMPLE, VOID_EXAMPLE], "next": 50002, "has_more": False},
            "200",
            media_type=JSON,
        )
    ],
)
