"""Write files of events, import them with manage.py import_sales, and read what is stored."""

import io
import json
import os
import threading
from contextlib import contextmanager, suppress

import pytest
from django.core.management import CommandError, call_command

from sales.ingest.schema import EXAMPLE
from sales.models import Sale


def events(start, stop, **changes):
    """Return an event for each number, which is its ID_ORDER."""
    return [EXAMPLE | {"ID_ORDER": str(number)} | changes for number in range(start, stop)]


def ndjson(*lists):
    return "".join(json.dumps(event) + "\n" for rows in lists for event in rows)


def csv_text(rows):
    names = list(dict.fromkeys(name for row in rows for name in row)) or list(EXAMPLE)
    lines = [names, *([row.get(name) or "" for name in names] for row in rows)]
    return "".join(",".join(line) + "\n" for line in lines)


def stored_orders():
    """Return the ID_ORDERs of all sales, sorted: two batches that are written together draw ids in any order."""
    return sorted(Sale.objects.values_list("id_order", flat=True))


def orders(*ranges):
    return sorted(str(number) for numbers in ranges for number in numbers)


@contextmanager
def standard_input(content, monkeypatch):
    """Let a pipe with this content be standard input."""
    reading, writing = os.pipe()

    def write():
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
            pipe.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with io.TextIOWrapper(os.fdopen(reading, "rb")) as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            yield
    finally:
        writer.join()


def import_sales(*arguments):
    call_command("import_sales", *arguments)


@contextmanager
def failing(exit_code, *texts):
    """Expect a command to fail with this exit code and a message that contains these texts."""
    with pytest.raises(CommandError) as failure:
        yield
    assert failure.value.returncode == exit_code, failure.value
    for text in texts:
        assert text in str(failure.value)
