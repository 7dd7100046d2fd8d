"""Every type of problem that an answer can name: the one source of the answers, their page and the API's document.

The words for people are plain text without quotation marks or markup: HTML and Markdown show them alike.
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
        """What answers name it by: relative, so that it leads to the page of the service that answered."""
        return f"/docs/problems#{self.slug}"


INVALID_REQUEST = ProblemType(
    "invalid-request",
    400,
    "The request is malformed",
    "The call itself is wrong: a query parameter that is not known or makes no sense, a header that cannot be, or a"
    " body that broke off on its way. Where single parameters are at fault, errors names each one. Nothing was stored.",
    "Mend the program that calls, and send the request again. If the body broke off, send it again as it is.",
)
INVALID_EVENT = ProblemType(
    "invalid-event",
    400,
    "What was sent cannot be taken as sale events",
    "The body is not valid JSON, or there are events in it that break a rule. Then errors has every bad field of every"
    " bad event: pointer is its place in the body (/1/REVENUE is the REVENUE of the second event), detail the rule it"
    " breaks; error_count counts them all, should the list be cut. Of newline-delimited JSON, line is the line. Nothing"
    " was stored, not even the good events.",
    "Mend the events that errors names, or take them out, and send the request again. As it is, it will always fail."
    " With on_error=skip the good events are taken, and the bad ones kept for staff to mend.",
)
NOT_AUTHENTICATED = ProblemType(
    "not-authenticated",
    401,
    "The call needs a valid API key",
    "There was no API key, or one that is not known, has expired or was revoked. Nothing was stored.",
    "Send the header Authorization: Api-Key, a blank, and your key. If you do, ask staff for a new key: they make them"
    " in the admin.",
)
NOT_ALLOWED = ProblemType(
    "not-allowed",
    403,
    "You may not do this",
    "It is known who calls, but this key or user may not do what was asked. Nothing was stored.",
    "Use a key that may, or ask staff for one. As it is, the request will always fail.",
)
NOT_FOUND = ProblemType(
    "not-found",
    404,
    "There is nothing here",
    "The address does not exist, or what it names does not. Nothing was stored.",
    "Compare the address with the ones that /docs lists, and what it names with what you have.",
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed",
    405,
    "This address does not take this method",
    "The address exists, but not for this method; the header Allow lists the ones that it takes. Nothing was stored.",
    "Use one of the methods in Allow; /docs says what each does.",
)
NOT_ACCEPTABLE = ProblemType(
    "not-acceptable",
    406,
    "No format that the request accepts",
    "The header Accept names only formats that this address cannot answer with. Nothing was stored.",
    "Leave out the header Accept, or name a format that /docs shows for this address: application/json is one.",
)
EVENT_CONFLICT = ProblemType(
    "event-conflict",
    409,
    "An EVENT_ID was sent before with other contents",
    "Events with these EVENT_IDs are stored already, and what was sent now differs from them. errors names each one;"
    " as with invalid events, pointer is its place in the body. What is stored stays as it is, and nothing was added.",
    "If it is another sale, give it an EVENT_ID of its own. If it is the same sale, take it out: a stored sale does not"
    " change. Then send the request again.",
)
REQUEST_IN_PROGRESS = ProblemType(
    "request-in-progress",
    409,
    "The first request with this Idempotency-Key is still running",
    "Another request with the same Idempotency-Key has begun and not ended, so its answer is not known yet. This"
    " request stored nothing; the first one may.",
    "Wait as many seconds as Retry-After says, and send the request again as it is, with the same Idempotency-Key.",
)
REPORT_CHECK_FAILED = ProblemType(
    "report-check-failed",
    409,
    "The result is not what the report says that it must be",
    "The report ran, and a check in its file was not passed; detail says which. So there is something wrong with the"
    " data, or else with the report, and nothing of the result was given out.",
    "Tell staff what detail says. The request is right, and will do when the data are; until then it will fail again.",
)
CONTENT_TOO_LARGE = ProblemType(
    "content-too-large",
    413,
    "The request is too large",
    "The body has more bytes or more events than one request may have; detail says what the limit is. Nothing was"
    " stored.",
    "Send the events in several requests.",
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type",
    415,
    "The body is of a kind that is not taken",
    "The header Content-Type or Content-Encoding names a format that this address does not take. Nothing was stored.",
    "Send JSON with the header Content-Type: application/json, or one event a line with application/x-ndjson; as it is,"
    " or with the header Content-Encoding: gzip.",
)
IDEMPOTENCY_KEY_REUSED = ProblemType(
    "idempotency-key-reused",
    422,
    "This Idempotency-Key belongs to another request",
    "The same Idempotency-Key was sent before with another body. What the first request stored stays; this one stored"
    " nothing.",
    "Give every new request a new Idempotency-Key, and repeat one only together with the very same body.",
)
REPORT_FAILED = ProblemType(
    "report-failed",
    422,
    "The report cannot be run like this",
    "The request is well formed, but the database could not do what the report asks of it with these parameters and"
    " these data, or the result does not fit into the format; detail says why, in the database's words. Nothing of the"
    " result was given out.",
    "Where detail speaks of a value that you gave, or of the format, give another. Otherwise tell staff what detail"
    " says: the report is theirs to mend. As it is, the request will mostly fail again.",
)
RATE_LIMITED = ProblemType(
    "rate-limited",
    429,
    "Too many requests",
    "You have sent more requests than the limit allows; the header RateLimit-Policy tells the limit, q requests in w"
    " seconds. Nothing was stored.",
    "Wait as many seconds as Retry-After says, and send the request again as it is. More events in one request help,"
    " since requests are counted; staff can raise the limit.",
)
INTERNAL_ERROR = ProblemType(
    "internal-error",
    500,
    "The service failed",
    "This is a mistake of the service, not yours. Whether anything was stored is not known.",
    "Tell staff the request_id: the log has what happened under it. Send the request again only with the"
    " Idempotency-Key or the EVENT_IDs of the first time, so that nothing is counted twice.",
)
DATABASE_UNAVAILABLE = ProblemType(
    "database-unavailable",
    503,
    "The database does not answer",
    "The database is away or overloaded, mostly for seconds. As a rule nothing was stored; only if the connection"
    " broke off in the very moment of the commit, everything was.",
    "Wait as many seconds as Retry-After says, and send the request again as it is. With an Idempotency-Key or"
    " EVENT_IDs nothing is counted twice.",
)
TOOK_TOO_LONG = ProblemType(
    "took-too-long",
    503,
    "The answer took too long to find",
    "The database worked for as long as it may, and has not found all that was asked for. Nothing is wrong with it; for"
    " a report, detail says how long its runs may take.",
    "Ask for less: a shorter period, or a lower limit. As it is, it will mostly fail again.",
)
RUN_CANCELLED = ProblemType(
    "run-cancelled",
    503,
    "The run of the report was cancelled",
    "Somebody ended this run while the database worked on it: staff, in the admin or on the database. Nothing is wrong"
    " with the report or the request. Nothing of the result was given out.",
    "Ask staff why before you send the request again; they may have needed the database for something else.",
)

PROBLEM_TYPES = (
    INVALID_REQUEST,
    INVALID_EVENT,
    NOT_AUTHENTICATED,
    NOT_ALLOWED,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    NOT_ACCEPTABLE,
    EVENT_CONFLICT,
    REQUEST_IN_PROGRESS,
    REPORT_CHECK_FAILED,
    CONTENT_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    IDEMPOTENCY_KEY_REUSED,
    REPORT_FAILED,
    RATE_LIMITED,
    INTERNAL_ERROR,
    DATABASE_UNAVAILABLE,
    TOOK_TOO_LONG,
    RUN_CANCELLED,
)
