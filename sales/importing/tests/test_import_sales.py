"""manage.py import_sales: files into the database, once, and on where it was."""

import gzip
import io
import json
import sys
from contextlib import contextmanager

import pyarrow as pa
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sales.importing import importer as imports
from sales.importing import parquet as parquet_files
from sales.importing import sources as files
from sales.ingest.schema import EXAMPLE
from sales.ingest.writer import record_sales
from sales.management.commands.import_sales import Command
from sales.models import EventId, FileImport, RejectedEvent, Sale
from sales.tests.helpers import sale_event
from sales.totals import feedback, feedback_verification
from salesengine.operations import progress

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 4)
    monkeypatch.setattr(parquet_files, "CHUNK", 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sales.ndjson"


def events(start, stop, **changes):
    return [EXAMPLE | {"ID_ORDER": str(number)} | changes for number in range(start, stop)]


def ndjson(*parts):
    return "".join(json.dumps(event) + "\n" for part in parts for event in part)


def csv_text(rows):
    names = list(dict.fromkeys(name for row in rows for name in row)) or list(EXAMPLE)
    lines = [names, *([row.get(name) or "" for name in names] for row in rows)]
    return "".join(",".join(line) + "\n" for line in lines)


def orders():
    return list(Sale.objects.order_by("id").values_list("id_order", flat=True))


def numbers(*ranges):
    return [str(number) for each in ranges for number in each]


@contextmanager
def ending(code, *words):
    with pytest.raises(CommandError) as failure:
        yield
    assert failure.value.returncode == code, failure.value
    for each in words:
        assert each in str(failure.value)


def run(*arguments):
    call_command("import_sales", *arguments)


# What is stored


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.ndjson", "a.jsonl.gz", "a.parquet"])
def test_every_form_is_stored_and_counted(tmp_path, name, capsys):
    file, rows = tmp_path / name, events(0, 10)
    if name.endswith(".parquet"):
        parquet.write_table(pa.Table.from_pylist(rows), file)
    else:
        text = (csv_text(rows) if "csv" in name else ndjson(rows)).encode()
        file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)

    run(file)

    out, err = capsys.readouterr()
    assert out == ""
    assert f"{file}: 10 accepted, 0 duplicate, 0 rejected in " in err
    assert orders() == numbers(range(10))
    assert {str(sale.revenue) for sale in Sale.objects.all()} == {"57.27456"}
    assert feedback.watermark().sales == 10
    assert feedback_verification.verify() == []


def test_a_summary_in_json_is_all_that_standard_output_has(tmp_path, capsys):
    for name, part in (("a.ndjson", events(0, 10)), ("b.ndjson", events(10, 12))):
        (tmp_path / name).write_text(ndjson(part))

    run(tmp_path / "a.ndjson", tmp_path / "b.ndjson", "--json")

    summary = json.loads(capsys.readouterr().out)
    first, second = summary.pop("files")
    assert summary == {"dry_run": False, "error": None, "accepted": 12, "duplicate": 0, "rejected": 0}
    assert first.pop("seconds") > 0
    assert first == {
        "file": str(tmp_path / "a.ndjson"), "unit": "line", "before": 0, "accepted": 10, "duplicate": 0, "rejected": 0,
    }  # fmt: skip
    assert second["accepted"] == 2


def test_how_far_it_is_is_said_now_and_then(path, capsys, monkeypatch):
    path.write_text(ndjson(events(0, 40)))
    run(path)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"Importing {path}, bytes: ")]
    assert lines[-1] == f"Importing {path}, bytes: {path.stat().st_size:,} of {path.stat().st_size:,}"
    assert len(lines) > 1

    monkeypatch.setattr(progress, "INTERVAL", 1e-9)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes() + ndjson(events(40, 80)).encode())))
    run("-", "--format", "ndjson")
    assert "Importing standard input, bytes: " in capsys.readouterr().err
    assert orders() == numbers(range(80)), "the same content, whatever it comes from"


# Bad events


def test_a_bad_event_stops_the_import_and_it_goes_on_once_the_file_is_mended(path, capsys):
    mended, bad = events(0, 14), events(0, 14)
    bad[9]["REVENUE"], bad[10]["BRAND"] = "much", 5
    path.write_text(ndjson(bad).replace("}\n", "}\n\n", 1))

    with ending(
        1,
        f"{path}: stopped by 2 mistakes:",
        "\n  line 11: REVENUE must be a number, such as 57.27456\n  line 12: BRAND must be text, in quotes\n",
    ):
        run(path, "--json")
    assert orders() == numbers(range(7))
    summary = json.loads(capsys.readouterr().out)
    assert (summary["accepted"], summary["rejected"]) == (7, 0)
    assert "stopped by 2 mistakes" in summary["error"]
    assert not RejectedEvent.objects.exists()

    path.write_text(ndjson(mended).replace("}\n", "}\n\n", 1))
    run(path)
    assert orders() == numbers(range(14))
    assert "7 accepted, 0 duplicate, 0 rejected" in capsys.readouterr().err


def test_no_more_than_twenty_mistakes_are_listed_of_any_number(path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 1000)
    path.write_text(ndjson(events(0, 30, REVENUE="much")))
    with ending(1, "stopped by 30 mistakes", "line 20: ", "\n  and 10 more\n") as _:
        run(path)
    assert not FileImport.objects.exists()


def test_bad_events_are_kept_apart_where_they_are_skipped_and_the_exit_code_tells(path, capsys):
    rows = events(0, 10)
    rows[5]["REVENUE"] = "much"
    path.write_text(ndjson(rows) + "{\n")

    with ending(3, "Some events were rejected"):
        run(path, "--on-error", "skip", "--sender", "shop")

    assert orders() == numbers(range(5), range(6, 10))
    assert "9 accepted, 0 duplicate, 2 rejected" in capsys.readouterr().err
    kept = RejectedEvent.objects.order_by("position").values_list("sender", "source", "position", "content")
    assert [(*each[:3], bytes(each[3])) for each in kept] == [
        ("shop", str(path), 6, json.dumps(rows[5]).encode()),
        ("shop", str(path), 11, b"{"),
    ]
    run(path, "--on-error", "skip", "--sender", "shop")  # nothing to do, so nothing is rejected
    assert RejectedEvent.objects.count() == 2


def test_a_rejected_row_of_csv_is_kept_by_the_names_of_its_columns(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(csv_text(events(0, 1, REVENUE="much")).replace("ID_ORDER", "order"))
    with ending(3):
        run(file, "--on-error", "skip", "--map", "order=ID_ORDER")
    assert json.loads(bytes(RejectedEvent.objects.get().content)) == events(0, 1, REVENUE="much")[0]


def test_events_the_sender_sent_before_are_duplicates_and_changed_ones_conflicts(path):
    record_sales([sale_event(ID_ORDER="0", EVENT_ID="0")], "shop")
    rows = [EXAMPLE | {"ID_ORDER": order, "EVENT_ID": name} for order, name in ("00", "11", "22", "33", "44", "11")]
    path.write_text(ndjson(rows))

    run(path, "--sender", "shop")
    assert orders() == ["0", "1", "2", "3", "4"]

    path.write_text(ndjson(rows, [EXAMPLE | {"ID_ORDER": "other", "EVENT_ID": "1"}]))
    with ending(1, "line 7: EVENT_ID was sent before with other contents"):
        run(path, "--sender", "shop")
    with ending(3):
        run(path, "--sender", "shop", "--on-error", "skip")
    assert orders() == ["0", "1", "2", "3", "4"]


# Dry runs


def test_a_dry_run_finds_what_the_import_would_also_between_chunks_and_leaves_nothing(path, capsys):
    rows = [event | {"EVENT_ID": event["ID_ORDER"]} for event in events(0, 10)]
    path.write_text(ndjson(rows, rows[:1], [rows[1] | {"BRAND": "other"}]))

    for dry_run in (["--dry-run"], []):
        with ending(3, "Some events would be" if dry_run else "Some events were"):
            run(path, "--on-error", "skip", *dry_run)
        assert "10 accepted, 1 duplicate, 1 rejected" in capsys.readouterr().err
        left = [model.objects.count() for model in (Sale, EventId, RejectedEvent, FileImport)]
        assert left == ([0] * 4 if dry_run else [10, 10, 1, 1])


def test_a_dry_run_stops_at_a_bad_event_too(path):
    path.write_text(ndjson(events(0, 5), events(5, 6, REVENUE="much")))
    with ending(1, "stopped by 1 mistake:\n  line 6"):
        run(path, "--dry-run")
    assert not Sale.objects.exists()


# Once, and on where it was


def test_a_file_that_was_imported_has_nothing_to_do_whatever_it_is_called(path, capsys):
    path.write_text(ndjson(events(0, 10)))
    run(path)
    path.rename(path.with_name("other.jsonl"))
    run(path.with_name("other.jsonl"))
    assert "other.jsonl: nothing to do, all 10 lines were imported before\n" in capsys.readouterr().err
    assert Sale.objects.count() == 10


def test_packed_or_not_it_is_the_same_content(path):
    path.write_text(ndjson(events(0, 10)))
    run(path)
    packed = path.with_name("a.ndjson.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    run(packed)
    assert Sale.objects.count() == 10


def test_of_a_file_that_has_grown_the_rest_is_imported_and_older_copies_are_still_known(path):
    for stop in (3, 10, 10, 17, 10, 3, 17):
        path.write_text(ndjson(events(0, stop)))
        run(path)
    assert orders() == numbers(range(17))
    assert FileImport.objects.exclude(finished_at=None).count() == FileImport.objects.count() == 3


def test_the_same_content_by_another_sender_or_of_other_columns_is_another_import(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(csv_text(events(0, 3)) + "\n")
    run(file)
    run(file, "--sender", "shop")
    run(file, "--map", "brand=")
    run(file, "--map", "brand=")
    assert Sale.objects.count() == 9


def test_again_stores_once_more_and_goes_on_where_that_was(path, capsys):
    path.write_text(ndjson(events(0, 10)))
    run(path)
    run(path, "--again")
    assert orders() == numbers(range(10), range(10))

    path.write_text(ndjson(events(0, 10)) + "{\n")
    with ending(1):
        run(path, "--again")
    path.write_text(ndjson(events(0, 11)))
    run(path, "--again")
    assert "3 accepted, 0 duplicate, 0 rejected" in capsys.readouterr().err
    assert orders() == numbers(range(10), range(10), range(11))


def test_a_file_that_differs_in_what_was_taken_is_another_file(path):
    path.write_text(ndjson(events(0, 10)))
    run(path)
    path.write_text(ndjson(events(100, 101), events(1, 10)))
    run(path)
    assert Sale.objects.count() == 20


def test_an_import_that_fails_between_chunks_goes_on_there(path, tmp_path):
    text = ndjson(events(0, 400)).encode()
    packed = gzip.compress(text)
    broken = tmp_path / "a.ndjson.gz"
    broken.write_bytes(packed[:-8])
    with ending(1, "its gzip packing is broken"):
        run(broken)
    stored = Sale.objects.count()
    assert 0 < stored < 400
    assert stored % 4 == 0
    broken.write_bytes(packed)
    run(broken)
    assert orders() == numbers(range(400))


def test_the_place_of_a_chunk_is_kept_exactly_when_the_chunk_is(path, monkeypatch):
    path.write_text(ndjson(events(0, 10)))
    keep = imports._keep_place

    def fail_at_the_second(kept, place, taken):
        if place.lines > 4:
            raise KeyboardInterrupt
        keep(kept, place, taken)

    with (
        monkeypatch.context() as patch,
        ending(130, "Interrupted. What was taken before is stored; started again, the import goes on after it."),
    ):
        patch.setattr(imports, "_keep_place", fail_at_the_second)
        run(path)
    assert orders() == numbers(range(4))
    run(path)
    assert orders() == numbers(range(10))
    assert FileImport.objects.get().accepted == 10


@pytest.mark.django_db(transaction=True)
def test_a_file_that_another_process_imports_is_left_to_it(path, monkeypatch):
    monkeypatch.setattr(imports, "LOCK_TIMEOUT", 0.3)
    path.write_text(ndjson(events(0, 10)))
    other = connection.copy()
    other.inc_thread_sharing()
    held = []

    def hold(query, parameters, ask=imports._ask):
        if not held:
            with other.cursor() as cursor:
                cursor.execute(query, parameters)
            held.append(parameters)
        return ask(query, parameters)

    monkeypatch.setattr(imports, "_ask", hold)
    try:
        with ending(1, "is being imported already, by another process"):
            run(path)
    finally:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")
        other.close()
    assert not Sale.objects.exists()
    run(path)
    assert Sale.objects.count() == 10


# Calls


def test_a_file_that_cannot_be_opened_is_found_before_the_first_is_begun(path, tmp_path):
    path.write_text(ndjson(events(0, 10)))
    bad = tmp_path / "bad.csv"
    bad.write_text("colour\n")
    for other, words in ((tmp_path / "none.csv", "No such file"), (bad, "the column 'colour' is no field")):
        with ending(1, words):
            run(path, other)
    assert not Sale.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-"], "The name - does not tell the form; --format does."),
        (["sales.txt"], "does not tell the form"),
        (["a.csv", "--map", "a=B"], "--map: 'B' is no field"),
        (["a.csv", "--delimiter", ";;"], "--delimiter must be one character"),
        (["-", "-", "--format", "csv"], "Standard input can be read once."),
    ],
)
def test_a_wrong_call_is_told_by_its_exit_code(arguments, words):
    with ending(2, words):
        run(*arguments)


def test_the_help_has_examples_and_exit_codes():
    text = Command().create_parser("manage.py", "import_sales").format_help()
    assert "\n  manage.py import_sales sales.csv\n" in text
    assert "\nexit codes: 0 all is taken, 1 failed" in text


# Whatever comes

good = st.fixed_dictionaries(
    {"ID_ORDER": st.integers(0, 10**6).map(str), "EVENT_ID": st.sampled_from([None, "1", "2"])}
)
rows = st.lists(st.tuples(good, st.sampled_from([{}, {}, {}, {"REVENUE": "much"}, {"CATEGORY": "x"}])), max_size=25)


@pytest.mark.django_db(transaction=True)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows, st.sampled_from(["csv", "ndjson", "parquet"]), st.sampled_from(["stop", "skip"]))
def test_each_row_is_accepted_or_a_duplicate_or_rejected(tmp_path, capsys, rows, form, on_error):
    TransactionTestCase._fixture_teardown(None)  # as after each test: the groups stay
    capsys.readouterr()
    sent = [EXAMPLE | one | change for one, change in rows]
    file = tmp_path / f"a.{form}"
    if form == "parquet":
        schema = pa.schema([(name, pa.string()) for name in [*EXAMPLE, "EVENT_ID"]])
        parquet.write_table(pa.Table.from_pylist(sent, schema), file)
    else:
        file.write_text(csv_text(sent) if form == "csv" else ndjson(sent))

    code = 0
    try:
        run(file, "--on-error", on_error, "--json")
    except CommandError as failure:
        code = failure.returncode

    summary = json.loads(capsys.readouterr().out)
    accepted, rejected = expected(sent)
    if on_error == "skip":
        counts = (len(accepted), len(sent) - len(accepted) - rejected, rejected)
        assert (summary["accepted"], summary["duplicate"], summary["rejected"]) == counts
        assert code == (3 if rejected else 0)
        assert orders() == accepted
        assert RejectedEvent.objects.count() == rejected
    else:
        assert code == (1 if rejected else 0)
        assert orders() == accepted[: Sale.objects.count()]
        assert rejected or orders() == accepted
    assert feedback_verification.verify() == []


def expected(sent):
    """The orders of what is stored, and how many are rejected: the first of an EVENT_ID counts."""
    accepted, known, rejected = [], {}, 0
    for event in sent:
        name, order = event["EVENT_ID"], event["ID_ORDER"]
        if event["REVENUE"] == "much" or event["CATEGORY"] == "x":
            rejected += 1
        elif name in known:
            rejected += known[name] != order
        else:
            accepted.append(order)
            if name:
                known[name] = order
    return accepted, rejected
