"""What /docs says of the API: made from the one schema of a sale event."""

import json

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from sales.api.parameters import LIMIT, SalesQuery
from sales.api.reading import FIELDS, MAX_LINES, READ_TIMEOUT
from sales.ingest.batches import JSON, NDJSON
from sales.ingest.idempotency import KEY
from sales.ingest.schema import EVENT, EXAMPLE, NOT_NUL
from sales.models import Category
from salesengine.http import problem_types as types
from salesengine.http.openapi import problem_responses

EVENT_SCHEMA = EVENT.json_schema()
ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": NOT_NUL}
SALE_PROPERTIES = {"ID": {"type": "integer"}, **EVENT_SCHEMA["properties"], "REVENUE": {"type": "number"}}
STORED_SCHEMA = {"type": "object", "properties": SALE_PROPERTIES, "required": list(SALE_PROPERTIES)}
READ_SCHEMA = {
    "type": "object",
    "properties": {**SALE_PROPERTIES, "RECEIVED_AT": {"type": "string", "format": "date-time"}},
    "required": list(FIELDS),
}
PAGE_SCHEMA = {
    "type": "object",
    "properties": {
        "results": {"type": "array", "items": READ_SCHEMA},
        "next": {"type": ["string", "null"], "format": "uri"},
    },
    "required": ["results", "next"],
}
ORDER_SCHEMA = {
    "type": "object",
    "properties": {"id_order": {"type": "string"}, "results": {"type": "array", "items": READ_SCHEMA, "minItems": 1}},
    "required": ["id_order", "results"],
}
NUMBER = {"type": "integer", "minimum": 0}
COUNTS_SCHEMA = {
    "type": "object",
    "properties": {
        "accepted": {**NUMBER, "description": "stored now"},
        "duplicate": {**NUMBER, "description": "stored before, with the same EVENT_ID and contents"},
        "rejected": {**NUMBER, "description": "not stored; only with on_error=skip"},
        "errors": {
            "type": "array",
            "description": "what is wrong with each rejected event; only with on_error=skip",
            "items": {
                "type": "object",
                "properties": {
                    "index": {**NUMBER, "description": "its place among the events, from 0"},
                    "line": {"type": "integer", "minimum": 1, "description": "of newline-delimited JSON"},
                    "errors": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
                            "required": ["pointer", "detail"],
                        },
                    },
                },
                "required": ["index", "errors"],
            },
        },
    },
    "required": ["accepted", "duplicate", "rejected"],
}
FEEDBACK_SCHEMA = {
    "type": "array",
    "maxItems": 3,
    "items": {
        "type": "object",
        "properties": {
            "category": {"type": "string", "enum": Category.values},
            "sales_count": {"type": "integer"},
            "total_revenue": {"type": "number"},
        },
        "required": ["category", "sales_count", "total_revenue"],
    },
}
READ_EXAMPLE = {
    "ID": 50001,
    **EXAMPLE,
    "DATE_PAYMENT": "2021-01-07T00:09:24Z",
    "REVENUE": 57.27456,
    "EVENT_ID": None,
    "RECEIVED_AT": "2021-01-07T00:09:25.130512Z",
}
PERIOD = [
    OpenApiParameter(
        "start_date", str, description="only sales paid then or later: a date, or a date and time (UTC, ISO 8601)"
    ),
    OpenApiParameter(
        "end_date", str, description="only sales paid until then; it is included, and a bare date is its whole day"
    ),
]

EVENT_EXAMPLE = {**EXAMPLE, "EVENT_ID": "shop-1-000042"}
NDJSON_EXAMPLE = "\n".join(json.dumps(event) for event in (EVENT_EXAMPLE, EXAMPLE))
STORED_EXAMPLE = {"ID": 50001, **EVENT_EXAMPLE, "DATE_PAYMENT": "2021-01-07T00:09:24Z", "REVENUE": 57.27456}
SKIPPED_EXAMPLE = {
    "accepted": 1,
    "duplicate": 0,
    "rejected": 1,
    "errors": [
        {"index": 1, "errors": [{"pointer": "/REVENUE", "detail": "must be a number, such as 57.27456"}]},
    ],
}
REPLAYED = OpenApiParameter(
    "Idempotent-Replayed",
    location=OpenApiParameter.HEADER,
    response=[200, 201, 207],
    enum=["true"],
    description="this is the answer to an earlier request with the same Idempotency-Key, which was not done again",
)

ingest = extend_schema(
    summary="Take in sales",
    description=(
        "One sale event as an object, answered with the stored sale; or many, as a list or one a line, answered with "
        "their numbers. Each form may be sent with `Content-Encoding: gzip`. All of them are stored, or none, unless "
        "`on_error=skip` says otherwise. After 200, 201 or 207 what the answer says is committed and in the "
        "feedback.\n\n"
        "To send a request again after a failure, give it an `Idempotency-Key`, or each event an `EVENT_ID`. "
        "An API key needs the scope `ingest`."
    ),
    parameters=[
        OpenApiParameter(
            "on_error",
            str,
            enum=["stop", "skip"],
            default="stop",
            description="skip: take the good events, list and keep the bad",
        ),
        OpenApiParameter(
            "dry_run",
            str,
            enum=["true", "false"],
            default="false",
            description="true: check all as if for real, store nothing",
        ),
        OpenApiParameter(
            "Idempotency-Key",
            {"type": "string", "pattern": f"^(?:{KEY.pattern})$"},
            OpenApiParameter.HEADER,
            description="a new value, such as a UUID, for each new request; with the same value it is not done twice",
        ),
        REPLAYED,
    ],
    request={
        JSON: {"oneOf": [EVENT_SCHEMA, {"type": "array", "items": EVENT_SCHEMA}]},
        NDJSON: {"type": "string", "description": "one event a line"},
    },
    responses={
        200: OpenApiResponse(
            {"oneOf": [STORED_SCHEMA, COUNTS_SCHEMA]},
            "Nothing new was stored: all was known before, or this was a dry run.",
        ),
        201: OpenApiResponse({"oneOf": [STORED_SCHEMA, COUNTS_SCHEMA]}, "All is stored; some may have been before."),
        207: OpenApiResponse(COUNTS_SCHEMA, "Some events were rejected; the others are stored."),
        **problem_responses(
            types.INVALID_REQUEST,
            types.INVALID_EVENT,
            types.EVENT_CONFLICT,
            types.REQUEST_IN_PROGRESS,
            types.CONTENT_TOO_LARGE,
            types.UNSUPPORTED_MEDIA_TYPE,
            types.IDEMPOTENCY_KEY_REUSED,
        ),
    },
    examples=[
        OpenApiExample("One event", EVENT_EXAMPLE, request_only=True, media_type=JSON),
        OpenApiExample("A list of events", [EVENT_EXAMPLE, EXAMPLE], request_only=True, media_type=JSON),
        OpenApiExample("One event a line", NDJSON_EXAMPLE, request_only=True, media_type=NDJSON),
        OpenApiExample("The stored sale", STORED_EXAMPLE, response_only=True, status_codes=["200", "201"]),
        OpenApiExample(
            "The numbers of a list",
            {"accepted": 2, "duplicate": 0, "rejected": 0},
            response_only=True,
            status_codes=["200", "201"],
        ),
        OpenApiExample("One of two was rejected", SKIPPED_EXAMPLE, response_only=True, status_codes=["207"]),
    ],
)

feedback = extend_schema(
    summary="Which categories sell most",
    description=(
        "At most three categories: the ones with the most sales first, ties by revenue, then by name. Sales without a "
        "category are in none. Revenue is exact. An API key needs the scope `read`."
    ),
    parameters=[
        OpenApiParameter("category", str, enum=Category.values, description="only this category"),
        *PERIOD,
    ],
    responses={200: FEEDBACK_SCHEMA, **problem_responses(types.INVALID_REQUEST)},
)

sales = extend_schema(
    operation_id="sales_list",
    summary="Read sales back",
    description=(
        "The sales that match all parameters given, the newest payment first. `next` is the address of the next page, "
        "also in the header Link; it is null on the last page. Every page costs the same, and sales that come in "
        "meanwhile neither shift, repeat nor hide those on later pages. What would take the database more than "
        f"{READ_TIMEOUT} seconds to find, such as two values that are common but never together, is a 503; a period "
        "helps. An API key needs the scope `read`."
    ),
    parameters=[
        OpenApiParameter("category", str, enum=["", *Category.values], description="empty: sales without a category"),
        OpenApiParameter(
            "brand",
            {"type": "string", "maxLength": 256, "pattern": NOT_NUL},
            description="the whole brand; empty: sales without a brand",
        ),
        *(
            OpenApiParameter(f"id_{name.replace(' ', '_')}", ID_SCHEMA, description=f"the whole id of the {name}")
            for name in ("order", "product", "buyer", "seller", "seller country", "buyer country")
        ),
        *PERIOD,
        OpenApiParameter(
            "limit",
            {"type": "integer", "minimum": LIMIT[0], "maximum": LIMIT[-1], "default": SalesQuery.limit},
            description="how many sales a page has",
        ),
        OpenApiParameter(
            "cursor", str, description="where the page begins, from `next`; the other parameters may be changed with it"
        ),
        OpenApiParameter(
            "Link", str, OpenApiParameter.HEADER, response=[200], description='the next page: `<...>; rel="next"`'
        ),
    ],
    responses={200: PAGE_SCHEMA, **problem_responses(types.INVALID_REQUEST, types.TOOK_TOO_LONG)},
    examples=[
        OpenApiExample(
            "A page",
            {
                "results": [READ_EXAMPLE],
                "next": "http://127.0.0.1:8000/sales?brand=Dsquared2&limit=1&cursor=AAW4RECPtQAAAAAAAADDUQ",
            },
            response_only=True,
            status_codes=["200"],
        )
    ],
)

order = extend_schema(
    operation_id="sales_of_order",
    summary="Read an order back",
    description=(
        "All lines of an order, the oldest payment first. An order of more than "
        f"{MAX_LINES:,} lines is a 400: read it page by page, at /sales with id_order. That serves ids like `..` too, "
        "which clients take out of an address. An API key needs the scope `read`."
    ),
    parameters=[OpenApiParameter("id_order", ID_SCHEMA, OpenApiParameter.PATH, description="percent-encoded")],
    responses={200: ORDER_SCHEMA, **problem_responses(types.INVALID_REQUEST, types.NOT_FOUND, types.TOOK_TOO_LONG)},
    examples=[
        OpenApiExample(
            "An order of one line",
            {"id_order": EXAMPLE["ID_ORDER"], "results": [READ_EXAMPLE]},
            response_only=True,
            status_codes=["200"],
        )
    ],
)
