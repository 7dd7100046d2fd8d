import csv
import io
import json
import os
import stat
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from analytics.exports import csv_text, json_text, table_text, whole_file
from analytics.runner import Column, Result, run


def result(*rows, columns=("value",), numbers=()):
    return Result([Column(name, name in numbers) for name in columns], iter(rows))


def csv_of(*rows, **options):
    return "".join(csv_text(result(*rows), **options)).removeprefix("value\r\n")


def json_of(*rows):
    return "".join(json_text(result(*rows)))


def table_of(*rows, **options):
    return "".join(table_text(result(*rows, **options))).splitlines()


# CSV


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("57.27456"), "57.27456"),
        (Decimal("1E-20"), "0.00000000000000000001"),
        (Decimal("1E+3"), "1000"),
        (Decimal("10.50"), "10.50"),
        (Decimal("-0.5"), "-0.5"),
        (Decimal("NaN"), "NaN"),
        (1e-07, "0.0000001"),
        (10**30, "1" + "0" * 30),
        (datetime(2021, 1, 7, 0, 9, 24, tzinfo=UTC), "2021-01-07T00:09:24Z"),
        (datetime(2021, 1, 7, 1, 9, 24, 500_000, tzinfo=UTC), "2021-01-07T01:09:24.500000Z"),
        (date(2021, 1, 7), "2021-01-07"),
        (True, "true"),
        ([1, 2], '"[1,2]"'),
        ("a,b", '"a,b"'),
        ('say "hi"', '"say ""hi"""'),
        ("two\nlines", '"two\nlines"'),
        ("None", "None"),
        ("=1+1", "=1+1"),
    ],
)
def test_a_csv_cell_is_exact(value, text):
    assert csv_of((value,)) == f"{text}\r\n"


def test_null_is_an_empty_csv_cell():
    rows = csv_text(result(("a", None, 1), columns=("x", "y", "z")))
    assert "".join(rows) == "x,y,z\r\na,,1\r\n"


def test_csv_without_rows_is_its_header():
    assert "".join(csv_text(result())) == "value\r\n"


def test_csv_can_be_read_back():
    rows = [("a,b", 'say "hi"'), ("two\r\nlines", " spaces "), ("Čeština 日本", "-")]
    text = "".join(csv_text(result(*rows, columns=("x", "y"))))
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["x", "y"], *map(list, rows)]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\uff1d"])
def test_a_safe_csv_cell_is_no_formula(start):
    ((cell,),) = csv.reader(io.StringIO(csv_of((f"{start}1+1",), safe_cells=True), newline=""))
    assert cell == f"'{start}1+1"


@pytest.mark.parametrize("value", [-5, Decimal("-5.5"), -5.5])
def test_a_negative_number_stays_a_number_in_safe_csv(value):
    assert csv_of((value,), safe_cells=True) == f"{value}\r\n"


def test_ordinary_text_stays_as_it_is_in_safe_csv():
    assert csv_of(("design & decoration - new",), safe_cells=True) == "design & decoration - new\r\n"


# JSON


def test_json_is_a_list_of_objects_with_exact_numbers():
    rows = [("170", Decimal("0.10000000000000000001")), (None, Decimal("12.50"))]
    text = "".join(json_text(result(*rows, columns=("id", "share"))))
    assert text == '[\n{"id":"170","share":0.10000000000000000001},\n{"id":null,"share":12.50}\n]\n'


def test_json_without_rows_is_an_empty_list():
    assert json.loads(json_of()) == []


def test_json_has_moments_in_utc():
    assert json.loads(json_of((datetime(2021, 1, 7, 0, 9, 24, tzinfo=UTC),))) == [{"value": "2021-01-07T00:09:24Z"}]


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), float("nan"), float("inf")])
def test_json_has_null_for_what_is_no_number(value):
    assert json.loads(json_of((value,))) == [{"value": None}]


@pytest.mark.django_db(transaction=True, databases=["default", "reports"])
@pytest.mark.parametrize("to_text", [csv_text, json_text, table_text])
def test_every_type_of_postgresql_can_be_exported(write_report, to_text):
    sql = """
    SELECT inet '10.0.0.1' AS inet, int4range(1, 5) AS range, gen_random_uuid() AS uuid, 'a'::bytea AS bytes,
        interval '1 day' AS span, time '10:00' AS time, ARRAY[1.5, NULL] AS list, '{"a": 1}'::jsonb AS json,
        ROW(1, 'x') AS row, point(1, 2) AS point, '{[1,2)}'::int4multirange AS ranges, 1.5::float8 AS float
    """
    with run(write_report(sql)) as running:
        assert "10.0.0.1" in "".join(to_text(running))


# Both


def many_rows():
    yield from [("x",)] * 100_000
    pytest.fail("all rows were read")


@pytest.mark.parametrize("to_text", [csv_text, json_text])
def test_programs_get_the_first_rows_before_the_last_is_read(to_text):
    text = to_text(Result([Column("value", is_number=False)], many_rows()))
    assert "x" in next(text) + next(text)


# Tables


def test_a_table_is_aligned_with_numbers_on_the_right():
    rows = [("France", Decimal("1500.25")), ("UK", Decimal("2.5"))]
    assert table_of(*rows, columns=("country", "revenue"), numbers=("revenue",)) == [
        " country   revenue",
        "───────────────────",
        " France    1500.25",
        " UK            2.5",
    ]


def test_a_table_is_as_wide_as_it_needs_to_be():
    line = table_of(("x" * 500, "y" * 500), columns=("a", "b"))[2]
    assert line.split() == ["x" * 500, "y" * 500]


def test_null_is_visible_in_a_table():
    assert table_of((None,))[2] == " -"


def test_text_is_never_markup_in_a_table():
    assert table_of(("[bold]x[/bold] :smile:",))[2] == " [bold]x[/bold] :smile:"


def test_control_characters_do_nothing_to_a_terminal():
    assert table_of(("\x1b[31mred\nnext",))[2] == r" \x1b[31mred\nnext"


# Files


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "out.csv"
    with whole_file(path) as file:
        file.write("a\r\n")
        assert not path.exists()
    assert path.read_bytes() == b"a\r\n"


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), whole_file(path) as file:
        file.write("new" * 100_000 + "\ud800")
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]
    assert path.read_text() == "old"


def test_a_file_has_the_permissions_of_any_other(tmp_path):
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "out.csv"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link.csv").symlink_to("real.csv")
    with whole_file(tmp_path / "link.csv") as file:
        file.write("new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "new"


@pytest.mark.parametrize("name", ["/dev/null", "."])
def test_what_is_no_ordinary_file_is_not_replaced(tmp_path, name):
    with pytest.raises(OSError, match="not an ordinary file"), whole_file(tmp_path / name):
        pytest.fail("the body ran")
