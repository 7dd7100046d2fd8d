"""manage.py import_sales stores the events of files and reports errors."""

import gzip
import io
import json
import os
from contextlib import contextmanager

import pyarrow as pa
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pyarrow import parquet

from sales.importing import sources
from sales.importing.tests.imports import (
    csv_text,
    events,
    failing,
    import_sales,
    ndjson,
    orders,
    standard_input,
    stored_orders,
)
from sales.ingest.schema import EXAMPLE
from sales.ingest.writer import record_sales
from sales.management.commands.import_sales import Command
from sales.models import EventId, FileImport, RejectedEvent, Sale
from sales.tests.helpers import sale_event
from sales.totals import feedback, verification
from sales.totals.ledger import Origin
from sales.totals.tests.threads import in_another_thread
from salesengine.operations import progress
from salesengine.tests.servers import waiting_at_most

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


# Storing


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.ndjson", "a.jsonl.gz", "a.parquet"])
def test_the_events_of_every_format_are_stored_and_counted(tmp_path, name, capsys):
    file, rows = tmp_path / name, events(0, 10)
    if name.endswith(".parquet"):
        parquet.write_table(pa.Table.from_pylist(rows), file)
    else:
        text = (csv_text(rows) if "csv" in name else ndjson(rows)).encode()
        file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)

    import_sales(file)

    out, err = capsys.readouterr()
    assert out == ""
    assert f"{file}: 10 accepted, 0 duplicate, 0 rejected in " in err
    assert stored_orders() == orders(range(10))
    assert {str(sale.revenue) for sale in Sale.objects.all()} == {"57.27456"}
    assert feedback.watermark().sales == 10
    assert verification.verify() == []


def test_standard_output_holds_only_the_json_summary(tmp_path, capsys):
    for name, rows in (("a.ndjson", events(0, 10)), ("b.ndjson", events(10, 12))):
        (tmp_path / name).write_text(ndjson(rows))

    import_sales(tmp_path / "a.ndjson", tmp_path / "b.ndjson", "--json")

    summary = json.loads(capsys.readouterr().out)
    first, second = summary.pop("files")
    assert summary == {"dry_run": False, "error": None, "accepted": 12, "duplicate": 0, "rejected": 0}
    assert first.pop("seconds") > 0
    assert first == {
        "file": str(tmp_path / "a.ndjson"), "unit": "line", "before": 0, "accepted": 10, "duplicate": 0, "rejected": 0,
    }  # fmt: skip
    assert second["accepted"] == 2


def test_a_summary_that_cannot_be_written_is_an_error_beside_that_of_the_import(path):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    path.write_text(ndjson(events(0, 4)))
    with failing(1, "Standard output cannot be written: No space left on device"):
        call_command("import_sales", path, "--json", stdout=Full())
    path.write_text(ndjson(events(4, 5, REVENUE="much")))
    with failing(1, "stopped because of 1 error", "\nStandard output cannot be written"):
        call_command("import_sales", path, "--json", stdout=Full())

    assert stored_orders() == orders(range(4))


def test_progress_is_shown_in_bytes_of_the_file(path, capsys):
    path.write_text(ndjson(events(0, 40)))

    import_sales(path)

    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"Importing {path}, bytes: ")]
    assert lines[-1] == f"Importing {path}, bytes: {path.stat().st_size:,} of {path.stat().st_size:,}"
    assert len(lines) > 1


def test_standard_input_continues_the_import_of_a_file_with_the_same_content(path, capsys, monkeypatch):
    path.write_text(ndjson(events(0, 40)))
    import_sales(path)
    monkeypatch.setattr(progress, "INTERVAL", 1e-9)

    with standard_input(path.read_bytes() + ndjson(events(40, 80)).encode(), monkeypatch):
        import_sales("-", "--format", "ndjson")

    assert "Importing standard input, bytes: " in capsys.readouterr().err
    assert stored_orders() == orders(range(80))


# Errors in events


def test_an_invalid_event_stops_the_import_which_continues_when_the_file_is_fixed(path, capsys):
    good, bad = events(0, 14), events(0, 14)
    bad[9]["REVENUE"], bad[10]["BRAND"] = "much", 5
    path.write_text(ndjson(bad).replace("}\n", "}\n\n", 1))

    with failing(
        1,
        f"{path}: stopped because of 2 errors:",
        "\n  line 11: REVENUE must be a number, such as 57.27456\n  line 12: BRAND must be text, in quotes\n",
    ):
        import_sales(path, "--json")
    assert stored_orders() == orders(range(7))
    summary = json.loads(capsys.readouterr().out)
    assert (summary["accepted"], summary["rejected"]) == (7, 0)
    assert "stopped because of 2 errors" in summary["error"]
    assert not RejectedEvent.objects.exists()

    path.write_text(ndjson(good).replace("}\n", "}\n\n", 1))
    import_sales(path)
    assert stored_orders() == orders(range(14))
    assert "7 accepted, 0 duplicate, 0 rejected" in capsys.readouterr().err


def test_at_most_twenty_errors_are_listed(path, monkeypatch):
    monkeypatch.setattr(sources, "BATCH_SIZE", 1000)
    path.write_text(ndjson(events(0, 30, REVENUE="much")))

    with failing(1, "stopped because of 30 errors:", "line 20: ", "\n  and 10 more\n"):
        import_sales(path)
    assert not FileImport.objects.exists()


def test_skipped_events_are_stored_as_rejected_and_the_exit_code_is_3(path, capsys):
    rows = events(0, 10)
    rows[5]["REVENUE"] = "much"
    path.write_text(ndjson(rows) + "{\n")

    with failing(3, "Some events were rejected"):
        import_sales(path, "--on-error", "skip", "--sender", "shop")

    assert stored_orders() == orders(range(5), range(6, 10))
    assert "9 accepted, 0 duplicate, 2 rejected" in capsys.readouterr().err
    rejected = RejectedEvent.objects.order_by("position").values_list("sender", "source", "position", "content")
    assert [(*row[:3], bytes(row[3])) for row in rejected] == [
        ("shop", str(path), 6, json.dumps(rows[5]).encode()),
        ("shop", str(path), 11, b"{"),
    ]
    import_sales(path, "--on-error", "skip", "--sender", "shop")  # nothing to do, so no event is rejected
    assert RejectedEvent.objects.count() == 2


def test_a_rejected_csv_row_is_stored_with_the_field_names_of_its_columns(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(csv_text(events(0, 1, REVENUE="much")).replace("ID_ORDER", "order"))

    with failing(3):
        import_sales(file, "--on-error", "skip", "--map", "order=ID_ORDER")
    assert json.loads(bytes(RejectedEvent.objects.get().content)) == events(0, 1, REVENUE="much")[0]


def test_a_known_event_of_the_sender_is_a_duplicate_and_a_changed_one_a_conflict(path):
    record_sales([sale_event(ID_ORDER="0", EVENT_ID="0")], Origin("shop"))
    rows = [EXAMPLE | {"ID_ORDER": order, "EVENT_ID": order} for order in "012341"]
    path.write_text(ndjson(rows))

    import_sales(path, "--sender", "shop")
    assert stored_orders() == ["0", "1", "2", "3", "4"]

    path.write_text(ndjson(rows, [EXAMPLE | {"ID_ORDER": "other", "EVENT_ID": "1"}]))
    with failing(1, "line 7: EVENT_ID was sent before with other content"):
        import_sales(path, "--sender", "shop")
    with failing(3):
        import_sales(path, "--sender", "shop", "--on-error", "skip")
    assert stored_orders() == ["0", "1", "2", "3", "4"]


def test_a_database_that_refuses_a_rejected_event_is_one_line(path):
    path.write_text("{\n")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE rejected_events ADD CONSTRAINT never CHECK (position < 0)")

    with failing(1, "database error", "never", "Run the command again to continue from there."):
        import_sales(path, "--on-error", "skip")


def test_a_file_whose_name_is_not_utf_8_is_imported(tmp_path, capsys):
    file = tmp_path / os.fsdecode(b"\xff.ndjson")
    file.write_text(ndjson(events(0, 3)))

    import_sales(file, "--json")

    assert json.loads(capsys.readouterr().out)["accepted"] == 3
    assert FileImport.objects.get().name == f"{tmp_path}/?.ndjson"


# Dry runs


def test_a_dry_run_counts_what_the_import_counts_even_across_batches_and_stores_nothing(path, capsys):
    rows = [event | {"EVENT_ID": event["ID_ORDER"]} for event in events(0, 10)]
    path.write_text(ndjson(rows, rows[:1], [rows[1] | {"BRAND": "other"}]))

    for dry_run in (["--dry-run"], []):
        with failing(3, "Some events would be" if dry_run else "Some events were"):
            import_sales(path, "--on-error", "skip", *dry_run)
        assert "10 accepted, 1 duplicate, 1 rejected" in capsys.readouterr().err
        stored = [model.objects.count() for model in (Sale, EventId, RejectedEvent, FileImport)]
        assert stored == ([0] * 4 if dry_run else [10, 10, 1, 1])


@pytest.mark.django_db(transaction=True)
def test_a_client_can_send_an_event_while_a_dry_run_checks_it(path, monkeypatch):
    path.write_text(ndjson([event | {"EVENT_ID": event["ID_ORDER"]} for event in events(0, 10)]))
    accepted = []

    def send():
        with waiting_at_most("1s"):
            return record_sales([sale_event(ID_ORDER="0", EVENT_ID="0")], Origin("shop")).accepted

    @contextmanager
    def sending_after_each_chunk(*arguments):
        yield lambda amount: accepted.append(in_another_thread(send))

    monkeypatch.setattr("sales.management.commands.import_sales.progress", sending_after_each_chunk)

    import_sales(path, "--dry-run", "--sender", "shop")

    assert accepted == [1, 0, 0]


def test_a_dry_run_stops_at_an_invalid_event_too(path):
    path.write_text(ndjson(events(0, 5), events(5, 6, REVENUE="much")))

    with failing(1, "stopped because of 1 error:\n  line 6", "Nothing is stored."):
        import_sales(path, "--dry-run")
    assert not Sale.objects.exists()


# Arguments


def test_all_files_are_opened_before_the_first_is_imported(path, tmp_path):
    path.write_text(ndjson(events(0, 10)))
    bad = tmp_path / "bad.csv"
    bad.write_text("color\n")

    for other, text in ((tmp_path / "none.csv", "No such file"), (bad, "the column 'color' is not a field")):
        with failing(1, text):
            import_sales(path, other)
    assert not Sale.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-"], "The name - does not imply a format. Add --format."),
        (["sales.txt"], "does not imply a format"),
        (["a.csv", "--map", "a=B"], "--map: 'B' is not a field"),
        (["a.csv", "--delimiter", ";;"], "--delimiter must be one character"),
        (["-", "-", "--format", "csv"], "Standard input can be imported only once."),
    ],
)
def test_the_exit_code_for_invalid_arguments_is_2(arguments, text):
    with failing(2, text):
        import_sales(*arguments)


@pytest.mark.parametrize("command", ["import_sales", "correct_sales"])
@pytest.mark.parametrize("name", ["", " shop", "web\nshop", "caf\udce9"])
def test_a_sender_has_a_name_of_one_line(command, name):
    with pytest.raises(CommandError, match="is not a name: one line of text"):
        call_command(command, "a.csv", "--sender", name)


def test_the_help_has_examples_and_exit_codes():
    text = Command().create_parser("manage.py", "import_sales").format_help()
    assert "\n  manage.py import_sales sales.csv\n" in text
    assert "\nexit codes:\n  0 everything was imported, 1 failed" in text


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_the_first_line_decides_the_delimiter_and_naming_it_imports_nothing_twice(tmp_path, delimiter):
    path = tmp_path / "sales.csv"
    text = csv_text(events(0, 3, BRAND="none")).replace(",", delimiter)
    path.write_text(f"\ufeff{text}", encoding="utf-8")

    import_sales(str(path))
    import_sales(str(path), "--delimiter", delimiter)

    assert stored_orders() == orders(range(3))
