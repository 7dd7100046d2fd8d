"""manage.py load_countries."""

import io
import sys

import pytest
from django.core.management import CommandError, call_command

from countries.management.commands.load_countries import Command
from countries.models import Country

CSV = "ID_COUNTRY,COUNTRY_NAME,CONTINENT\n170,France,Europe\n203,Spain,Europe\n"

pytestmark = pytest.mark.django_db


@pytest.fixture
def csv_file(tmp_path):
    path = tmp_path / "countries.csv"
    path.write_text(CSV)
    return path


def test_the_summary_goes_to_standard_error(csv_file, capsys):
    call_command("load_countries", csv_file)
    assert capsys.readouterr() == ("", "Countries: 2 new, 0 changed, 0 unchanged\n")
    assert Country.objects.count() == 2


def test_a_dry_run_stores_nothing(csv_file, capsys):
    call_command("load_countries", csv_file, "--dry-run")
    assert capsys.readouterr() == ("", "Dry run, nothing stored: 2 new, 0 changed, 0 unchanged\n")
    assert not Country.objects.exists()


def test_a_dash_reads_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CSV.encode()), encoding="ascii"))
    call_command("load_countries", "-")
    assert "2 new" in capsys.readouterr().err


def test_an_invalid_row_is_an_error_with_file_and_line(csv_file):
    csv_file.write_text(CSV + ",Nowhere,\n")
    with pytest.raises(CommandError, match=r"countries.csv: 1 row is invalid.*\n  line 4: ID_COUNTRY must not"):
        call_command("load_countries", csv_file)
    assert not Country.objects.exists()


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(CommandError, match=r"none.csv cannot be read: No such file or directory"):
        call_command("load_countries", tmp_path / "none.csv")


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(CommandError, match="cannot be read: Is a directory"):
        call_command("load_countries", tmp_path)


def test_the_help_shows_an_example():
    text = Command().create_parser("manage.py", "load_countries").format_help()
    assert "\n    ID_COUNTRY,COUNTRY_NAME,CONTINENT\n    170,France,Europe\n" in text
    assert "\n    manage.py load_countries countries.csv\n" in text
