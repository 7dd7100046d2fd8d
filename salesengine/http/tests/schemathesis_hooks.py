"""Hooks for the command schemathesis, which schemathesis.toml points to."""

import schemathesis

# The OpenAPI document describes newline-delimited JSON as text, so send it unchanged.
schemathesis.serializer.alias("application/x-ndjson", "text/plain")
