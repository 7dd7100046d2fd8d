"""What /docs says of every address."""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from salesengine.http.errors import PROBLEM_JSON
from salesengine.http.problem_types import (
    DATABASE_UNAVAILABLE,
    INTERNAL_ERROR,
    NOT_ACCEPTABLE,
    NOT_ALLOWED,
    NOT_AUTHENTICATED,
    RATE_LIMITED,
    ProblemType,
)


class APIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Lets the documentation ask for an API key."""

    target_class = "salesengine.accounts.api_keys.APIKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        description = (
            "Write Api-Key, a blank, and the key. Staff make keys in the admin or with manage.py create_api_key; each "
            "address says which scope of the key it needs. Staff who are logged in to the admin need no key here."
        )
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": description}

    def get_security_requirement(self, auto_schema: AutoSchema) -> dict[str, list[str]]:
        """The scope that the view wants of a key (OpenAPI 3.1 lists it as a role, where 3.0 knew only OAuth's)."""
        scope = getattr(auto_schema.view, "scope", None)
        return {self.name: [str(scope)] if scope else []}


class StaffSessionScheme(SessionScheme):  # type: ignore[no-untyped-call]
    """Says in the documentation that the admin's sessions count."""

    target_class = "salesengine.accounts.api_keys.StaffSession"
    name = "StaffSession"


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Problem details as in RFC 9457.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "what to tell problems apart by"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong with this request, in words"},
        "request_id": {"type": "string", "description": "as in the header X-Request-ID, and in the service's log"},
        "error_count": {"type": "integer", "description": "the number of all errors, also where not all are listed"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "the place in the body (JSON pointer, RFC 6901)"},
                    "line": {
                        "type": "integer",
                        "description": "of newline-delimited JSON, from 1",
                    },
                    "parameter": {"type": "string", "description": "the query parameter"},
                    "detail": {"type": "string"},
                },
                "required": ["detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "request_id"],
}
COMMON_PROBLEMS = (NOT_AUTHENTICATED, NOT_ALLOWED, NOT_ACCEPTABLE, RATE_LIMITED, INTERNAL_ERROR, DATABASE_UNAVAILABLE)


def problem_responses(*own: ProblemType) -> dict[Any, OpenApiResponse]:
    """The error answers of an operation: its own, and those that every operation can have."""
    by_status = groupby(sorted((*own, *COMMON_PROBLEMS), key=attrgetter("status")), attrgetter("status"))
    return {(status, PROBLEM_JSON): _response(list(types)) for status, types in by_status}


def _response(types: Sequence[ProblemType]) -> OpenApiResponse:
    schema = {
        **PROBLEM_SCHEMA,
        "properties": PROBLEM_SCHEMA["properties"]
        | {"type": PROBLEM_SCHEMA["properties"]["type"] | {"enum": [problem.uri for problem in types]}},
    }
    return OpenApiResponse(
        schema,
        description="\n\n".join(
            f"**{each.title}** ([{each.slug}]({each.uri})). {each.meaning} {each.remedy}" for each in types
        ),
        examples=[OpenApiExample(each.slug, _example(each)) for each in types],
    )


def _example(problem: ProblemType) -> dict[str, Any]:
    return {
        "type": problem.uri,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.meaning,
        "request_id": "5f0c6a5a2b8e4d7f9a1c3e5b7d9f0a2c",
    }


def require_bodies(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Says that bodies are needed: drf-spectacular takes those whose schema is written out for optional."""
    for operations in result["paths"].values():
        for operation in operations.values():
            if "requestBody" in operation:
                operation["requestBody"]["required"] = True
    return result
