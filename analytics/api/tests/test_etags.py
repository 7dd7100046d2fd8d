"""A report with `depends_on` has an ETag, which changes with its data, and a matching request runs nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections

from analytics.api import etags
from analytics.api.tests.helpers import get
from analytics.definitions.reports import load_reports
from analytics.models import ReportRun
from analytics.running.data_versions import data_version
from analytics.running.runner import current_data_version, run
from countries.models import Country
from sales.corrections.tests.helpers import correct, replace, void
from sales.ingest.writer import record_sales
from sales.models import LedgerEntry
from sales.tests.helpers import sale_event
from sales.totals import folding
from sales.totals.feedback import watermark
from salesengine import distribution

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

BY_COUNTRY = """SELECT country_name, SUM(revenue) AS revenue FROM sales JOIN country ON id_country = id_seller_country
    GROUP BY 1 ORDER BY 1"""
ON_SALES = 'depends_on = ["sales"]\n'
ON_BOTH = 'depends_on = ["sales", "country"]\n'
PARAMETER = ON_SALES + '[parameters.words]\ntype = "text"\ndefault = "a"\n'


@pytest.fixture
def country():
    return Country.objects.create(id_country="170", country_name="France", continent="Europe")


def version_of(report, **texts):
    return current_data_version(report, report.parse(texts))


def test_a_matching_request_is_304_and_runs_nothing(api, write_report, country):
    write_report(BY_COUNTRY, header=ON_BOTH)
    first = get(api)
    second = get(api, **{"If-None-Match": first["ETag"]})

    assert (second.status_code, second.body) == (304, b"")
    assert not {"Content-Type", "Content-Length", "Content-Disposition", "Report-Rows"} & {*second.headers}
    for name in ("ETag", "Cache-Control", "Vary"):
        assert second[name] == first[name]
    assert ReportRun.objects.count() == 1


def test_a_cluster_has_no_etags_because_its_nodes_may_show_the_sales_of_a_version_later(api, write_report, monkeypatch):
    monkeypatch.setattr(distribution, "_answers", {"reports": True})
    write_report(BY_COUNTRY, header=ON_BOTH)

    assert "ETag" not in get(api).headers


@pytest.mark.parametrize("form", ["{}", '"other", {}', "*"])
def test_if_none_match_can_list_several_etags(api, write_report, form):
    write_report(BY_COUNTRY, header=ON_BOTH)
    etag = get(api)["ETag"]

    assert etag.startswith('W/"')
    for known in (etag, etag.removeprefix("W/")):
        assert get(api, **{"If-None-Match": form.format(known)}).status_code == 304


@pytest.mark.parametrize("known", ['"other"', "nonsense", ""])
def test_another_etag_does_not_match(api, write_report, known):
    write_report(BY_COUNTRY, header=ON_BOTH)

    assert get(api, **{"If-None-Match": known}).status_code == 200


def test_a_sale_changes_the_etag(api, write_report, country):
    write_report(BY_COUNTRY, header=ON_BOTH)
    etag = get(api)["ETag"]
    record_sales([sale_event(ID_SELLER_COUNTRY="170", REVENUE=5)])
    response = get(api, **{"If-None-Match": etag})

    assert (response.status_code, json.loads(response.body)) == (200, [{"country_name": "France", "revenue": 5}])
    assert response["ETag"] != etag


@pytest.mark.parametrize("is_folded", [True, False])
def test_a_correction_changes_the_etag(api, write_report, is_folded):
    ids = record_sales([sale_event(), sale_event()]).ids
    write_report("SELECT revenue FROM sales ORDER BY id", header=ON_SALES)
    known = [get(api)["ETag"]]
    for correction in (void(ID=ids[0]), replace({"REVENUE": 5}, ID=ids[1])):
        correct(correction)
        if is_folded:
            folding.fold_all()
        known.append(get(api)["ETag"])

    assert len(set(known)) == 3
    assert get(api, **{"If-None-Match": known[2]}).status_code == 304


def test_a_void_and_a_new_sale_of_older_transactions_change_the_etag(api, write_report):
    ids = record_sales([sale_event(), sale_event()]).ids
    folding.fold_all()
    write_report("SELECT revenue FROM sales ORDER BY id", header=ON_SALES)
    etag = get(api)["ETag"]
    before = watermark()
    correct(void(ID=ids[0]))
    record_sales([sale_event(REVENUE=7)])
    LedgerEntry.objects.filter(position=None).update(received_at=before.received_at - timedelta(hours=1))

    assert watermark() == before
    assert get(api)["ETag"] != etag


def test_a_fold_does_not_change_the_etag(api, write_report):
    write_report(BY_COUNTRY, header=ON_BOTH)
    record_sales([sale_event()])
    etag = get(api)["ETag"]
    folding.fold()

    assert get(api)["ETag"] == etag


@pytest.mark.parametrize("change", [{"country_name": "La France"}, {"continent": None}])
def test_a_changed_country_changes_the_etag(api, write_report, country, change):
    write_report(BY_COUNTRY, header=ON_BOTH)
    etag = get(api)["ETag"]
    Country.objects.update(**change)

    assert get(api, **{"If-None-Match": etag}).status_code == 200


def test_a_new_or_deleted_country_changes_the_etag(api, write_report, country):
    write_report(BY_COUNTRY, header='depends_on = ["country"]\n')
    versions = {get(api)["ETag"]}
    Country.objects.create(id_country="171", country_name="Frankreich")
    versions.add(get(api)["ETag"])
    Country.objects.all().delete()
    versions.add(get(api)["ETag"])

    assert len(versions) == 3


def test_only_declared_data_change_the_etag(api, write_report):
    write_report("SELECT COUNT(*) AS sales FROM sales", name="of_sales", header=ON_SALES)
    write_report("SELECT COUNT(*) AS n FROM country", name="of_countries", header='depends_on = ["country"]\n')
    sales, countries = (get(api, name=name)["ETag"] for name in ("of_sales", "of_countries"))

    Country.objects.create(id_country="171", country_name="Frankreich")
    assert get(api, name="of_sales")["ETag"] == sales
    assert get(api, name="of_countries")["ETag"] != countries
    countries = get(api, name="of_countries")["ETag"]
    record_sales([sale_event()])
    assert get(api, name="of_sales")["ETag"] != sales
    assert get(api, name="of_countries")["ETag"] == countries


def test_each_query_and_each_version_of_a_report_has_its_own_etag(api, write_report):
    write_report("SELECT %(words)s AS words FROM sales", header=PARAMETER)
    write_report("SELECT %(words)s AS words FROM sales", name="other", header=PARAMETER)
    queries = [{}, {"words": "b"}, {"words": ""}, {"format": "csv"}, {"limit": 5}]
    found = [get(api, query)["ETag"] for query in queries]
    found.append(get(api, name="other")["ETag"])
    write_report("SELECT %(words)s AS words FROM sales -- changed", header=PARAMETER)
    found.append(get(api)["ETag"])
    write_report("SELECT %(words)s AS words FROM sales -- changed", header=PARAMETER + "[columns.words]\n")
    found.append(get(api)["ETag"])

    assert len({*found}) == len(found)


def test_a_default_has_the_same_etag_as_its_value(api, write_report):
    write_report("SELECT %(words)s AS words FROM sales", header=PARAMETER)

    assert get(api)["ETag"] == get(api, {"words": "a", "limit": "10000", "format": "json"})["ETag"]


def test_another_build_changes_the_etag(api, write_report, monkeypatch):
    write_report("SELECT COUNT(*) AS sales FROM sales", header=ON_SALES)
    etag = get(api)["ETag"]
    monkeypatch.setattr(etags, "BUILD", "another")

    assert get(api, **{"If-None-Match": etag}).status_code == 200


def test_a_build_is_its_source_code_and_its_packages(tmp_path):
    files = {name: tmp_path / name for name in ("requirements.txt", "analytics/output/csv.py", "sales/tests/test_x.py")}
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    before = etags.build_fingerprint(tmp_path)
    assert etags.build_fingerprint(tmp_path) == before

    changed = {}
    for name, path in files.items():
        path.write_text("after")
        changed[name] = etags.build_fingerprint(tmp_path) != before
        path.write_text("before")
    assert changed == {"requirements.txt": True, "analytics/output/csv.py": True, "sales/tests/test_x.py": False}


def test_a_renamed_file_changes_the_build(tmp_path):
    (tmp_path / "sales").mkdir()
    path = tmp_path / "sales/a.py"
    path.write_text("")
    before = etags.build_fingerprint(tmp_path)
    path.rename(tmp_path / "sales/b.py")

    assert etags.build_fingerprint(tmp_path) != before


def test_a_report_without_depends_on_has_no_etag_and_always_runs(api, write_report):
    write_report("SELECT COUNT(*) AS sales FROM sales")
    response = get(api, **{"If-None-Match": "*"})

    assert response.status_code == 200
    assert "ETag" not in response
    assert "ETag" not in api.head("/reports/probe")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT now() AS n",
        'SELECT "now"() AS n',
        "SELECT COUNT(*) AS n FROM sales WHERE date_payment > CURRENT_DATE",
        "SELECT COUNT(*) AS n FROM sales WHERE date_payment > 'yesterday'",
        "SELECT TIMESTAMPTZ 'now' AS n",
        "SELECT age(date_payment) AS n FROM sales",
        "SELECT brand FROM sales ORDER BY random()",
        "SELECT brand FROM sales TABLESAMPLE bernoulli (50)",
        "SELECT uuidv7() AS n",
        "SELECT current_setting('application_name') AS n",
    ],
)
def test_a_volatile_report_has_no_etag_whatever_it_declares(write_report, sql):
    assert version_of(write_report(sql, header=ON_SALES)) is None


@pytest.mark.parametrize("expression", ["max(date_payment) > now()", "max(date_payment) < 'tomorrow'"])
def test_a_report_with_a_volatile_assertion_has_no_etag(write_report, expression):
    assertion = f'[[assertions]]\nexpression = "{expression}"\nseverity = "warn"\n'

    assert version_of(write_report("SELECT date_payment FROM sales", header=ON_SALES + assertion)) is None


@pytest.mark.parametrize("text", ["today", "TODAY 12:00", "yesterday", "now"])
def test_text_that_postgresql_may_read_as_a_relative_time_has_no_etag(write_report, text):
    report = write_report("SELECT COUNT(*) AS n FROM sales WHERE date_payment > %(words)s::date", header=PARAMETER)

    assert version_of(report, words=text) is None
    assert version_of(report, words="2021-01-07")


def test_the_version_is_that_of_the_snapshot_of_the_rows(write_report, country):
    report = write_report("SELECT COUNT(*) AS sales, MAX(country_name) AS name FROM sales, country", header=ON_BOTH)
    record_sales([sale_event()])
    before = version_of(report)
    with run(report, report.parse({})) as result:
        commit_elsewhere(lambda: (record_sales([sale_event()]), Country.objects.update(country_name="La France")))
        assert data_version(report, report.parse({}), result.watermark) == before
        assert list(result.rows) == [(1, "France")]
    assert version_of(report) != before


def commit_elsewhere(change):
    """Commit a change on another connection, while the snapshot of this one stays."""

    def commit():
        change()
        connections.close_all()

    with ThreadPoolExecutor(1) as executor:
        executor.submit(commit).result()


@pytest.mark.parametrize("known", ['"known"', "*"])
def test_a_report_that_cannot_be_planned_returns_its_error(api, write_report, known):
    write_report("SELECT colour FROM sales", header=ON_SALES)

    assert get(api, **{"If-None-Match": known}).status_code == 422
    assert ReportRun.objects.get().outcome == "error"


def test_a_long_parameter_has_an_etag(write_report):
    report = write_report("SELECT %(words)s AS words FROM sales", header=PARAMETER)

    assert version_of(report, words="a" * 1_000_000)


@pytest.mark.parametrize("name", [report.name for report in load_reports()])
def test_each_report_of_the_project_is_304_until_the_next_sale(api, name):
    record_sales([sale_event()])
    etag = get(api, name=name)["ETag"]
    folding.fold_all()
    assert get(api, name=name, **{"If-None-Match": etag}).status_code == 304
    record_sales([sale_event()])
    assert get(api, name=name, **{"If-None-Match": etag}).status_code == 200


def test_head_has_the_headers_of_get_and_runs_nothing(api, write_report):
    write_report("SELECT COUNT(*) AS sales FROM sales", header=ON_SALES)
    head = api.head("/reports/probe?format=csv")

    assert (head.status_code, head.body) == (200, b"")
    assert "Content-Length" not in head
    assert not ReportRun.objects.exists()
    response = get(api, {"format": "csv"})
    for name in ("Content-Type", "Content-Disposition", "ETag", "Cache-Control", "Vary"):
        assert head[name] == response[name]


def test_head_is_304_for_a_known_etag(api, write_report):
    write_report("SELECT COUNT(*) AS sales FROM sales", header=ON_SALES)
    etag = get(api)["ETag"]

    assert api.head("/reports/probe", headers={"If-None-Match": etag}).status_code == 304


def test_head_returns_the_errors_of_get(api, write_report):
    write_report("SELECT colour FROM sales")

    assert api.head("/reports/probe?colour=red").status_code == 400
    assert api.head("/reports/probe").status_code == 422
    assert api.head("/reports/other").status_code == 404
