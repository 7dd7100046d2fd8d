"""manage.py correct_sales: corrections from a file, all of them or none."""

import json

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command

from sales.corrections.tests.helpers import replace, store, void
from sales.ingest.schema import EXAMPLE
from sales.models import LedgerEntry, Sale, VoidedSale

pytestmark = pytest.mark.django_db


def write(path, *rows):
    """Write a file: objects as NDJSON, text as it is."""
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return str(path)


def failure(exit_code, *arguments):
    """Return the message of a command that fails, after checking that nothing was changed."""
    before = VoidedSale.objects.count()
    with pytest.raises(CommandError) as caught:
        call_command("correct_sales", *arguments)
    assert caught.value.returncode == exit_code
    assert VoidedSale.objects.count() == before
    return str(caught.value)


def test_lines_of_ndjson_are_the_corrections_of_the_api(tmp_path, capsys):
    ids = store({}, {"EVENT_ID": "e-1"})
    file = write(tmp_path / "c.ndjson", void(ID=ids[0]), replace({"REVENUE": 5}, EVENT_ID="e-1"))

    call_command("correct_sales", file, "--sender", "shop")

    assert capsys.readouterr() == ("", f"{file}: 1 voided, 1 replaced\n")
    assert [sale.revenue for sale in Sale.objects.all()] == [5]
    voided = VoidedSale.objects.first()
    assert voided.voided_by.startswith("command line: ")
    assert LedgerEntry.objects.get(voided=2).sources == [file]
    assert LogEntry.objects.get().change_message.startswith(f"{file}: 1 voided, 1 replaced. System user: ")


def test_a_row_of_csv_has_the_fields_of_the_correction_and_of_the_replacement(tmp_path):
    ids = store({"EVENT_ID": "e-1", "BRAND": "Prada"}, {"EVENT_ID": "e-2"}, {})
    header = f"Action,Reason,id,EVENT_ID,{','.join(EXAMPLE)}\n"
    sale = ",".join((EXAMPLE | {"REVENUE": "5", "BRAND": ""}).values())
    file = write(
        tmp_path / "c.csv",
        header,
        f"replace,wrong price,{ids[0]},e-1,{sale}\n",
        f"void,twice,{ids[1]},e-2,{sale}\n",
        f"void,test,{ids[2]},,{',' * (len(EXAMPLE) - 1)}\n",
    )

    call_command("correct_sales", file)

    [new] = Sale.objects.all()
    assert (new.revenue, new.brand, new.event_id) == (5, None, "e-1")
    assert list(VoidedSale.objects.order_by("pk").values_list("reason", flat=True)) == ["wrong price", "twice", "test"]


def test_a_file_is_corrected_as_a_whole_or_not_at_all(tmp_path):
    [sale_id] = store({})
    file = write(
        tmp_path / "c.csv", f"id,action,reason\n{sale_id},void,a\n{sale_id + 1},void,b\n{sale_id + 2},void,c\n"
    )

    message = failure(1, file)

    assert message == (
        f"{file}: stopped because of 2 errors:\n  line 3: ID belongs to no sale that is known\n"
        "  line 4: ID belongs to no sale that is known\nNothing was changed."
    )


def test_an_invalid_line_is_named(tmp_path):
    file = write(tmp_path / "c.ndjson", "\n", replace({"REVENUE": "much"}, ID=1), "{\n")

    message = failure(1, file)

    assert "  line 2: sale/REVENUE must be a number" in message
    assert "  line 3: is not valid JSON" in message


def test_the_same_file_cannot_be_applied_twice(tmp_path):
    ids = store({}, {"EVENT_ID": "e-1"})
    file = write(tmp_path / "c.ndjson", void(ID=ids[0]), replace({"REVENUE": 5}, EVENT_ID="e-1"))
    call_command("correct_sales", file, "--sender", "shop")

    message = failure(1, file, "--sender", "shop")

    assert f"line 1: ID belongs to the sale {ids[0]}, which was voided at" in message
    assert "line 2: sale is what the sale" in message


def test_a_dry_run_checks_everything_and_changes_nothing(tmp_path, capsys):
    [sale_id] = store({})
    file = write(tmp_path / "c.ndjson", void(ID=sale_id))

    call_command("correct_sales", file, "--dry-run")

    assert capsys.readouterr().err == f"Dry run, nothing changed: {file}: 1 voided, 0 replaced\n"
    assert Sale.objects.exists()
    assert not LogEntry.objects.exists()
    wrong = write(tmp_path / "d.ndjson", void(ID=sale_id + 1))
    assert "belongs to no sale" in failure(1, wrong, "--dry-run")


def test_an_empty_file_corrects_nothing(tmp_path):
    call_command("correct_sales", write(tmp_path / "c.ndjson"))

    assert not LedgerEntry.objects.exists()
    assert not LogEntry.objects.exists()


def test_columns_can_be_renamed(tmp_path):
    [sale_id] = store({})
    file = write(tmp_path / "c.csv", f"sale,what,reason,remark\n{sale_id},void,a,b\n")

    message = failure(1, file, "--map", "sale=ID", "--map", "what=ACTION")
    assert "the column 'remark' is not a field of a correction" in message
    call_command("correct_sales", file, "--map", "sale=ID", "--map", "what=ACTION", "--map", "remark=")

    assert not Sale.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("c.parquet",), "does not imply CSV or NDJSON"),
        (("-",), "does not imply CSV or NDJSON"),
        (("c.csv", "--map", "a"), "--map: 'a' must have the form THEIRS=OURS"),
    ],
)
def test_invalid_arguments(arguments, message):
    assert message in failure(2, *arguments)


def test_a_missing_file_and_a_missing_column(tmp_path):
    assert "cannot be read: No such file" in failure(1, str(tmp_path / "c.csv"))
    assert "no column maps to ACTION, REASON" in failure(1, write(tmp_path / "d.csv", "id\n1\n"))


def test_a_file_with_more_corrections_than_a_request_may_have_must_be_split(tmp_path, settings):
    settings.INGEST_MAX_EVENTS = 2

    assert "has more than 2 corrections" in failure(1, write(tmp_path / "c.ndjson", *[{}] * 3))
