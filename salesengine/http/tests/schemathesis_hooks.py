"""What the command schemathesis has to be told of our formats; schemathesis.toml names this file."""

import schemathesis

# Newline-delimited JSON is described as text, and sent as it is.
schemathesis.serializer.alias("application/x-ndjson", "text/plain")
