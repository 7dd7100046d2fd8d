"""Each format of a file of events is read exactly, and unreadable files are refused."""

import gzip
import os
import threading
from decimal import Decimal

import pytest

from sales.importing import sources
from sales.importing.columns import ColumnMapping
from sales.importing.formats import detect_format, open_file
from sales.importing.sources import START, Checkpoint
from sales.importing.tests.files import EVENT, HEADER, NAMES, ROW, batches_of, failure, values_of
from sales.importing.tests.imports import standard_input
from sales.ingest.schema import NotJSON


@pytest.fixture
def write(tmp_path):
    def write(text, name="sales.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_the_format_is_detected_from_the_name():
    names = ["a.csv", "a.CSV.gz", "a.ndjson", "a.jsonl.gz", "a.json", "b/a.parquet", "a.txt", "a", "-"]
    assert list(map(detect_format, names)) == ["csv", "csv", *["ndjson"] * 3, "parquet", None, None, None]


# CSV


def test_csv_cells_are_text_and_an_empty_cell_is_null_where_the_field_may_be(write):
    assert values_of(write(f"{HEADER}\r\n{ROW}\r\n\r\n,2,3,4,203,170,2021-01-07,,,1.50,\r\n")) == [
        EVENT,
        EVENT
        | {"ID_ORDER": "", "DATE_PAYMENT": "2021-01-07", "BRAND": None, "CATEGORY": None}
        | {"REVENUE": "1.50", "EVENT_ID": None},
    ]


def test_a_quoted_cell_may_hold_delimiters_quotes_and_line_breaks_and_a_row_has_the_number_of_its_first_line(write):
    brand = 'a,"b"\nc'
    text = f"{HEADER}\n" + ROW.replace("Dsquared2", '"a,""b""\nc"') + f"\n\n{ROW}\n"

    [batch] = batches_of(write(text))

    assert batch.content.values == [EVENT | {"BRAND": brand}, EVENT]
    assert batch.content.lines == [2, 5]


def test_column_names_may_have_any_case_order_blanks_and_a_byte_order_mark(write):
    names = ", ".join(name.title() for name in reversed(NAMES))
    cells = ",".join(reversed(ROW.split(",")))
    assert values_of(write(f"\ufeff{names}\n{cells}\n")) == [EVENT]


def test_mapped_columns_are_renamed_or_dropped(write):
    text = f"{HEADER},remark\n{ROW},nice\n".replace("ID_ORDER", "Order No")
    assert values_of(write(text), "order no=id_order", "Remark=") == [EVENT]


def test_the_delimiter_can_be_chosen(write):
    assert values_of(write(f"{HEADER}\n{ROW}\n".replace(",", ";")), delimiter=";") == [EVENT]


@pytest.mark.parametrize(
    ("header", "mappings", "text"),
    [
        (
            f"{HEADER},color",
            [],
            "the column 'color' is not a field of a sale event; map it with --map 'color=OURS' or",
        ),
        (f"{HEADER},brand", [], "the columns 'BRAND' and 'brand' both map to BRAND"),
        (f"{HEADER},make", ["make=BRAND"], "the columns 'BRAND' and 'make' both map to BRAND"),
        (HEADER.replace("ID_ORDER,", ""), [], "no column maps to ID_ORDER; map one with --map"),
        ("", [], "has no header in its first line"),
        (f'{HEADER}"x"y"', [], 'the column \'EVENT_ID"x"y"\' is not a field'),
        ('"' + HEADER, [], "has no readable header: it is not valid CSV"),
    ],
)
def test_a_header_with_invalid_columns_is_refused(write, header, mappings, text):
    assert text in failure(write(f"{header}\n"), *mappings)


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        ("order", "'order' must have the form THEIRS=OURS"),
        ("=BRAND", "must have the form"),
        ("order=NUMBER", "'NUMBER' is not a field of a sale event; the fields are ID_ORDER, ID_PRODUCT"),
        ("Brand =", "'Brand ' is mapped twice"),
    ],
)
def test_an_invalid_mapping_is_refused(mapping, text):
    with pytest.raises(ValueError, match="^" + text if text.startswith("'") else text):
        ColumnMapping(["brand=BRAND", mapping])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,2,3", "has 3 values, but the header has 11; put quotes around a value that contains ','"),
        (ROW.encode() + b",x", "has 12 values"),
        (ROW.encode().replace(b"Ds", b"\xff"), "is not UTF-8"),
        (ROW.encode().replace(b"Dsquared2", b'"a"b'), "is not valid CSV"),
    ],
)
def test_an_unreadable_row_is_an_invalid_event_with_the_text_that_was_sent(write, row, reason):
    [batch] = batches_of(write(b"\n".join([HEADER.encode(), row, ROW.encode(), b""])))

    bad, good = batch.content.values
    assert good == EVENT
    assert isinstance(bad, NotJSON)
    assert bad.reason.startswith(reason)
    assert batch.content.texts()[0] == row


def test_an_unclosed_quote_makes_only_one_row_unreadable_and_loses_no_text(write, monkeypatch):
    monkeypatch.setattr(sources, "BATCH_SIZE", 1000)
    rows = [ROW] * 5000
    rows[10] = ROW.replace("Dsquared2", '"Dsquared2')

    batches = batches_of(write("\n".join([HEADER, *rows, ""])))

    unreadable = [value for batch in batches for value in batch.content.values if isinstance(value, NotJSON)]
    texts = [text for batch in batches for text in batch.content.texts()]
    assert len(unreadable) == 1
    assert sum(text.count(b"Dsquared2") for text in texts) == 5000


# NDJSON


def test_field_names_of_ndjson_match_in_any_case(write):
    lines = [
        '{"ID_ORDER": "1", "REVENUE": 1.10}', "", ' {"id_order": "1", "Revenue ": "1.10"}\r', "[1]", "{",
        '{"brand": "a", "BRAND": "b"}', '{"color": 1}',
    ]  # fmt: skip

    [batch] = batches_of(write("\ufeff" + "\n".join(lines), "sales.ndjson"))

    first, second, third, broken, twice, unknown = batch.content.values
    assert (first, second) == ({"ID_ORDER": "1", "REVENUE": Decimal("1.10")}, {"ID_ORDER": "1", "REVENUE": "1.10"})
    assert (third, unknown) == ([1], {"color": 1})
    assert broken.reason.startswith("is not valid JSON in UTF-8")
    assert twice == NotJSON("has BRAND twice, under different names")
    assert list(batch.content.lines) == [1, 3, 4, 5, 6, 7]
    assert batch.content.texts()[1] == b'{"id_order": "1", "Revenue ": "1.10"}'


def test_field_names_of_ndjson_are_mapped(write):
    line = '{"order": "1", "BRAND": "a", "x": 1}'
    assert values_of(write(line, "a.jsonl"), "order=ID_ORDER", "x=") == [{"ID_ORDER": "1", "BRAND": "a"}]


def test_a_line_that_is_too_long_is_refused_without_reading_all_of_it(write, monkeypatch):
    monkeypatch.setattr(sources, "MAX_LINE", 100)
    assert failure(write('{}\n{"a": "' + "x" * 100 + '"}\n', "a.ndjson")) == (
        "has more than 100 bytes in line 2, which is too long for an event"
    )


def test_a_batch_ends_at_a_number_of_lines_or_bytes_and_has_a_checkpoint_there(write, monkeypatch):
    monkeypatch.setattr(sources, "BATCH_SIZE", 3)
    monkeypatch.setattr(sources, "BATCH_BYTES", 50)
    text = "{}\n" * 4 + '{"BRAND": "' + "x" * 50 + '"}\n' + "{}"
    path = write(text, "a.ndjson")

    batches = batches_of(path)

    assert [(batch.end.lines, batch.end.size, len(batch.content.values)) for batch in batches] == [
        (3, 9, 3), (5, len(text) - 2, 2), (6, len(text), 1),
    ]  # fmt: skip
    assert [batch.end for batch in batches_of(path, start=batches[0].end)] == [batch.end for batch in batches[1:]]


# Compressed and unreadable files


def test_a_gzip_file_is_decompressed_whatever_its_name(write):
    packed = gzip.compress(f"{HEADER}\n".encode()) + gzip.compress(f"{ROW}\n".encode())
    assert values_of(write(packed, "a.csv.gz")) == values_of(write(packed, "a.csv")) == [EVENT]


@pytest.mark.parametrize("cut", [1, 30])
def test_a_truncated_gzip_file_fails(write, cut):
    packed = gzip.compress("\n".join([HEADER, *[ROW] * 3]).encode())
    assert "is a damaged gzip file" in failure(write(packed[:-cut], "a.csv.gz"))


def test_a_corrupted_gzip_file_fails(write):
    packed = bytearray(gzip.compress("\n".join([HEADER, *[ROW] * 3]).encode()))
    packed[-6] ^= 255
    assert "is a damaged gzip file" in failure(write(bytes(packed), "a.csv.gz"))


def test_a_file_named_gz_that_is_not_compressed_fails(write):
    assert failure(write(HEADER, "a.csv.gz")) == "is named .gz but is not compressed with gzip"


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_missing_file_and_a_folder_cannot_be_read(tmp_path, name):
    assert failure(str(tmp_path / name)) == "cannot be read: No such file or directory"
    (tmp_path / name).mkdir()
    assert failure(str(tmp_path / name)) == "cannot be read: Is a directory"


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_standard_input_resumes_at_a_checkpoint_although_it_cannot_be_rewound(write, monkeypatch, compress):
    text = "\n".join([HEADER, *[ROW] * 50_000, ""]).encode()
    monkeypatch.setattr(sources, "BATCH_SIZE", 1000)
    first, *rest = batches_of(write(text))
    unknown = Checkpoint(len(text) - 5, 0, b"of another file")

    with (
        standard_input(compress(text), monkeypatch),
        open_file("-", "csv", ColumnMapping(), ",") as opened,
    ):
        assert len(opened.prefixes()) == 7  # 1, 2, 4, ... 64 rows
        assert opened.latest_checkpoint([unknown, first.end]) == first.end
        assert [batch.end for batch in opened.batches(first.end)] == [batch.end for batch in rest]


def test_a_named_pipe_is_read_like_standard_input(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=[f"{HEADER}\n{ROW}\n"])
    writer.start()
    assert values_of(str(pipe)) == [EVENT]
    writer.join()


def test_the_last_checkpoint_that_fits_the_content_is_found(write, monkeypatch):
    monkeypatch.setattr(sources, "BATCH_SIZE", 10)
    path = write("\n".join([HEADER, *[ROW] * 35, ""]))
    other = write("\n".join([HEADER, *[ROW] * 15, *[ROW.replace("e1", "e2")] * 20, ""]), "other.csv")
    checkpoints = [batch.end for batch in batches_of(path)]

    with open_file(path, "csv", ColumnMapping(), ",") as opened:
        assert opened.latest_checkpoint(checkpoints) == checkpoints[-1]
    with open_file(other, "csv", ColumnMapping(), ",") as opened:
        assert opened.latest_checkpoint(checkpoints) == checkpoints[0]
        assert opened.latest_checkpoint([]) == START


def test_a_file_is_refused_when_its_last_imported_line_was_incomplete_and_has_grown(write):
    first = '{"a": 1}'
    [batch] = batches_of(write(first, "a.ndjson"))

    text = failure(write(first + ' {"a": 2}\n', "a.ndjson"), start=batch.end)

    assert "imported up to line 1 while that line was incomplete: the first 8 bytes are stored" in text
    assert "import the lines after it as another file" in text


def test_a_line_break_that_is_added_to_the_last_imported_line_is_not_a_line(write):
    [first] = batches_of(write("{}", "a.ndjson"))

    [second] = batches_of(write("{}\r\n{}\n{}", "a.ndjson"), start=first.end)

    assert (second.content.lines, second.end.lines, second.end.size) == ([2, 3], 3, 9)
    assert second.end == batches_of(write("{}\r\n{}\n{}", "b.ndjson"))[0].end
    assert batches_of(write("{}\n", "a.ndjson"), start=first.end) == []


@pytest.mark.parametrize("last", [ROW, ROW[:-5], '1,"2', "1", ""])
def test_a_csv_file_without_a_line_break_at_its_end_is_refused_because_it_may_be_cut_off(write, last):
    text = f"{HEADER}\n{ROW}\n"
    lines = f"{text}{last}" if last else HEADER

    assert f"has no line break at the end of line {3 if last else 1}, its last" in failure(write(lines))
