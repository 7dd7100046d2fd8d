"""Environment variables: those of a service in production, and those that .env.example documents."""

import re

from salesengine.tests.servers import ROOT

ENV_EXAMPLE = ROOT / ".env.example"
SECRET = "a-secret-key-for-tests-that-is-long-enough-for-the-checks-1234567890"
PRODUCTION = {
    "DATABASE_URL": "postgres://salesengine:secret@db.example.com/salesengine",
    "SECRET_KEY": SECRET,
    "ALLOWED_HOSTS": "sales.example.com",
}


def documented(section: str = "") -> dict[str, str]:
    """Return the names and defaults in .env.example, from the sections whose heading starts with `section`."""
    sections = re.split(r"^## ", ENV_EXAMPLE.read_text(), flags=re.MULTILINE)[1:]
    lines = "".join(text for text in sections if text.startswith(section))
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", lines, flags=re.MULTILINE))
