"""Standard input is copied to a temporary file while it is read, and that may not fit on the disk."""

import pytest

from sales.importing.columns import ColumnMapping
from sales.importing.formats import open_file
from sales.importing.sources import ImportFileError
from sales.importing.tests.imports import standard_input
from salesengine.tests.servers import full_disk


def test_a_full_disk_is_not_reported_as_unreadable_input(monkeypatch):
    with (
        standard_input(b"x" * 100_000, monkeypatch),
        full_disk(50_000),
        pytest.raises(ImportFileError, match=r"cannot be copied to .* while it is read: File too large"),
        open_file("-", "ndjson", ColumnMapping()) as file,
    ):
        file.prefixes()
