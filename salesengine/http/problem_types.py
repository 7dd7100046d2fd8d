"""Every problem type: the one source for error responses, the page /docs/problems and the OpenAPI document.

The texts for people are plain text without quotation marks or markup, so that HTML and Markdown show them alike.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ProblemType:
    """A problem type as in RFC 9457, 3.1.1. Clients tell problems apart by `slug`, so it never changes."""

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        """The `type` in error responses: a relative URL, so that it leads to the service that responded."""
        return f"/docs/problems#{self.slug}"


INVALID_REQUEST = ProblemType(
    "invalid-request",
    400,
    "Invalid request",
    "A query parameter is unknown or has an invalid value, a header is invalid, or the body ended early. Where query"
    " parameters are at fault, errors lists each one. Nothing was stored.",
    "Correct the program that sends the request, then send the request again. If the body ended early, send the same"
    " request again.",
)
INVALID_EVENT = ProblemType(
    "invalid-event",
    400,
    "Invalid sale events or corrections",
    "The body is not valid JSON, or some of its events or corrections break a rule. In the second case errors lists"
    " every invalid field of every invalid event: pointer is its location in the body (/1/REVENUE is the REVENUE of the"
    " second event), and detail is the rule that it breaks. For newline-delimited JSON, line is the line number."
    " error_count is the total number of errors, even if errors is truncated. Nothing was stored, not even the valid"
    " events.",
    "Correct or remove the events that errors lists, then send the request again. Without a change it will always"
    " fail. With on_error=skip POST /ingest stores the valid events and keeps the invalid ones for staff to correct.",
)
NOT_AUTHENTICATED = ProblemType(
    "not-authenticated",
    401,
    "A valid API key is required",
    "The request has no API key, or its key is unknown, expired or revoked. Nothing was stored.",
    "Send the header Authorization with the value Api-Key, a space, and your key. If you already do, ask staff for a"
    " new key: they create keys in the admin.",
)
NOT_ALLOWED = ProblemType(
    "not-allowed",
    403,
    "Permission denied",
    "The API key or the user is valid, but does not have permission for this request. Nothing was stored.",
    "Use a key with the scope that detail names, or ask staff for the permission. Without a change the request will"
    " always fail.",
)
NOT_FOUND = ProblemType(
    "not-found",
    404,
    "Not found",
    "This URL does not exist, or the order or report that it names does not exist. Nothing was stored.",
    "Compare the URL with the endpoints on /docs, and check the name or number at its end.",
)
SALE_NOT_FOUND = ProblemType(
    "sale-not-found",
    404,
    "A correction names an unknown sale",
    "Some corrections have an ID or an EVENT_ID that belongs to no sale of this client. errors lists each one; pointer"
    " is its location in the body. None of the corrections was made.",
    "Compare the IDs with those of GET /sales, and the EVENT_IDs with those that you sent. A client can correct only"
    " what it sent itself: the newer sales by ID or EVENT_ID, older ones only by EVENT_ID. Staff can correct others.",
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed",
    405,
    "Method not allowed",
    "This URL exists, but not for this HTTP method. Nothing was stored.",
    "Use one of the methods that the header Allow lists. /docs describes each of them.",
)
NOT_ACCEPTABLE = ProblemType(
    "not-acceptable",
    406,
    "Not available in an accepted format",
    "The header Accept lists only formats that this endpoint does not offer. Nothing was stored.",
    "Remove the header Accept, or send one that includes a format that /docs lists for this endpoint. Every endpoint"
    " but /metrics offers application/json.",
)
EVENT_CONFLICT = ProblemType(
    "event-conflict",
    409,
    "An EVENT_ID has two different contents",
    "Some events have the EVENT_ID of a stored sale, or of another event in the request, but different contents. errors"
    " lists each one; pointer is its location in the body. The stored sales are unchanged, and nothing was added.",
    "If an event is a different sale, give it a new EVENT_ID. If it is the same sale, remove it: if the stored one is"
    " wrong, replace it with POST /corrections. Then send the request again.",
)
ALREADY_CORRECTED = ProblemType(
    "already-corrected",
    409,
    "A sale was voided before, or is right already",
    "Some corrections name a sale that was voided before, or replace a sale with the same values. errors lists each"
    " one; pointer is its location in the body, and detail names the sale that took its place, if there is one. None of"
    " the corrections was made.",
    "If an earlier request made these corrections, there is nothing left to do. Otherwise remove them, or name the sale"
    " that is to be corrected now, and send the request again.",
)
SALES_ARCHIVED = ProblemType(
    "sales-archived",
    409,
    "The request needs sales that are archived",
    "Staff have moved the sales of a month to an archive; detail or errors names the month. Either the request corrects"
    " one of these sales, or it asks for the feedback of a part of a day of this month, of which only the figures of"
    " whole days are left. Nothing was changed.",
    "For feedback, send start_date and end_date without times, so that the period has only whole days. Otherwise ask"
    " staff to bring the month back with manage.py restore_sales, then send the request again.",
)
REQUEST_IN_PROGRESS = ProblemType(
    "request-in-progress",
    409,
    "The first request with this Idempotency-Key is still running",
    "An earlier request with the same Idempotency-Key has not finished, so its response is not known yet. This request"
    " stored nothing; the first one may still store its events.",
    "Wait for the number of seconds in Retry-After, then send the same request again with the same Idempotency-Key.",
)
REPORT_CHECK_FAILED = ProblemType(
    "report-check-failed",
    409,
    "The report result failed an assertion",
    "The report ran, but its result failed an assertion of the report file; detail names the assertion. Either the"
    " data or the report is wrong. No part of the result was returned.",
    "Send detail to staff. The request itself is correct. It will fail until the data or the report is corrected.",
)
POSITION_PURGED = ProblemType(
    "position-purged",
    410,
    "The changes after this position were deleted",
    "The service keeps changes for a limited time, and the first ones after this position are older. Some changes are"
    " missing between this position and the oldest one that is left, so none were returned.",
    "Start again: read the last position with GET /changes?after=latest, then read all sales, for example with the"
    " report sales, and then continue from that position. If you store sales by their ID, changes that you have read"
    " before do no harm.",
)
CONTENT_TOO_LARGE = ProblemType(
    "content-too-large",
    413,
    "The request is too large",
    "The body has more bytes or more events than one request may have; detail states the limit. Nothing was stored.",
    "Split the events into several requests.",
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type",
    415,
    "Unsupported media type",
    "The header Content-Type or Content-Encoding names a format that this endpoint does not support. Nothing was"
    " stored.",
    "Send JSON with the header Content-Type: application/json, or one event per line with Content-Type:"
    " application/x-ndjson. Send the body uncompressed, or compress it and add Content-Encoding: gzip.",
)
IDEMPOTENCY_KEY_REUSED = ProblemType(
    "idempotency-key-reused",
    422,
    "This Idempotency-Key belongs to another request",
    "The same Idempotency-Key was sent before with another body, another format, another on_error, or to another"
    " endpoint. This request stored nothing; what the first one stored is unchanged.",
    "Use a new Idempotency-Key for each new request. Reuse a key only to send exactly the same request again.",
)
TOO_MANY_REJECTED = ProblemType(
    "too-many-rejected",
    422,
    "Too many rejected events are waiting",
    "With on_error=skip, this request would keep more rejected events for staff than one sender may have; detail states"
    " the limit. Nothing was stored, not even the valid events.",
    "Correct the program that sends invalid events. Ask staff to replay or delete the rejected events that are waiting."
    " Until then, correct or remove the invalid events, or send them without on_error=skip to see their errors.",
)
REPORT_FAILED = ProblemType(
    "report-failed",
    422,
    "The report failed",
    "The request is valid, but the database could not run the report with these parameters and the current data, the"
    " report file is invalid, or the result does not fit into the requested format. detail gives the reason, often in"
    " the words of the database. No part of the result was returned.",
    "If detail names one of your values or the format, change it. Otherwise send detail to staff, who maintain the"
    " report. Without a change the request will probably fail again.",
)
RATE_LIMITED = ProblemType(
    "rate-limited",
    429,
    "Too many requests",
    "You have sent more requests than the rate limit allows. The header RateLimit-Policy states the limit: q requests"
    " in w seconds. Nothing was stored.",
    "Wait for the number of seconds in Retry-After, then send the same request again. The limit counts requests, so"
    " send more events in each request. Staff can raise the limit.",
)
INTERNAL_ERROR = ProblemType(
    "internal-error",
    500,
    "Internal error",
    "The service failed because of an error of its own; the request is not the cause. It is not known whether anything"
    " was stored.",
    "Send request_id to staff, who use it to find the error in the log. Send the request again only with the same"
    " Idempotency-Key or EVENT_IDs as before, so that no sale is stored twice.",
)
DATABASE_UNAVAILABLE = ProblemType(
    "database-unavailable",
    503,
    "The database is unavailable",
    "The database is not reachable, is overloaded, or had to wait too long for another transaction, usually for a few"
    " seconds. Nothing was stored.",
    "Wait for the number of seconds in Retry-After, then send the same request again.",
)
OUTCOME_UNKNOWN = ProblemType(
    "outcome-unknown",
    503,
    "It is unknown whether the sales were stored",
    "The sales were being committed when the connection to the database was lost, or when the service had to stop"
    " waiting. Either all of them are stored, or none.",
    "If the request has an Idempotency-Key, or each of its events has an EVENT_ID, send the same request again after"
    " the number of seconds in Retry-After: no sale is stored twice. Otherwise look for the sales first, with GET"
    " /sales/{id_order}, because a second request may store them twice.",
)
SERVICE_BUSY = ProblemType(
    "service-busy",
    503,
    "Too many large requests or reports at the same time",
    "The service is working on as many bytes of large requests, or on as many reports, as it can at once. Nothing was"
    " stored.",
    "Wait for the number of seconds in Retry-After, then send the same request again. Smaller requests, or fewer at the"
    " same time, avoid this.",
)
TOOK_TOO_LONG = ProblemType(
    "took-too-long",
    503,
    "The query took too long",
    "The query reached its time limit and was stopped. The database itself works. For a report, detail states the"
    " limit.",
    "Request less data: a shorter period, or a lower limit. Without a change the request will probably fail again.",
)
RUN_CANCELLED = ProblemType(
    "run-cancelled",
    503,
    "The report run was cancelled",
    "Somebody cancelled this run while the database was working on it, in the admin or on the database itself. The"
    " report and the request are valid. No part of the result was returned.",
    "Ask staff why they cancelled it before you send the request again. They may have needed the database for"
    " something else.",
)

PROBLEM_TYPES = tuple(value for value in tuple(globals().values()) if isinstance(value, ProblemType))
