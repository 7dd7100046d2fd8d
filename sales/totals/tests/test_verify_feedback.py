"""manage.py verify_feedback finds wrong figures and repairs them."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from sales.ingest.writer import record_sales
from sales.models import Total
from sales.tests.helpers import sale_event
from salesengine.backups.manifests import MANIFEST
from salesengine.backups.tests.helpers import make_backup

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def sales(monkeypatch):
    """Store two sales and do not fold them."""
    monkeypatch.setattr("sales.ingest.writer.fold_if_due", lambda *due: None)
    record_sales([sale_event(), sale_event(CATEGORY="bags")])


def test_correct_figures_are_reported_on_stderr_only(capsys):
    call_command("verify_feedback")

    out, err = capsys.readouterr()
    assert out == ""
    assert "Feedback agrees with all 2 sales." in err


def test_each_wrong_figure_is_printed_and_the_exit_code_is_4(capsys):
    Total.objects.create(category="bags", sales_count=3, revenue="0.5", received_at=timezone.now())

    with pytest.raises(CommandError, match="1 figure differs from") as failure:
        call_command("verify_feedback")

    assert failure.value.returncode == 4
    assert capsys.readouterr().out == (
        "bags, all time: stored 4 sales with revenue 57.77456, expected 1 with 57.27456\n"
    )


def test_an_output_that_cannot_be_written_does_not_hide_that_figures_differ():
    class ClosedPipe(StringIO):
        def write(self, text):
            raise BrokenPipeError

    Total.objects.create(category="bags", sales_count=3, revenue="0.5", received_at=timezone.now())

    with pytest.raises(CommandError, match="1 figure differs from") as failure:
        call_command("verify_feedback", stdout=ClosedPipe())

    assert failure.value.returncode == 4


def test_figures_that_differ_from_a_backup_only_are_not_repaired(tmp_path):
    manifest = tmp_path / make_backup(tmp_path, hour=1).name / MANIFEST

    with pytest.raises(CommandError, match=rf"2 figures differ from those in {manifest}\.$") as failure:
        call_command("verify_feedback", "--backup", str(manifest))

    assert failure.value.returncode == 4


def test_repair_corrects_the_figures(capsys):
    Total.objects.create(category="bags", sales_count=3, revenue="0.5", received_at=timezone.now())

    call_command("verify_feedback", "--repair")

    assert "Feedback agrees with all 2 sales." in capsys.readouterr().err


@pytest.mark.parametrize(("content", "code", "message"), [(None, 1, "No such file"), ("{}", 4, "is damaged")])
def test_a_manifest_that_cannot_be_read_is_an_error_before_the_totals_are_verified(tmp_path, content, code, message):
    manifest = tmp_path / MANIFEST
    if content:
        manifest.write_text(content)
    Total.objects.create(category="bags", sales_count=3, revenue="0.5", received_at=timezone.now())

    with pytest.raises(CommandError, match=message) as failure:
        call_command("verify_feedback", "--backup", str(manifest))

    assert failure.value.returncode == code
