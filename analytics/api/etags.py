"""ETags of reports: which responses have one, and when it changes.

An ETag is weak: the rows are the same, but their bytes may differ. Rows without an ORDER BY come in any order, xlsx
files contain the time, and proxies compress.
"""

import hashlib
from pathlib import Path

from django.conf import settings
from django.utils.http import parse_etags

from analytics.api.parameters import ReportQuery
from salesengine.exact_json import encode_json

PACKAGES = ("analytics", "countries", "sales", "salesengine")


def build_fingerprint(folder: Path) -> str:
    """Return the SHA-256 of the product's source code and pinned packages, in hex. It is the same on all servers."""
    sources = (path for package in PACKAGES for path in (folder / package).rglob("*.py"))
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("requirements.txt"), *sources]):
        relative = path.relative_to(folder)
        if "tests" not in relative.parts:  # an image has no tests
            digest.update(f"{relative.as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


# Computed when the process starts, because the files may be replaced while it still runs the old code.
BUILD = build_fingerprint(settings.BASE_DIR)


def make_etag(query: ReportQuery, data_version: str | None) -> str | None:
    """Return the ETag of a response, or None without a version of the data."""
    if data_version is None:
        return None
    report = query.report
    parts = [
        BUILD,
        report.name,
        report.sql_hash,
        report.header.model_dump(mode="json"),
        query.bound.texts,
        query.format.name,
        query.limit,
        data_version,
    ]
    return f'W/"{hashlib.sha256(encode_json(parts)).hexdigest()[:32]}"'


def matches(etag: str | None, if_none_match: str) -> bool:
    """Say whether If-None-Match has the ETag. The comparison is weak (RFC 9110, 13.1.2)."""
    known = {known.removeprefix("W/") for known in parse_etags(if_none_match)}
    return etag is not None and bool(known & {etag.removeprefix("W/"), "*"})
