"""What /docs says of every address."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from salesengine.errors import PROBLEM_JSON


class APIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Lets the documentation ask for an API key."""

    target_class = "salesengine.api_keys.APIKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        description = "Write Api-Key, a blank, and the key. Staff make keys in the admin."
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": description}


PROBLEM_SCHEMA = {
    "type": "object",
    "description": "Problem details as in RFC 9457.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "error_count": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "the place in the body (JSON pointer, RFC 6901)"},
                    "parameter": {"type": "string", "description": "the query parameter"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}


def problems(*statuses: int) -> dict[Any, Any]:
    return {(status, PROBLEM_JSON): PROBLEM_SCHEMA for status in statuses}
