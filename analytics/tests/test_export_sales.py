"""`manage.py export_sales` writes what has changed since the last export, and forgets nothing when it fails."""

import hashlib
import json
import re
from decimal import Decimal
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from pyarrow import parquet

from analytics.output import changes as output
from sales.archiving.tests.helpers import archive, make_only
from sales.changes import export as reading
from sales.changes.tests.helpers import void
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from sales.totals import folding
from sales.totals.tests.threads import in_another_thread

pytestmark = pytest.mark.django_db(transaction=True)
HEADER = (
    "position,kind,ID,ID_ORDER,ID_PRODUCT,ID_BUYER,ID_SELLER,ID_SELLER_COUNTRY,ID_BUYER_COUNTRY,DATE_PAYMENT,BRAND,"
    "CATEGORY,REVENUE,EVENT_ID,RECEIVED_AT,voided_at,reason,replaced_by"
)


@pytest.fixture
def export(tmp_path):
    """Return a function that exports to a folder, and returns what it says."""

    def run(*options):
        err = StringIO()
        call_command("export_sales", "--since", str(tmp_path / "since"), "--to", str(tmp_path), *options, stderr=err)
        return err.getvalue()

    return run


def store(*revenues):
    return record_sales([sale_event(REVENUE=revenue) for revenue in revenues]).ids


def names(folder):
    return sorted(path.name for path in folder.iterdir() if "manifest" not in path.name and path.name != "since")


def rows(path):
    return [json.loads(line, parse_float=Decimal) for line in path.read_text().splitlines()]


def test_the_first_export_has_all_true_sales_and_the_next_ones_what_has_changed(export, tmp_path):
    first, second = store("1.10", "2")
    void(first)

    export("--format", "ndjson")
    [third] = store(3)
    void(second, replaced_by=third)
    export("--format", "ndjson")

    assert names(tmp_path) == [
        "sales-000000000000000-000000000000003.ndjson",
        "sales-000000000000003-000000000000005.ndjson",
    ]
    assert [(row["kind"], row["ID"]) for row in rows(tmp_path / names(tmp_path)[0])] == [("sale", second)]
    later = rows(tmp_path / names(tmp_path)[1])
    assert [(row["position"], row["kind"], row["ID"]) for row in later] == [(4, "sale", third), (5, "void", second)]
    assert (later[1]["reason"], later[1]["replaced_by"]) == ("wrong price", third)
    assert (tmp_path / "since").read_text() == "5\n"


def test_without_changes_no_file_is_written(export, tmp_path):
    assert export() == "There are no sales.\n"
    store(1)
    export()

    assert export() == "Nothing has changed since the last export.\n"
    assert names(tmp_path) == ["sales-000000000000000-000000000000001.csv"]


def test_the_manifest_describes_the_file(export, tmp_path):
    first, _ = store("0.10", "0.20")
    export()
    store("1000000000.00000000000000000001")
    void(first)
    export()

    path = tmp_path / "sales-000000000000002-000000000000004.csv"
    manifest = json.loads((tmp_path / f"{path.name}.manifest.json").read_text(), parse_float=Decimal)
    content = path.read_bytes()
    assert content.decode().splitlines()[0] == HEADER
    assert manifest == {
        "file": path.name,
        "format": "csv",
        "after": 2,
        "position": 4,
        "rows": 2,
        "sales": 1,
        "voids": 1,
        "archived": 0,
        "archived_months": [],
        "revenue": Decimal("999999999.90000000000000000001"),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_parquet_has_exact_numbers_and_typed_columns(export, tmp_path):
    store("57.27456")
    export("--format", "parquet")

    [row] = parquet.read_table(tmp_path / "sales-000000000000000-000000000000001.parquet").to_pylist()
    assert (row["position"], row["kind"], row["REVENUE"]) == (None, "sale", Decimal("57.27456"))
    assert row["DATE_PAYMENT"].isoformat() == "2021-01-07T00:09:24+00:00"


def test_large_exports_are_read_in_pages(export, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PAGE", 3)
    ids = [*store(*range(7))]
    export("--format", "ndjson")
    ids += store(*range(8))
    export("--format", "ndjson")

    assert [row["ID"] for name in names(tmp_path) for row in rows(tmp_path / name)] == list(ids)


def test_an_export_of_all_sales_passes_over_gaps_between_ids(export, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PAGE", 3)
    ids = []
    for next_id in (5, 12, 1_000_000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT setval('sales_id_seq', %s, false)", [next_id])
        ids += store(1, 2)
    export("--format", "ndjson")

    [name] = names(tmp_path)
    assert [row["ID"] for row in rows(tmp_path / name)] == ids


def test_a_sale_that_commits_during_the_first_export_comes_with_the_next_one(export, tmp_path):
    store(1)
    with transaction.atomic():
        [late] = store(2)
        in_another_thread(export, "--format", "ndjson")
    export("--format", "ndjson")

    assert [[row["ID"] for row in rows(tmp_path / name)] for name in names(tmp_path)] == [[late - 1], [late]]


def test_sales_that_no_fold_has_stamped_are_not_in_the_first_export(export, tmp_path, monkeypatch):
    """They have no position yet, so the next export has them."""
    store(1)
    folding.fold_all()
    store(2)
    with monkeypatch.context() as patch:
        patch.setattr(folding, "fold_all", lambda **_: None)
        export("--format", "ndjson")
    export("--format", "ndjson")

    assert [len(rows(tmp_path / name)) for name in names(tmp_path)] == [1, 1]


def test_a_failure_leaves_the_position_and_no_file(export, tmp_path, monkeypatch):
    store(1)
    export()
    store(2)
    monkeypatch.setattr(output, "encode_json", lambda description: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        export()

    assert (tmp_path / "since").read_text() == "1\n"
    assert names(tmp_path) == ["sales-000000000000000-000000000000001.csv"]
    monkeypatch.undo()
    assert export() == f"Wrote 1 sale and 0 voids to {tmp_path / 'sales-000000000000001-000000000000002.csv'}.\n"


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("5\n", 1, "has the position 5, but the last position is 4"),
        ("1\n", 1, "were deleted already"),
        ("latest\n", 2, "does not contain a position"),
    ],
)
def test_a_position_that_does_not_fit_is_an_error(export, tmp_path, content, code, message):
    for _ in range(2):
        store(1, 2)
        folding.fold_all()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ledger WHERE position = 2")
    (tmp_path / "since").write_text(content)

    with pytest.raises(CommandError, match=message) as caught:
        export()

    assert caught.value.returncode == code
    assert names(tmp_path) == []


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    store(1)
    with pytest.raises(CommandError, match="there is no folder") as caught:
        call_command("export_sales", "--since", str(tmp_path / "since"), "--to", str(tmp_path / "none"))
    assert caught.value.returncode == 1
    assert not (tmp_path / "since").exists()


def test_a_folder_of_the_position_that_does_not_exist_is_an_error_before_the_export(tmp_path):
    store(1)
    with pytest.raises(CommandError, match=r"position cannot be written: .*none is not a writable folder") as caught:
        call_command("export_sales", "--since", str(tmp_path / "none" / "position"), "--to", str(tmp_path))
    assert caught.value.returncode == 1
    assert names(tmp_path) == []


def test_exports_from_different_positions_do_not_overwrite_each_other(export, tmp_path):
    store(1)
    export()
    store(2)
    export()
    (tmp_path / "since").unlink()
    export()

    assert names(tmp_path) == [
        "sales-000000000000000-000000000000001.csv",
        "sales-000000000000000-000000000000002.csv",
        "sales-000000000000001-000000000000002.csv",
    ]


def test_an_export_of_all_sales_names_the_months_that_are_archived(export, tmp_path):
    make_only("2021-01-01", "2021-02-01")
    record_sales([sale_event(DATE_PAYMENT=day) for day in ("2021-01-01", "2021-02-01")])
    archive(tmp_path / "archive", "2021-02")

    warning = "Warning: Sales paid in 2021-01 are archived, so this export does not have them. Load their files too.\n"
    assert export("--format", "ndjson").startswith(warning)
    [manifest] = [json.loads(path.read_text()) for path in tmp_path.glob("*.manifest.json")]
    assert (manifest["sales"], manifest["archived_months"]) == (1, ["2021-01"])
    assert export() == "Nothing has changed since the last export.\n"


def test_quiet_says_nothing(export):
    store(1)
    assert export("--quiet") == ""


def test_a_warehouse_that_loads_as_documented_has_the_true_sales(export, tmp_path):
    [documented] = re.findall(
        r"```sql\n(INSERT INTO warehouse\n.*?)```", (settings.BASE_DIR / "docs/reports.md").read_text(), re.DOTALL
    )
    first, second = store(1, 2)
    export()
    void(first)
    third, fourth = store("3.50", 4)
    void(fourth)
    export()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE TEMP TABLE staged (position bigint, kind text, "ID" bigint, "ID_ORDER" text, "ID_PRODUCT" text,
                "ID_BUYER" text, "ID_SELLER" text, "ID_SELLER_COUNTRY" text, "ID_BUYER_COUNTRY" text,
                "DATE_PAYMENT" timestamptz, "BRAND" text, "CATEGORY" text, "REVENUE" numeric, "EVENT_ID" text,
                "RECEIVED_AT" timestamptz, voided_at timestamptz, reason text, replaced_by bigint);
            CREATE TEMP TABLE warehouse AS SELECT "ID", "ID_ORDER", "DATE_PAYMENT", "REVENUE" FROM staged
            """
        )
        for name in (*names(tmp_path), names(tmp_path)[-1]):
            cursor.execute("TRUNCATE staged")
            with cursor.copy("COPY staged FROM STDIN (FORMAT csv, HEADER)") as copy:
                copy.write((tmp_path / name).read_text())
            cursor.execute(documented)
        cursor.execute('SELECT "ID", "REVENUE" FROM warehouse ORDER BY "ID"')
        assert cursor.fetchall() == [(second, Decimal(2)), (third, Decimal("3.50"))]
        cursor.execute("DROP TABLE staged, warehouse")
