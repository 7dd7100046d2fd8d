import os
from pathlib import Path

import pytest
from django.conf import settings as project_settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from analytics.definitions.reports import (
    InvalidReportError,
    UnknownReportError,
    get_report,
    invalid_reports,
    load_reports,
    read_report,
)
from analytics.running.checks import check_report_files

GOOD = '/*\ntitle = "Good"\ndescription = "A good one."\n*/\nSELECT 1 AS one\n'


def test_the_projects_reports_are_valid():
    assert {report.name for report in load_reports()} == {path.stem for path in project_settings.SQL_DIR.glob("*.sql")}
    assert len(load_reports()) >= 12
    assert invalid_reports() == []


def test_a_report_has_a_name_a_header_and_sql(sql_dir):
    (sql_dir / "good.sql").write_text(GOOD)
    report = get_report("good")
    assert (report.name, report.title, report.description) == ("good", "Good", "A good one.")
    assert (report.sql, report.sql_line) == ("SELECT 1 AS one", 5)


def test_a_new_file_is_a_report_immediately(sql_dir):
    assert load_reports() == []
    (sql_dir / "good.sql").write_text(GOOD)
    assert [report.name for report in load_reports()] == ["good"]


def test_later_comments_belong_to_the_sql(sql_dir):
    (sql_dir / "good.sql").write_text(GOOD + "/* the end */")
    assert get_report("good").sql.endswith("/* the end */")


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(sql_dir):
    (sql_dir / "good.sql").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert (get_report("good").title, get_report("good").sql_line) == ("Good", 5)


def test_an_unknown_name_is_an_error_with_the_names_of_all_reports(sql_dir):
    (sql_dir / "good.sql").write_text(GOOD)
    with pytest.raises(UnknownReportError, match=r"no report 'goods'. The reports are: good\."):
        get_report("goods")


@pytest.mark.parametrize("name", ["../secret", "", "Good", "good\n", "good.sql", "/etc/passwd", "a" * 300])
def test_a_name_cannot_leave_the_folder(sql_dir, name):
    (sql_dir / "good.sql").write_text(GOOD)
    (sql_dir.parent / "secret.sql").write_text(GOOD)
    with pytest.raises(UnknownReportError):
        get_report(name)


INVALID_FILES = {
    "no header": ("SELECT 1\n", 1, "the file must begin with a /* comment */"),
    "header not closed": ('/*\ntitle = "Bad"\nSELECT 1\n', 1, "the file must begin with a /* comment */"),
    "not TOML": ("/*\ntitle = \n*/\nSELECT 1\n", 2, "the header is not TOML: Invalid value"),
    "title missing": ('/*\ndescription = "Bad."\n*/\nSELECT 1\n', 1, "title: Field required"),
    "title empty": ('/*\ndescription = "Bad."\ntitle = " "\n*/\nSELECT 1\n', 3, "at least 1 character"),
    "title not text": ('/*\ndescription = "Bad."\n\ntitle = 5\n*/\nSELECT 1\n', 4, "a valid string"),
    "unknown key": ('/*\ntitle = "Bad"\ndescription = "Bad."\ncolour = "red"\n*/\nSELECT 1\n', 4, "colour: Extra"),
    "timeout not text": ('/*\ntitle = "Bad"\ndescription = "Bad."\ntimeout = [5]\n*/\nSELECT 1\n', 4, "not a duration"),
    "endless number": (f"/*\ntitle = {'1' * 5_000}\n*/\nSELECT 1\n", 1, "Exceeds the limit"),
    "endless list": (f"/*\ntitle = {'[' * 5_000}\n*/\nSELECT 1\n", 1, "maximum recursion depth"),
    "NUL": ('/*\ndescription = "Bad."\ntitle = "A\\u0000B"\n*/\nSELECT 1\n', 3, "title: String should match"),
    "a parameter with a reserved name": (
        '/*\ntitle = "Bad"\ndescription = "Bad."\n[parameters.format]\ntype = "text"\n*/\nSELECT %(format)s AS a\n',
        4,
        "format is a reserved name",
    ),
    "a parameter that is not used": (
        '/*\ntitle = "Bad"\ndescription = "Bad."\n[parameters.day]\ntype = "date"\n*/\nSELECT 1 AS a\n',
        4,
        "the parameter day is declared but not used",
    ),
    "a parameter that is not declared": (
        '/*\ntitle = "Bad"\ndescription = "Bad."\n*/\nSELECT\n    %(day)s AS a\n',
        6,
        "the parameter day is used but not declared",
    ),
    "a default with another type": (
        '/*\ntitle = "Bad"\ndescription = "Bad."\n[parameters.day]\ntype = "date"\ndefault = "soon"\n*/\nSELECT 1\n',
        4,
        "the default must be a date",
    ),
    "no SQL": ('/*\ntitle = "Bad"\ndescription = "Bad."\n*/\n', 5, "there is no SQL below the header"),
}


@pytest.mark.parametrize(("text", "line", "reason"), INVALID_FILES.values(), ids=INVALID_FILES)
def test_an_error_in_a_file_has_its_line(sql_dir, text, line, reason):
    (sql_dir / "bad.sql").write_text(text)
    with pytest.raises(InvalidReportError) as caught:
        get_report("bad")
    assert caught.value.line == line
    assert reason in caught.value.reason


def test_a_file_must_be_utf_8(sql_dir):
    (sql_dir / "bad.sql").write_bytes(GOOD.encode() + b"-- caf\xe9\n")
    with pytest.raises(InvalidReportError, match=r"bad\.sql, line 6: the file is not UTF-8"):
        get_report("bad")


def test_a_file_needs_a_valid_name(sql_dir):
    (sql_dir / "Good-1.sql").write_text(GOOD)
    with pytest.raises(InvalidReportError, match="lower case"):
        read_report(sql_dir / "Good-1.sql")


def test_a_file_name_can_be_any_bytes():
    error = InvalidReportError(Path(os.fsdecode(b"caf\xe9.sql")), 1, "cannot be read")
    assert str(error) == "caf?.sql, line 1: cannot be read"


def test_an_unreadable_file_is_an_error(sql_dir):
    (sql_dir / "bad.sql").symlink_to(sql_dir / "gone.sql")
    assert ["No such file" in error.reason for error in invalid_reports()] == [True]


def test_an_invalid_file_does_not_affect_the_others(sql_dir):
    (sql_dir / "bad.sql").write_text("SELECT 1")
    (sql_dir / "good.sql").write_text(GOOD)
    assert [report.name for report in load_reports()] == ["good"]
    assert [error.path.name for error in invalid_reports()] == ["bad.sql"]


def test_a_number_with_a_huge_exponent_is_refused(write_report):
    with pytest.raises(InvalidReportError, match="1e999999999 has more than 100 digits"):
        write_report("SELECT 1 AS one", header='[parameters.n]\ntype = "decimal"\nminimum = 1e999999999\n')


def test_a_default_keeps_all_digits_of_its_number(write_report):
    header = '[parameters.share]\ntype = "decimal"\ndefault = 0.00001\nmaximum = 0.12345678901234567890\n'
    share = write_report("SELECT %(share)s AS share", header=header).parameters["share"]
    assert (share.default_text, str(share.maximum)) == ("0.00001", "0.12345678901234567890")


@pytest.mark.django_db(transaction=True, databases=["default", "reports"])
def test_the_system_check_names_file_and_line(sql_dir):
    (sql_dir / "bad.sql").write_text("/*\ntitle = \n*/\nSELECT 1\n")
    with pytest.raises(SystemCheckError, match=r"bad\.sql:2: \(analytics\.E001\) the header is not TOML"):
        call_command("check")


def test_valid_files_pass_the_system_check():
    assert project_settings.SQL_DIR.is_dir()
    assert check_report_files() == []
