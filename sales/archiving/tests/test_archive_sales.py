"""manage.py archive_sales moves old months to files, and restore_sales brings them back as they were."""

import datetime
import io
import json
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pyarrow import parquet

from sales.archiving import moving, writing
from sales.archiving.files import content_of, digests_sql, write_sales
from sales.archiving.places import LOCK
from sales.archiving.tests.helpers import archive, make_only, restore, sales_rows
from sales.ingest.writer import record_sales
from sales.models import ArchivedMonth, LedgerEntry, Sale
from sales.partitions import making
from sales.partitions.months import Month
from sales.partitions.tests.helpers import drop_months, partition_names
from sales.tests.helpers import sale_event
from sales.totals import folding, verification
from sales.totals.feedback import FeedbackQuery, top_categories
from sales.totals.tests.helpers import country_sales, void
from sales.totals.tests.threads import in_another_thread
from salesengine import distribution
from salesengine.backups.manifests import DamagedBackupError, locked

pytestmark = pytest.mark.django_db(transaction=True)

HARD = [
    {"REVENUE": "57.270", "BRAND": None, "CATEGORY": None},
    {"REVENUE": "-999999999999999.00000000000000000001", "BRAND": "-", "ID_ORDER": "1:2"},
    {"REVENUE": "0.00", "BRAND": "é\n\t\\N😀", "EVENT_ID": "e-1", "DATE_PAYMENT": "2021-01-31T23:59:59.999999Z"},
    {"REVENUE": "0", "DATE_PAYMENT": "2021-01-01"},
]


@pytest.fixture(autouse=True)
def months():
    """January, February and March of 2021 have partitions of their own."""
    make_only("2021-01-01", "2021-02-01", "2021-03-01")


def events(**changes):
    return [sale_event(**(hard | changes)) for hard in HARD]


def test_a_cluster_keeps_its_sales(tmp_path, monkeypatch):
    record_sales(events())
    monkeypatch.setattr(distribution, "_answers", {"default": True})

    with pytest.raises(CommandError, match="Sales on a cluster cannot be archived"):
        archive(tmp_path, "2021-03")
    assert Sale.objects.count() == len(HARD)


def test_standard_output_that_cannot_be_written_stops_no_month(tmp_path):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    record_sales([*events(), *events(DATE_PAYMENT="2021-02-07", EVENT_ID=None)])

    with pytest.raises(OSError, match="No space left on device"):
        call_command("archive_sales", "--before", "2021-03", "--to", str(tmp_path), stdout=Full())

    assert ArchivedMonth.objects.count() == 2


def test_standard_output_that_cannot_be_written_does_not_hide_a_failure(tmp_path, monkeypatch):
    class ClosedPipe(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    def archive_one(month, place):
        if month != Month(2021, 1):
            raise DamagedBackupError("February is damaged.")
        return moving.archive_month(month, place)

    record_sales(events() + events(DATE_PAYMENT="2021-02-07", EVENT_ID=None))
    monkeypatch.setattr("sales.management.commands.archive_sales.archive_month", archive_one)

    with pytest.raises(CommandError, match=r"February is damaged\.") as failure:
        call_command("archive_sales", "--before", "2021-03", "--to", str(tmp_path), stdout=ClosedPipe())
    assert failure.value.returncode == 4


def test_months_move_to_files_and_come_back_as_they_were(tmp_path, capsys):
    record_sales(events())
    record_sales(events(DATE_PAYMENT="2021-02-07", EVENT_ID=None))
    record_sales([sale_event(DATE_PAYMENT="2021-03-01")])
    before, feedback, countries = sales_rows(), top_categories(FeedbackQuery()), country_sales()

    archive(tmp_path, "2021-03")

    out, err = capsys.readouterr()
    assert out.split() == [f"{tmp_path}/sales-2021-01.parquet", f"{tmp_path}/sales-2021-02.parquet"]
    revenue = "-999999999999941.73000000000000000001"
    assert f"Archived 4 sales of 2021-01, with revenue {revenue}, by dropping the partition sales_2021_01." in err
    assert [sale.date_payment.month for sale in Sale.objects.all()] == [3]
    assert not {"sales_2021_01", "sales_2021_02"} & partition_names()
    assert (top_categories(FeedbackQuery()), country_sales()) == (feedback, countries)
    assert verification.verify() == []

    restore(tmp_path, "2021-01")
    restore(tmp_path, "2021-02")

    assert "that were started while 2021-01 was archived lack these sales" in capsys.readouterr().err
    assert sales_rows() == before
    assert not ArchivedMonth.objects.exists()
    assert "sales_2021_01" in partition_names()
    assert verification.verify() == []


def test_a_file_has_every_column_in_the_order_of_payment_and_a_manifest(tmp_path):
    ids = record_sales(events()).ids

    archive(tmp_path, "2021-02")

    table = parquet.read_table(tmp_path / "sales-2021-01.parquet")
    assert table.column("id").to_pylist() == [ids[3], ids[0], ids[1], ids[2]]
    assert table.column("revenue").to_pylist()[2] == Decimal("-999999999999999.00000000000000000001")
    assert table.column("brand").to_pylist()[3] == "é\n\t\\N😀"
    manifest = json.loads((tmp_path / "sales-2021-01.json").read_text())
    assert (manifest["sales"], manifest["revenue"]) == (4, "-999999999999941.73000000000000000001")
    assert manifest["last_payment"] == "2021-01-31T23:59:59.999999Z"
    assert {path.name for path in tmp_path.iterdir()} == {"sales-2021-01.parquet", "sales-2021-01.json", LOCK}


def test_months_without_a_partition_are_deleted_from_the_table_that_has_them(tmp_path, capsys, monkeypatch):
    drop_months()
    monkeypatch.setattr(making, "_known", frozenset({Month(2021, 1)}))  # as in a process that has not seen it go
    record_sales(events())
    before = sales_rows()

    archive(tmp_path, "2021-02")

    assert "by deleting them from sales_other, because the month has no partition of its own" in capsys.readouterr().err
    assert sales_rows() == []
    assert verification.verify() == []
    restore(tmp_path, "2021-01")
    assert sales_rows() == before


def test_late_sales_become_the_next_part_of_a_month(tmp_path):
    record_sales(events())
    archive(tmp_path, "2021-02")
    record_sales([sale_event(ID_ORDER="late")])
    before = top_categories(FeedbackQuery())

    archive(tmp_path, "2021-02")

    assert list(ArchivedMonth.objects.order_by("part").values_list("part", "sales_count")) == [(1, 4), (2, 1)]
    assert (tmp_path / "sales-2021-01.2.parquet").exists()
    assert verification.verify() == []
    restore(tmp_path, "2021-01")
    assert Sale.objects.count() == 5
    assert top_categories(FeedbackQuery()) == before


def test_a_dry_run_changes_nothing(tmp_path, capsys):
    record_sales(events())

    archive(tmp_path / "new", "2021-02", "--dry-run")

    assert capsys.readouterr().err == "Would archive 4 sales of 2021-01, by dropping the partition sales_2021_01.\n"
    assert (Sale.objects.count(), ArchivedMonth.objects.count(), (tmp_path / "new").exists()) == (4, 0, False)


def test_a_month_that_has_not_ended_is_refused(tmp_path):
    with pytest.raises(CommandError, match="9999-01 has not begun") as error:
        archive(tmp_path, "9999-01")

    assert error.value.returncode == 2


@pytest.mark.parametrize("statement", ["void", "insert", "purge"])
def test_a_month_that_changes_after_its_file_was_written_is_written_again(tmp_path, monkeypatch, statement):
    ids = record_sales(events()).ids
    written = []

    def write_and_change(month, recorded, place):
        result = writing.write_month(month, recorded, place)
        if not written:
            if statement == "void":
                void(ids[0])
            if statement == "insert":
                record_sales([sale_event(ID_ORDER="late")])
            if statement == "purge":  # an entry of which nobody knows any more which sales it has
                for _ in range(2):
                    record_sales([sale_event(DATE_PAYMENT="2021-03-01")])
                folding.fold_all()
                LedgerEntry.objects.order_by("-id")[1].delete()
        written.append(result)
        return result

    monkeypatch.setattr(moving, "write_month", write_and_change)

    archive(tmp_path, "2021-02")

    expected = {"void": 3, "insert": 5, "purge": 4}[statement]
    assert len(written) == 2
    assert ArchivedMonth.objects.get().sales_count == expected
    assert not Sale.objects.filter(date_payment__lt=datetime.datetime(2021, 2, 1, tzinfo=datetime.UTC)).exists()
    assert verification.verify() == []


def test_sales_of_other_months_do_not_hold_an_archive_up(tmp_path, monkeypatch):
    record_sales(events())

    def write_and_add(month, recorded, place):
        result = writing.write_month(month, recorded, place)
        record_sales([sale_event(DATE_PAYMENT=f"2021-02-{day:02}") for day in range(1, 20)])
        return result

    monkeypatch.setattr(moving, "write_month", write_and_add)

    archive(tmp_path, "2021-02")

    assert (ArchivedMonth.objects.get().sales_count, Sale.objects.count()) == (4, 19)


def test_a_file_that_is_read_back_with_other_contents_leaves_the_sales_alone(tmp_path, monkeypatch):
    record_sales(events())
    monkeypatch.setattr(writing, "write_sales", lambda path, sales, _: write_sales(path, sales.exclude(brand="-"), _))

    with pytest.raises(CommandError, match="was read back with other contents") as error:
        archive(tmp_path, "2021-02")

    assert (error.value.returncode, Sale.objects.count(), ArchivedMonth.objects.count()) == (4, 4, 0)


@pytest.mark.parametrize("column", ["id_order", "revenue", "date_payment", "received_at", "event_id", "brand"])
def test_every_column_is_compared(tmp_path, column):
    record_sales(events(EVENT_ID="e-2", BRAND="b"))
    changes = {"revenue": "revenue * 1.0", "event_id": "NULL", "brand": "NULL"}
    default = f"{column} || 'x'" if column == "id_order" else f"{column} + interval '1 microsecond'"
    path = tmp_path / "sales.parquet"
    write_sales(path, Sale.objects.all(), lambda count: None)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {digests_sql()} FROM sales")
        [same] = cursor.fetchone()
        cursor.execute(f"UPDATE sales SET {column} = {changes.get(column, default)} WHERE revenue = 57.27")
        cursor.execute(f"SELECT {digests_sql()} FROM sales")
        [other] = cursor.fetchone()

    assert content_of(path, lambda count: None).digests == same != other


def test_a_damaged_file_is_not_restored(tmp_path):
    record_sales(events())
    archive(tmp_path, "2021-02")
    file = tmp_path / "sales-2021-01.parquet"
    file.write_bytes(file.read_bytes()[:-1])

    with pytest.raises(CommandError, match="its SHA-256 differs") as error:
        restore(tmp_path, "2021-01")

    assert (error.value.returncode, Sale.objects.count(), ArchivedMonth.objects.count()) == (4, 0, 1)


def test_what_is_there_already_is_not_restored(tmp_path):
    record_sales(events())
    archive(tmp_path, "2021-02")
    (tmp_path / "other").mkdir()

    with pytest.raises(CommandError, match=r"other has no sales of 2021-01. They were archived to .*01\.parquet"):
        restore(tmp_path / "other", "2021-01")
    restore(tmp_path, "2021-01")
    with pytest.raises(CommandError, match="No sales of 2021-01 are archived") as error:
        restore(tmp_path, "2021-01")

    assert (error.value.returncode, Sale.objects.count()) == (2, 4)


def go_back_to(record):
    """Leave the database as a backup from the time of this record has it."""
    Sale.objects.all().delete()
    ArchivedMonth.objects.all().delete()
    record.tallies = record.trades = "[]"  # restoring does not read them
    record.save(force_insert=True)


def test_a_month_that_changed_gets_a_new_file_and_the_old_one_can_still_be_restored(tmp_path):
    """A copy of the database archives in the same way to the folder of the first one."""
    record_sales(events())
    before = sales_rows()
    archive(tmp_path, "2021-02")
    first = ArchivedMonth.objects.get()
    restore(tmp_path, "2021-01")
    record_sales([sale_event(ID_ORDER="late")])

    archive(tmp_path, "2021-02")

    second = ArchivedMonth.objects.get()
    assert (second.part, second.url, second.sales_count) == (2, f"{tmp_path}/sales-2021-01.2.parquet", 5)
    go_back_to(first)
    restore(tmp_path, "2021-01")
    assert sales_rows() == before
    go_back_to(second)
    restore(tmp_path, "2021-01")
    assert Sale.objects.count() == 5


def test_a_month_that_did_not_change_keeps_its_file(tmp_path):
    def inodes():
        return {path.name: path.stat().st_ino for path in tmp_path.glob("sales-*")}

    record_sales(events())
    archive(tmp_path, "2021-02")
    before = inodes()
    restore(tmp_path, "2021-01")

    archive(tmp_path, "2021-02")

    assert inodes() == before
    restore(tmp_path, "2021-01")
    assert Sale.objects.count() == 4


@pytest.mark.parametrize("step", ["publish", "_compare"])
def test_an_interrupted_archive_goes_on_with_its_own_name(tmp_path, monkeypatch, step):
    record_sales(events())
    monkeypatch.setattr(writing, step, raising(DamagedBackupError("interrupted")))
    with pytest.raises(CommandError, match="interrupted"):
        archive(tmp_path, "2021-02")
    monkeypatch.undo()

    archive(tmp_path, "2021-02")

    assert {path.name for path in tmp_path.glob("sales-*")} == {"sales-2021-01.parquet", "sales-2021-01.json"}
    restore(tmp_path, "2021-01")
    assert Sale.objects.count() == 4


def raising(error):
    def fail(*arguments):
        raise error

    return fail


def test_a_file_whose_manifest_is_lost_is_not_replaced(tmp_path):
    record_sales(events())
    lost = tmp_path / "sales-2021-01.parquet"
    lost.write_bytes(b"sales")

    archive(tmp_path, "2021-02")

    assert (lost.read_bytes(), ArchivedMonth.objects.get().part) == (b"sales", 2)


def test_a_damaged_file_is_written_again(tmp_path):
    record_sales(events())
    archive(tmp_path, "2021-02")
    restore(tmp_path, "2021-01")
    (tmp_path / "sales-2021-01.parquet").write_bytes(b"damaged")

    archive(tmp_path, "2021-02")
    restore(tmp_path, "2021-01")

    assert Sale.objects.count() == 4


def test_two_databases_do_not_write_to_a_folder_at_the_same_time(tmp_path):
    record_sales(events())

    with locked(tmp_path, LOCK), pytest.raises(CommandError, match="Another process is changing the archived sales in"):
        archive(tmp_path, "2021-02")

    assert (Sale.objects.count(), list(tmp_path.glob("sales-*"))) == (4, [])


def test_a_month_that_changes_while_its_file_is_written_takes_no_name(tmp_path, monkeypatch):
    record_sales(events())
    changes = [{"ID_ORDER": "late"}]

    def write_and_change(path, sales, advance):
        write_sales(path, sales, advance)
        if changes:
            in_another_thread(record_sales, [sale_event(**changes.pop())])

    monkeypatch.setattr(writing, "write_sales", write_and_change)

    archive(tmp_path, "2021-02")

    assert {path.name for path in tmp_path.glob("sales-*")} == {"sales-2021-01.parquet", "sales-2021-01.json"}
    assert ArchivedMonth.objects.get().sales_count == 5
