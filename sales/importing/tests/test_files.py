"""Files of events: what each form makes of them, and what is said of those that cannot be read."""

import datetime
import gzip
import io
import os
import sys
import threading
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from sales.importing import sources as files
from sales.importing.columns import Columns
from sales.importing.formats import form_of, open_file
from sales.importing.sources import START, ImportFileError
from sales.ingest.schema import EXAMPLE, NotJSON, validate_events

NAMES = [*EXAMPLE, "EVENT_ID"]
HEADER = ",".join(NAMES)
ROW = "1,2,3,4,203,170,2021-01-07 0:09:24,Dsquared2,clothing,57.27456,e1"
EVENT = dict(zip(NAMES, ROW.split(","), strict=True))


@pytest.fixture
def write(tmp_path):
    def write(text, name="sales.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.fixture
def write_parquet(tmp_path):
    def write(name="sales.importing.parquet", row_group_size=None, **columns):
        table = pa.table({**{name: [value] for name, value in EVENT.items()}, **columns})
        parquet.write_table(table, tmp_path / name, row_group_size=row_group_size)
        return str(tmp_path / name)

    return write


def chunks_of(file, *maps, delimiter=",", place=START, form=None):
    with open_file(file, form or form_of(file), Columns(maps), delimiter) as opened:
        assert opened.taken([place]) == place
        return list(opened.chunks(place))


def values_of(file, *maps, **options):
    return [value for chunk in chunks_of(file, *maps, **options) for value in chunk.batch.values]


def failure(file, *maps, **options):
    with pytest.raises(ImportFileError) as caught:
        chunks_of(file, *maps, **options)
    return str(caught.value)


def test_the_name_tells_the_form():
    names = ["a.csv", "a.CSV.gz", "a.ndjson", "a.jsonl.gz", "a.json", "b/a.parquet", "a.txt", "a", "-"]
    assert list(map(form_of, names)) == ["csv", "csv", *["ndjson"] * 3, "parquet", None, None, None]


# CSV


def test_cells_of_csv_are_text_and_an_empty_one_is_null_where_a_field_may_be(write):
    assert values_of(write(f"{HEADER}\r\n{ROW}\r\n\r\n,2,3,4,203,170,2021-01-07,,,1.50,\r\n")) == [
        EVENT,
        EVENT
        | {"ID_ORDER": "", "DATE_PAYMENT": "2021-01-07", "BRAND": None, "CATEGORY": None}
        | {"REVENUE": "1.50", "EVENT_ID": None},
    ]


def test_a_cell_in_quotes_may_hold_delimiters_quotes_and_lines_and_each_row_has_the_line_it_starts_at(write):
    brand = 'a,"b"\nc'
    text = f"{HEADER}\n" + ROW.replace("Dsquared2", '"a,""b""\nc"') + f"\n\n{ROW}"

    [chunk] = chunks_of(write(text))

    assert chunk.batch.values == [EVENT | {"BRAND": brand}, EVENT]
    assert chunk.batch.lines == [2, 5]


def test_column_names_may_have_any_case_blanks_a_byte_order_mark_and_an_order_of_their_own(write):
    names = ", ".join(name.title() for name in reversed(NAMES))
    cells = ",".join(reversed(ROW.split(",")))
    assert values_of(write(f"\ufeff{names}\n{cells}\n")) == [EVENT]


def test_columns_are_renamed_and_dropped_as_mapped(write):
    text = f"{HEADER},remark\n{ROW},nice\n".replace("ID_ORDER", "Order No")
    assert values_of(write(text), "order no=id_order", "Remark=") == [EVENT]


def test_another_delimiter_is_taken(write):
    assert values_of(write(f"{HEADER}\n{ROW}\n".replace(",", ";")), delimiter=";") == [EVENT]


@pytest.mark.parametrize(
    ("header", "maps", "words"),
    [
        (f"{HEADER},colour", [], "the column 'colour' is no field of a sale event; --map 'colour=OURS' says which"),
        (f"{HEADER},brand", [], "the columns 'BRAND' and 'brand' would both be BRAND"),
        (f"{HEADER},make", ["make=BRAND"], "the columns 'BRAND' and 'make' would both be BRAND"),
        (HEADER.replace("ID_ORDER,", ""), [], "there is no column for ID_ORDER; --map"),
        ("", [], "has no header in its first line"),
        (f'{HEADER}"x"y"', [], 'the column \'EVENT_ID"x"y"\' is no field'),
        ('"' + HEADER, [], "has no header that can be read: it is not valid CSV"),
    ],
)
def test_columns_that_make_no_sense_are_refused_at_once(write, header, maps, words):
    assert words in failure(write(header), *maps)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ("order", "'order' is not of the form theirs=OURS"),
        ("=BRAND", "is not of the form"),
        ("order=NUMBER", "'NUMBER' is no field of a sale event; the fields are ID_ORDER, ID_PRODUCT"),
        ("Brand =", "'Brand ' is mapped twice"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(mapping, words):
    with pytest.raises(ValueError, match="^" + words if words.startswith("'") else words):
        Columns(["brand=BRAND", mapping])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,2,3", "has 3 values, and the header has 11; a value that holds ',' needs quotes around it"),
        (ROW.encode() + b",x", "has 12 values"),
        (ROW.encode().replace(b"Ds", b"\xff"), "is not in UTF-8"),
        (ROW.encode().replace(b"Dsquared2", b'"a"b'), "is not valid CSV"),
    ],
)
def test_a_row_that_cannot_be_read_is_a_bad_event_and_kept_as_it_came(write, row, reason):
    [chunk] = chunks_of(write(b"\n".join([HEADER.encode(), row, ROW.encode()])))

    bad, good = chunk.batch.values
    assert good == EVENT
    assert isinstance(bad, NotJSON)
    assert bad.reason.startswith(reason)
    assert chunk.batch.texts()[0] == row


def test_a_quote_that_is_never_closed_costs_no_more_than_what_it_swallows(write, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 1000)
    rows = [ROW] * 5000
    rows[10] = ROW.replace("Dsquared2", '"Dsquared2')

    chunks = chunks_of(write("\n".join([HEADER, *rows])))

    bad = [value for chunk in chunks for value in chunk.batch.values if isinstance(value, NotJSON)]
    kept = [text for chunk in chunks for text in chunk.batch.texts()]
    assert len(bad) == 1
    assert sum(text.count(b"Dsquared2") for text in kept) == 5000


# NDJSON


def test_lines_of_ndjson_are_events_by_any_case_of_their_names(write):
    lines = [
        '{"ID_ORDER": "1", "REVENUE": 1.10}', "", ' {"id_order": "1", "Revenue ": "1.10"}\r', "[1]", "{",
        '{"brand": "a", "BRAND": "b"}', '{"colour": 1}',
    ]  # fmt: skip

    [chunk] = chunks_of(write("\ufeff" + "\n".join(lines), "sales.ndjson"))

    first, second, third, broken, twice, unknown = chunk.batch.values
    assert (first, second) == ({"ID_ORDER": "1", "REVENUE": Decimal("1.10")}, {"ID_ORDER": "1", "REVENUE": "1.10"})
    assert (third, unknown) == ([1], {"colour": 1})
    assert broken.reason.startswith("is not valid JSON in UTF-8")
    assert twice == NotJSON("has BRAND twice, by different names")
    assert list(chunk.batch.lines) == [1, 3, 4, 5, 6, 7]
    assert chunk.batch.texts()[1] == b'{"id_order": "1", "Revenue ": "1.10"}'


def test_names_of_ndjson_are_mapped(write):
    line = '{"order": "1", "BRAND": "a", "x": 1}'
    assert values_of(write(line, "a.jsonl"), "order=ID_ORDER", "x=") == [{"ID_ORDER": "1", "BRAND": "a"}]


def test_a_line_that_is_too_long_fails_without_being_read_whole(write, monkeypatch):
    monkeypatch.setattr(files, "MAX_LINE", 100)
    assert failure(write('{}\n{"a": "' + "x" * 100 + '"}\n', "a.ndjson")) == (
        "has more than 100 bytes in line 2, too long for an event"
    )


def test_chunks_end_by_lines_and_by_bytes_and_say_where(write, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 3)
    monkeypatch.setattr(files, "CHUNK_BYTES", 50)
    text = "{}\n" * 4 + '{"BRAND": "' + "x" * 50 + '"}\n' + "{}"
    path = write(text, "a.ndjson")

    chunks = chunks_of(path)

    assert [(chunk.end.lines, chunk.end.size, len(chunk.batch.values)) for chunk in chunks] == [
        (3, 9, 3), (5, len(text) - 2, 2), (6, len(text), 1),
    ]  # fmt: skip
    assert [chunk.end for chunk in chunks_of(path, place=chunks[0].end)] == [chunk.end for chunk in chunks[1:]]


# Packed files, and those that cannot be read


def test_a_packed_file_is_unpacked_whatever_it_is_called(write):
    packed = gzip.compress(f"{HEADER}\n".encode()) + gzip.compress(ROW.encode())
    assert values_of(write(packed, "a.csv.gz")) == values_of(write(packed, "a.csv")) == [EVENT]


@pytest.mark.parametrize("cut", [1, 30])
def test_a_packed_file_that_is_broken_off_fails(write, cut):
    packed = gzip.compress("\n".join([HEADER, *[ROW] * 3]).encode())
    assert "is damaged, its gzip packing is broken" in failure(write(packed[:-cut], "a.csv.gz"))


def test_a_packed_file_that_was_overwritten_fails(write):
    packed = bytearray(gzip.compress("\n".join([HEADER, *[ROW] * 3]).encode()))
    packed[-6] ^= 255
    assert "is damaged" in failure(write(bytes(packed), "a.csv.gz"))


def test_what_is_named_gz_and_is_none_fails(write):
    assert failure(write(HEADER, "a.csv.gz")) == "is named .gz and is not packed by gzip"


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_file_that_is_not_there_and_a_folder_cannot_be_read(tmp_path, name):
    assert failure(str(tmp_path / name)) == "cannot be read: No such file or directory"
    (tmp_path / name).mkdir()
    assert failure(str(tmp_path / name)) == "cannot be read: Is a directory"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input_goes_on_after_a_place_though_it_cannot_be_read_twice(write, monkeypatch, pack):
    text = "\n".join([HEADER, *[ROW] * 50_000]).encode()
    monkeypatch.setattr(files, "CHUNK", 1000)
    first, *rest = chunks_of(write(text))
    far = files.Checkpoint(len(text) - 5, 0, b"of another file")

    class Pipe(io.BytesIO):
        def seek(self, *args):
            raise AssertionError("a pipe cannot")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Pipe(pack(text)), encoding="ascii"))
    with open_file("-", "csv", Columns(), ",") as opened:
        assert opened.head() == f"{HEADER}\n{ROW}\n".encode()
        assert opened.taken([far, first.end]) == first.end
        assert [chunk.end for chunk in opened.chunks(first.end)] == [chunk.end for chunk in rest]


def test_a_pipe_with_a_name_is_read_as_standard_input_is(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=[f"{HEADER}\n{ROW}\n"])
    writer.start()
    assert values_of(str(pipe)) == [EVENT]
    writer.join()


def test_the_last_place_that_this_very_content_was_taken_to_is_found(write, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 10)
    path = write("\n".join([HEADER, *[ROW] * 35]))
    other = write("\n".join([HEADER, *[ROW] * 15, *[ROW.replace("e1", "e2")] * 20]), "other.csv")
    places = [chunk.end for chunk in chunks_of(path)]

    with open_file(path, "csv", Columns(), ",") as opened:
        assert opened.taken(places) == places[-1]
    with open_file(other, "csv", Columns(), ",") as opened:
        assert opened.taken(places) == places[0]
        assert opened.taken([]) == START


def test_a_file_whose_last_line_was_taken_unfinished_is_refused_when_that_line_goes_on(write):
    [chunk] = chunks_of(write(f"{HEADER}\n{ROW}"))
    assert "when that line had no end yet" in failure(write(f"{HEADER}\n{ROW}23\n"), place=chunk.end)
    assert values_of(write(f"{HEADER}\n{ROW}\n{ROW}\n"), place=chunk.end) == [EVENT]


# Parquet


def test_what_parquet_holds_in_types_of_its_own_comes_out_exact(write_parquet):
    moment = datetime.datetime(2021, 1, 7, 1, 9, 24, 123456)  # noqa: DTZ001
    types = {
        "id_order": pa.array([34033734], pa.uint64()),
        "ID_BUYER": pa.array(["3"]).dictionary_encode(),
        "DATE_PAYMENT": pa.array([moment], pa.timestamp("us")).cast(pa.timestamp("ns", "UTC")),
        "REVENUE": pa.array([Decimal("999999999999999.00000000000000000001")], pa.decimal128(38, 20)),
        "BRAND": pa.array([None], pa.string()),
    }
    columns = {name: [value] for name, value in EVENT.items() if name != "ID_ORDER"} | types
    path = write_parquet()
    parquet.write_table(pa.table(columns), path)

    [value] = values_of(path)

    assert value == EVENT | {
        "ID_ORDER": "34033734", "ID_BUYER": "3", "DATE_PAYMENT": "2021-01-07 01:09:24.123456", "BRAND": None,
        "REVENUE": Decimal("999999999999999.00000000000000000001"),
    }  # fmt: skip
    assert not validate_events([value]).errors


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Paris"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_moment_of_parquet_is_in_utc(write_parquet, zone, unit):
    moments = pa.array([datetime.datetime(2021, 1, 7, 0, 9, 24, tzinfo=datetime.UTC)], pa.timestamp(unit, zone))
    checked = validate_events(values_of(write_parquet(DATE_PAYMENT=moments)))
    assert checked.events[0]["DATE_PAYMENT"].isoformat() == "2021-01-07T00:09:24+00:00"


@pytest.mark.parametrize(
    ("revenue", "stored"),
    [
        (pa.array([57.27456]), "57.27456"),
        (pa.array([57.27456], pa.float32()), "57.27456"),
        (pa.array([1e-7]), "0.0000001"),
        (pa.array([1e14]), "100000000000000"),
        (pa.array([-12]), "-12"),
        (pa.array(["1.50"]), "1.50"),
    ],
)
def test_a_revenue_of_parquet_is_the_shortest_decimal_that_reads_back(write_parquet, revenue, stored):
    checked = validate_events(values_of(write_parquet(REVENUE=revenue)))
    assert checked.events[0]["REVENUE"] == Decimal(stored)


@pytest.mark.parametrize(
    "columns",
    [
        {"REVENUE": pa.array([float("nan")])},
        {"REVENUE": pa.array([None], pa.float64())},
        {"ID_ORDER": pa.array([1.0])},
        {"ID_ORDER": pa.array([None], pa.int64())},
        {"DATE_PAYMENT": pa.array([253402300800], pa.timestamp("s"))},
        {"BRAND": pa.array([{"a": datetime.date(2021, 1, 1)}])},
        {"BRAND": pa.array([b"\xff"])},
        {"BRAND": pa.array([datetime.timedelta(1)])},
    ],
)
def test_what_is_no_event_in_parquet_is_a_bad_event_and_can_be_kept(write_parquet, columns):
    [chunk] = chunks_of(write_parquet(**columns))
    assert list(validate_events(chunk.batch.values).errors) == [0]
    assert chunk.batch.texts()[0].startswith(b'{"ID_ORDER":')


def test_parquet_goes_on_after_any_row_whatever_its_row_groups(tmp_path):
    path = str(tmp_path / "a.parquet")
    columns = {name: [value] * 23_000 for name, value in EVENT.items()} | {"ID_ORDER": list(range(23_000))}
    parquet.write_table(pa.table(columns), path, row_group_size=7_000)
    whole = values_of(path)
    assert [value["ID_ORDER"] for value in whole] == list(map(str, range(23_000)))

    for chunk in chunks_of(path):
        with open_file(path, "parquet", Columns(), ",") as opened:
            place = opened.taken([chunk.end])
            rest = list(opened.chunks(place))
        assert [value for each in rest for value in each.batch.values] == whole[place.lines :]
        assert rest == [] or rest[0].batch.lines[0] == place.lines + 1


def test_columns_of_parquet_are_mapped_and_others_refused(write_parquet):
    path = write_parquet(remark=["x"])
    assert values_of(path, "remark=") == [EVENT]
    assert "the column 'remark' is no field" in failure(path)


def test_what_is_no_parquet_and_parquet_on_standard_input_fail(write):
    assert failure(write("no parquet at all", "a.parquet")).startswith("is no Parquet file that can be read: ")
    assert failure("-", form="parquet").startswith("cannot be read from standard input as Parquet")
