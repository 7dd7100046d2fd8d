"""Reports say when their period reaches into archived months, and their versions change with the archive."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from analytics.definitions.reports import get_report
from analytics.running.query import Query
from analytics.running.runner import current_data_version, run
from sales.archiving import moving
from sales.archiving.tests.helpers import archive, make_only, restore
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from salesengine import distribution

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])
WARNING = "Sales paid in 2020-12 to 2021-01 are archived, so this report does not count them."


@pytest.fixture(autouse=True)
def archived(tmp_path):
    months = ["2020-12-01", "2021-01-01", "2021-02-01"]
    make_only(*months)
    record_sales([sale_event(DATE_PAYMENT=month) for month in months])
    archive(tmp_path, "2021-02")


def warning(name, **parameters):
    report = get_report(name)
    with run(report, report.parse(parameters)) as result:
        return result.archive_warning


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("top_brands", {}, WARNING),
        ("top_brands", {"start": "2021-02-01"}, ""),
        ("top_brands", {"end": "2020-11-30"}, ""),
        ("top_brands", {"start": "2021-01-31"}, WARNING.replace("2020-12 to ", "")),
        ("repeat_buyer_revenue", {"first_day": "2021-02-01"}, ""),
        ("new_and_returning_buyers", {"start": "2021-02-01"}, WARNING),
        ("country_contribution", {}, ""),
        ("daily_category_revenue", {}, ""),
    ],
)
def test_a_report_on_sales_names_the_archived_months_of_its_period(name, parameters, expected):
    assert warning(name, **parameters) == expected


@pytest.mark.parametrize(("name", "expected"), [("top_brands", WARNING), ("country_contribution", "")])
def test_a_cluster_which_cannot_plan_for_all_values_names_them_too(name, expected, monkeypatch):
    monkeypatch.setattr(distribution, "_answers", {"default": True, "reports": True})
    monkeypatch.setattr(Query, "generic_plan", None)

    assert warning(name) == expected


def test_every_channel_shows_the_warning(api, admin_client, tmp_path, capsys):
    call_command("run_report", "top_brands", "--output", str(tmp_path / "brands.csv"), "--manifest")

    assert f"Warning: {WARNING}" in capsys.readouterr().err
    assert json.loads((tmp_path / "brands.csv.manifest.json").read_text())["warnings"] == [WARNING]
    response = api.get("/reports/top_brands")
    assert response["Report-Warnings"] == WARNING
    response.close()
    assert WARNING in admin_client.get(reverse("admin:analytics_report", args=["top_brands"]), {"run": "whole"}).text


def test_the_version_of_the_data_changes_with_the_archive(tmp_path):
    report = get_report("top_brands")
    versions = [current_data_version(report, report.parse({}))]
    for _ in range(2):
        restore(tmp_path, "2021-01")
        versions.append(current_data_version(report, report.parse({})))
        archive(tmp_path, "2021-02")
        versions.append(current_data_version(report, report.parse({})))

    assert versions[1] == versions[3]  # the same sales
    assert len(set(versions)) == 4


def test_a_report_that_has_its_snapshot_keeps_its_months(tmp_path, monkeypatch):
    monkeypatch.setattr(moving, "LOCK_ATTEMPTS", 1)
    restore(tmp_path, "2021-01")
    report = get_report("top_brands")
    query = Query(report, report.parse({}))

    with query.transaction():
        query.fetch("SELECT 1")
        with pytest.raises(CommandError, match="Other sessions use the sales without a pause"):
            archive(tmp_path, "2021-02")
        assert query.fetch("SELECT COUNT(*) FROM sales") == [(2,)]
