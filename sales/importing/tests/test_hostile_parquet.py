"""Damaged Parquet files are reported, and small ones do not need much memory, however far their columns expand."""

import os
import subprocess
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

from sales.importing.columns import ColumnMapping
from sales.importing.formats import open_file
from sales.importing.sources import START, ImportFileError
from sales.ingest.fields import FIELDS
from salesengine.tests.servers import ROOT

ROWS = 5_000
# Reads a file and prints the number of rows, the peak of memory in megabytes, and why the file was refused.
READ = """
import sys
import django
django.setup()
import sales.importing.parquet
from sales.importing.columns import ColumnMapping
from sales.importing.formats import open_file
from sales.importing.sources import START, ImportFileError

def peak():
    # Not resource.getrusage: its peak includes that of the parent process.
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) // 1024

before = peak()
rows, reason = 0, ""
try:
    with open_file(sys.argv[1], "parquet", ColumnMapping(), ",") as file:
        for batch in file.batches(START):
            rows += len(batch.content.values)
except ImportFileError as error:
    reason = str(error)
print(rows, peak() - before, reason)
"""


def repeated(text):
    """Return a column that has one long text for every row, once in a dictionary."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array([text]))


def write_parquet(path, brand, **options):
    """Write a file of events with this column BRAND."""
    columns = {name: pa.array(["1"] * len(brand)) for name, field in FIELDS.items() if field.is_required}
    parquet.write_table(pa.table(columns | {"BRAND": brand}), path, compression="zstd", store_schema=False, **options)


def values_of(path, *mappings):
    with open_file(str(path), "parquet", ColumnMapping(mappings), ",") as file:
        return [value for batch in file.batches(START) for value in batch.content.values]


@pytest.mark.parametrize("brand", [{"a": 1}, ["x"]])
def test_a_column_of_lists_or_objects_is_refused(tmp_path, brand):
    path = tmp_path / "a.parquet"
    write_parquet(path, pa.array([brand]))

    with pytest.raises(ImportFileError, match=r"the column 'BRAND' has the type .*; drop it with --map 'BRAND='"):
        values_of(path)
    assert "BRAND" not in values_of(path, "BRAND=")[0]


@pytest.mark.parametrize("damaged", [b"BRAND", b"Zara"])
def test_a_name_or_a_text_that_is_not_utf_8_is_reported(tmp_path, damaged):
    path = tmp_path / "a.parquet"
    write_parquet(path, pa.array(["Zara"]), use_dictionary=False)
    content = path.read_bytes()
    assert damaged in content
    path.write_bytes(content.replace(damaged, b"\xff" * len(damaged)))

    with pytest.raises(ImportFileError, match="is not a readable Parquet file: a name or a text is not UTF-8"):
        values_of(path)


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a file with this BRAND and reads it in another process."""

    def write_and_read(brand, **options):
        path = tmp_path / "a.parquet"
        write_parquet(path, brand, **options)
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "salesengine.settings", "ENV_FILE": os.devnull}
        command = [sys.executable, "-c", READ, str(path)]
        finished = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        rows, megabytes, reason = finished.stdout.strip("\n").split(" ", 2)
        return path.stat().st_size, int(rows), int(megabytes), reason

    return write_and_read


@pytest.mark.slow
def test_a_long_text_that_all_rows_share_is_not_in_memory_for_each_row(read):
    size, rows, megabytes, _ = read(repeated("x" * 580_000), dictionary_pagesize_limit=10**9)

    assert size < 2_500
    assert rows == ROWS
    assert megabytes < 200


@pytest.mark.slow
def test_a_text_that_is_too_long_for_an_event_stops_the_import(read):
    _, rows, megabytes, reason = read(repeated("x" * 2_000_000), dictionary_pagesize_limit=10**9)

    assert (rows, reason) == (0, "has a text of 2,000,000 bytes in 'BRAND', which is too long for an event")
    assert megabytes < 200


@pytest.mark.slow
def test_a_column_that_expands_too_far_is_refused_before_it_is_read(read):
    brand = pa.array(["x" * 40_000] * ROWS)
    size, rows, megabytes, reason = read(brand, use_dictionary=False, data_page_size=2 * 10**9)

    assert size < 100_000
    assert (rows, megabytes < 100) == (0, True)
    assert reason.startswith("cannot be imported: the column 'BRAND' expands to 200,")


@pytest.mark.slow
def test_a_large_file_that_is_not_compressed_is_read_in_small_batches(read):
    brand = pa.array([os.urandom(20_000).hex() for _ in range(ROWS)])
    _, rows, megabytes, reason = read(brand, use_dictionary=False)

    assert (rows, reason) == (ROWS, "")
    assert megabytes < 250
