"""Read a file of events as `import_sales` does, and an event to put in such files."""

import pytest

from sales.importing.columns import ColumnMapping
from sales.importing.formats import detect_format, open_file
from sales.importing.sources import START, ImportFileError
from sales.ingest.schema import EXAMPLE

NAMES = [*EXAMPLE, "EVENT_ID"]
HEADER = ",".join(NAMES)
ROW = "1,2,3,4,203,170,2021-01-07 0:09:24,Dsquared2,clothing,57.27456,e1"
EVENT = dict(zip(NAMES, ROW.split(","), strict=True))


def batches_of(file, *mappings, delimiter=",", start=START, file_format=None):
    with open_file(file, file_format or detect_format(file), ColumnMapping(mappings), delimiter) as opened:
        assert opened.latest_checkpoint([start]) == start
        return list(opened.batches(start))


def values_of(file, *mappings, **options):
    return [value for batch in batches_of(file, *mappings, **options) for value in batch.content.values]


def failure(file, *mappings, **options):
    with pytest.raises(ImportFileError) as caught:
        batches_of(file, *mappings, **options)
    return str(caught.value)
