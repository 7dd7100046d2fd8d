"""`manage.py doctor` lists problems and what to do, and its support bundle has no secrets."""

import io
import json
import re
import zipfile

import pytest
from django.core.checks.registry import registry
from django.core.management import CommandError, call_command
from django.db import connection

from analytics.management.commands import doctor
from salesengine.accounts.api_keys import create_key
from salesengine.operations.doctor import storage_checks
from salesengine.tests.test_imports import ROOT, modules

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

CHECK_ID = re.compile(r"\b(?:analytics|sales|salesengine)\.[EW]\d{3}\b")


@pytest.fixture(autouse=True)
def healthy(settings, tmp_path, monkeypatch):
    """Use a strong secret key, a database that is too new to need a backup, and a disk with room."""
    monkeypatch.setattr(storage_checks, "FULL_DISK", 0)
    monkeypatch.setattr(storage_checks, "LOW_DISK", 0)
    settings.SECRET_KEY = "0123456789" * 6
    settings.LOCAL_DIR = tmp_path
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").touch()


def diagnose(*arguments):
    """Return the exit code and the standard output."""
    output = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=output, stderr=io.StringIO())
    except SystemExit as error:
        return error.code, output.getvalue()
    return 0, output.getvalue()


def test_a_healthy_service_has_no_findings():
    assert diagnose() == (0, "Nothing found: all is well.\n")
    code, output = diagnose("--json")
    assert (code, json.loads(output)) == (0, {"status": "ok", "findings": []})


def test_a_warning_is_exit_code_1_and_a_problem_is_2(settings):
    settings.SECRET_KEY = "short"
    assert diagnose()[0] == 1

    settings.IS_PRIVATE, settings.API_KEY_REQUIRED = False, False
    code, output = diagnose("--json")
    findings = json.loads(output)["findings"]
    assert (code, json.loads(output)["status"]) == (2, "problem")
    assert [(each["id"], each["level"]) for each in findings] == [
        ("salesengine.E102", "problem"),
        ("security.W009", "warning"),
    ]
    assert findings[0]["what_to_do"].startswith("Remove API_KEY_REQUIRED from the settings")


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_findings_that_cannot_be_written_are_exit_code_2(arguments):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    with pytest.raises(CommandError, match="No space left on device") as caught:
        call_command("doctor", *arguments, stdout=Full())
    assert caught.value.returncode == 2


def test_each_finding_is_a_line_and_says_below_what_to_do(settings):
    settings.IS_PRIVATE, settings.DEBUG, settings.API_KEY_REQUIRED = False, True, True
    assert diagnose()[1].splitlines() == [
        "problem: (salesengine.E101) DEBUG is on, so error pages show settings and source code to everyone",
        "    Remove DEBUG from the settings.",
        "Found 1 problem and 0 warnings.",
    ]


def test_a_terminal_gets_a_table(settings, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    settings.IS_PRIVATE, settings.DEBUG, settings.API_KEY_REQUIRED = False, True, True
    output = diagnose()[1]
    assert "\x1b[1;31mproblem\x1b[0m" in output
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in output.splitlines()) <= 100


def test_a_report_file_that_is_invalid_is_found(settings, tmp_path):
    settings.SQL_DIR = tmp_path
    (tmp_path / "bad.sql").write_text("SELECT 1 AS one")
    code, output = diagnose()
    assert (code, "bad.sql:1: " in output, "(analytics.E001)" in output) == (2, True, True)


def test_pending_migrations_are_one_finding_and_the_tables_are_not_checked():
    create_key("web shop", ["ingest"])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE api_key SET created = now() - interval '1 year'")
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sales' RETURNING app, name, applied")
        rows = cursor.fetchall()
        try:
            code, output = diagnose("--json")
        finally:
            cursor.executemany("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)", rows)
    assert (code, [each["id"] for each in json.loads(output)["findings"]]) == (2, ["salesengine.E202"])


def test_a_check_that_takes_too_long_does_not_stop_the_others(settings, monkeypatch):
    settings.IS_LOCAL = True
    monkeypatch.setattr("salesengine.operations.doctor.diagnosis.QUERY_LIMIT", "100ms")
    monkeypatch.setattr(storage_checks, "INVALID_INDEXES", "SELECT pg_sleep(60)::text")
    settings.WEB_CONCURRENCY = 10
    code, output = diagnose("--json")
    findings = {each["id"]: each for each in json.loads(output)["findings"]}
    assert (code, set(findings)) == (1, {"salesengine.W100", "salesengine.W201"})
    assert findings["salesengine.W100"]["about"] == "invalid indexes"
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_the_system_checks_have_the_same_limit(monkeypatch):
    def check_slowly(databases, **options):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
        return []

    monkeypatch.setattr("salesengine.operations.doctor.diagnosis.QUERY_LIMIT", "100ms")
    monkeypatch.setattr(registry, "get_checks", lambda **options: [check_slowly])
    code, output = diagnose("--json")
    abouts = [each["about"] for each in json.loads(output)["findings"] if each["id"] == "salesengine.W100"]
    assert (code, abouts) == (1, ["slowly"])


def test_the_documentation_explains_each_id():
    code = {found for file in modules() for found in CHECK_ID.findall((ROOT / file).read_text())}
    explained = re.findall(r"^\| `([\w.]+)` \|", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert sorted(code) == sorted(each for each in explained if CHECK_ID.fullmatch(each))


# The support bundle


def bundle(tmp_path):
    """Return the exit code, the files of a new bundle by name, and all their text."""
    path = tmp_path / "support.zip"
    code, _ = diagnose("--bundle", str(path))
    with zipfile.ZipFile(path) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    return code, {name: json.loads(text) for name, text in texts.items()}, "".join(texts.values())


def test_a_bundle_has_versions_settings_and_sizes(tmp_path):
    code, files, _ = bundle(tmp_path)
    assert (code, files["doctor.json"]) == (0, {"status": "ok", "findings": []})
    assert "Django==" in " ".join(files["versions.json"]["packages"])
    assert files["settings.json"]["WEB_THREADS"] == 16
    assert (files["settings.json"]["SECRET_KEY"], files["settings.json"]["RATE_LIMIT"]) == ("set", None)
    tables = {table["table"]: table for table in files["tables.json"]}
    assert (tables["sales"]["partitions"] > 0, tables["country"]["partitions"]) == (True, 0)
    assert tables["sales"]["index_bytes"] > 0  # the sum of its partitions, which are not listed
    assert "sales_other" not in tables
    assert "sales.0001_create_tables" in files["migrations.json"]
    assert files["database_settings.json"]["shared_buffers"].endswith("8kB")
    assert files["report_runs.json"] == []


def test_a_bundle_names_no_client(tmp_path):
    create_key("Secretive Shop", ["ingest"])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE api_key SET created = now() - interval '1 year'")
    code, files, text = bundle(tmp_path)
    assert (code, [each["id"] for each in files["doctor.json"]["findings"]]) == (1, ["salesengine.W302"])
    assert "Secretive" not in text


def test_a_bundle_that_cannot_be_written_is_exit_code_3(tmp_path):
    with pytest.raises(doctor.CommandError) as raised:
        diagnose("--bundle", str(tmp_path / "nowhere" / "support.zip"))
    assert (raised.value.returncode, "nowhere" in str(raised.value)) == (3, True)
