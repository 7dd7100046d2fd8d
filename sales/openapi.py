"""What /docs says of the API: made from the one schema of a sale event."""

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema

from sales.models import Category
from sales.schemas import EVENT, EXAMPLE
from salesengine.openapi import problems

EVENT_SCHEMA = EVENT.json_schema()
SALE_SCHEMA = {
    "type": "object",
    "properties": {"ID": {"type": "integer"}, **EVENT_SCHEMA["properties"], "REVENUE": {"type": "number"}},
}
ACCEPTED_SCHEMA = {"type": "object", "properties": {"accepted": {"type": "integer"}}, "required": ["accepted"]}
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
ingest = extend_schema(
    summary="Take in sales",
    description=(
        "One sale event as an object, answered with the stored sale; or a list of events, answered with their number. "
        "All of them are stored, or none. When the answer is 201 they are committed and in the feedback. "
        "An API key needs the scope `ingest`."
    ),
    request={"application/json": {"oneOf": [EVENT_SCHEMA, {"type": "array", "items": EVENT_SCHEMA}]}},
    responses={201: {"oneOf": [SALE_SCHEMA, ACCEPTED_SCHEMA]}, **problems(400, 401, 403, 413, 415, 503)},
    examples=[
        OpenApiExample("One event", EXAMPLE, request_only=True),
        OpenApiExample("A list of events", [EXAMPLE, EXAMPLE], request_only=True),
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
        OpenApiParameter(
            "start_date", str, description="only sales paid then or later: a date, or a date and time (UTC, ISO 8601)"
        ),
        OpenApiParameter(
            "end_date", str, description="only sales paid until then; it is included, and a bare date is its whole day"
        ),
    ],
    responses={200: FEEDBACK_SCHEMA, **problems(400, 401, 403, 503)},
)
