"""Describe POST /corrections for /openapi.json."""

import json
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema

from sales.api.openapi import (
    DATE_TIME,
    EVENT_EXAMPLE,
    EVENT_SCHEMA,
    SALE_PROPERTIES,
    STORED_EXAMPLE,
    STORED_SCHEMA,
    once_headers,
    request_example,
    response_example,
)
from sales.corrections.schema import MAX_ID, REASON_LENGTH
from sales.ingest.batches import JSON, NDJSON
from sales.ingest.fields import FIELDS, NOT_NUL
from salesengine.http import problem_types as types
from salesengine.http.openapi import TEXT, object_schema, problem_responses

SALE_ID = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
REASON = TEXT | {
    "minLength": 1,
    "maxLength": REASON_LENGTH,
    "pattern": NOT_NUL,
    "description": "why the sale was wrong",
}
EVENT_ID = TEXT | {"minLength": 1, "maxLength": FIELDS["EVENT_ID"].max_length, "pattern": NOT_NUL}
WHICH = {
    "ID": {"ID": SALE_ID | {"description": "the ID of the sale, as in GET /sales"}},
    "EVENT_ID": {"EVENT_ID": EVENT_ID | {"description": "the EVENT_ID that this sender gave to the event"}},
}
REPLACEMENT = EVENT_SCHEMA | {
    "description": "the whole sale as it should be; its EVENT_ID may be missing, and stays that of the wrong sale"
}


def _correction(which: str, action: str) -> dict[str, Any]:
    properties = {**WHICH[which], "action": TEXT | {"enum": [action]}, "reason": REASON}
    if action == "replace":
        properties["sale"] = REPLACEMENT
    return object_schema(properties) | {"additionalProperties": False}


CORRECTION = {"oneOf": [_correction(which, action) for action in ("void", "replace") for which in WHICH]}
REPLACED_BY = {"type": ["integer", "null"], "description": "the ID of the sale that took its place"}
VOIDED = object_schema(SALE_PROPERTIES | {"voided_at": DATE_TIME, "reason": TEXT, "replaced_by": REPLACED_BY})
ONE = object_schema({"voided": VOIDED, "sale": {"oneOf": [STORED_SCHEMA, {"type": "null"}]}})
MANY = object_schema(
    {"results": {"type": "array", "items": object_schema({"ID": SALE_ID, "replaced_by": REPLACED_BY})}}
)

VOID_EXAMPLE = {"ID": 50001, "action": "void", "reason": "test order"}
REPLACE_EXAMPLE = {
    "EVENT_ID": EVENT_EXAMPLE["EVENT_ID"],
    "action": "replace",
    "reason": "wrong price",
    "sale": {**EVENT_EXAMPLE, "REVENUE": "75.27456"},
}
ONE_EXAMPLE = {
    "voided": STORED_EXAMPLE
    | {"voided_at": "2021-01-08T09:00:00.250331Z", "reason": "wrong price", "replaced_by": 50002},
    "sale": STORED_EXAMPLE | {"ID": 50002, "REVENUE": 75.27456},
}
MANY_EXAMPLE = {"results": [{"ID": 50001, "replaced_by": None}, {"ID": 50003, "replaced_by": 50004}]}

corrections = extend_schema(
    summary="Void or replace sales",
    description=(
        "Say that a sale never happened (`void`), or what is right instead (`replace`). Feedback, GET /sales "
        "and reports leave out a voided sale. A replacement is a new sale, with an `ID` of its own and the `EVENT_ID` "
        "of the wrong one. A refund is not a correction: send it as a sale with negative revenue.\n\n"
        "Send one correction as an object, or many, as a list or one per line. All of them are made, or none. When "
        "the status is 200, they are committed and included in the feedback.\n\n"
        "An API key needs the scope `correct`. A client can correct only the sales that it sent itself."
    ),
    parameters=once_headers(200),
    request={
        JSON: {"oneOf": [CORRECTION, {"type": "array", "items": CORRECTION}]},
        NDJSON: TEXT | {"description": "one correction per line"},
    },
    responses={
        200: OpenApiResponse({"oneOf": [ONE, MANY]}, "The corrections are made."),
        **problem_responses(
            types.INVALID_REQUEST,
            types.INVALID_EVENT,
            types.SALE_NOT_FOUND,
            types.ALREADY_CORRECTED,
            types.SALES_ARCHIVED,
            types.REQUEST_IN_PROGRESS,
            types.CONTENT_TOO_LARGE,
            types.UNSUPPORTED_MEDIA_TYPE,
            types.IDEMPOTENCY_KEY_REUSED,
            types.SERVICE_BUSY,
            types.OUTCOME_UNKNOWN,
        ),
    },
    examples=[
        request_example("Void a sale", VOID_EXAMPLE),
        request_example("Replace a sale", REPLACE_EXAMPLE),
        request_example("A list of corrections", [VOID_EXAMPLE, REPLACE_EXAMPLE]),
        request_example(
            "One correction per line", f"{json.dumps(VOID_EXAMPLE)}\n{json.dumps(REPLACE_EXAMPLE)}", NDJSON
        ),
        response_example("One correction", ONE_EXAMPLE, "200"),
        response_example("A list of corrections", MANY_EXAMPLE, "200"),
    ],
)
