"""The parts of the OpenAPI document that all endpoints share: authentication and problems."""

import json
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from salesengine.http import problem_types as problems
from salesengine.http.errors import PROBLEM_JSON, problem_details
from salesengine.http.problem_types import ProblemType


class APIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describe API keys, so that /docs can send one."""

    target_class = "salesengine.accounts.api_keys.APIKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        description = (
            "Enter Api-Key, a space, and the key. Staff create keys in the admin or with manage.py create_api_key. "
            "Each endpoint lists the scope that the key needs. Staff who are logged in to the admin need no key here, "
            "but a permission in place of the scope."
        )
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": description}

    def get_security_requirement(self, auto_schema: AutoSchema) -> dict[str, list[str]]:
        """Return the scope that the view requires of a key. OpenAPI 3.1 calls it a role; 3.0 had none."""
        scope = getattr(auto_schema.view, "scope", None)
        return {self.name: [str(scope)] if scope else []}


class StaffSessionScheme(SessionScheme):  # type: ignore[no-untyped-call]
    """Describe admin sessions, which the API accepts as well."""

    target_class = "salesengine.accounts.api_keys.StaffSession"
    name = "StaffSession"


TEXT = {"type": "string"}


def object_schema(properties: dict[str, Any], *optional: str) -> dict[str, Any]:
    """Describe an object with these properties. All of them are required, except those named in `optional`."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


ERROR_SCHEMA = object_schema(
    {
        "pointer": TEXT | {"description": "the location in the body (JSON pointer, RFC 6901)"},
        "line": {"type": "integer", "description": "the line number in newline-delimited JSON, from 1"},
        "parameter": TEXT | {"description": "the query parameter"},
        "detail": TEXT,
    },
    *("pointer", "line", "parameter"),
)
PROBLEM_PROPERTIES: dict[str, Any] = {
    "type": TEXT | {"format": "uri-reference", "description": "identifies the problem; never changes"},
    "title": TEXT,
    "status": {"type": "integer"},
    "detail": TEXT | {"description": "the error in this request, for people"},
    "request_id": TEXT | {"description": "as in the header X-Request-ID and in the log"},
    "error_count": {"type": "integer", "description": "the total number of errors, even if not all are listed"},
    "errors": {"type": "array", "items": ERROR_SCHEMA},
}
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "Problem details as in RFC 9457.",
    "properties": PROBLEM_PROPERTIES,
    "required": ["type", "title", "status", "detail", "request_id"],
}
EXAMPLE_REQUEST_ID = "5f0c6a5a2b8e4d7f9a1c3e5b7d9f0a2c"
COMMON_PROBLEMS = (
    problems.NOT_AUTHENTICATED,
    problems.NOT_ALLOWED,
    problems.NOT_ACCEPTABLE,
    problems.RATE_LIMITED,
    problems.INTERNAL_ERROR,
    problems.DATABASE_UNAVAILABLE,
)


def problem_responses(*own: ProblemType) -> dict[Any, OpenApiResponse]:
    """Return the error responses of an operation: its own problems and those that every operation can have."""
    by_status = groupby(sorted((*own, *COMMON_PROBLEMS), key=attrgetter("status")), attrgetter("status"))
    return {(status, PROBLEM_JSON): _response(list(types)) for status, types in by_status}


def _response(types: Sequence[ProblemType]) -> OpenApiResponse:
    schema = {
        "$ref": "#/components/schemas/Problem",
        "properties": {"type": {"enum": [problem.uri for problem in types]}},
    }
    description = "\n\n".join(
        f"**{problem.title}** ([{problem.slug}]({problem.uri})). {problem.meaning} {problem.remedy}"
        for problem in types
    )
    examples = [
        OpenApiExample(problem.slug, problem_details(problem, problem.meaning) | {"request_id": EXAMPLE_REQUEST_ID})
        for problem in types
    ]
    return OpenApiResponse(schema, description=description, examples=examples)


def require_bodies(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Mark request bodies as required. drf-spectacular treats a body with a schema of its own as optional."""
    for operations in result["paths"].values():
        for operation in operations.values():
            if "requestBody" in operation:
                operation["requestBody"]["required"] = True
    return result


def share_responses(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Move responses to the components, because many operations have the same ones. Operations refer to them."""
    names: dict[str, str] = {}  # by content
    components = result["components"]
    components["schemas"] = components.get("schemas", {}) | {"Problem": PROBLEM_SCHEMA}
    components["responses"] = {}
    for operations in result["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                name = names.setdefault(json.dumps(response, default=str), f"{operation['operationId']}_{status}")
                components["responses"][name] = response
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    return result
