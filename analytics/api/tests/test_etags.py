"""Which answers of reports have an ETag, when it changes, and that nothing is run for an answer that is known."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from analytics.api.tests.test_api import Client, get
from analytics.definitions.reports import get_report, load_reports
from analytics.models import ReportRun
from analytics.running.runner import get_data_version, run
from countries.models import Country
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from sales.totals import country_totals, feedback

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

BY_COUNTRY = """SELECT country_name, SUM(revenue) AS revenue FROM sales JOIN country ON id_country = id_seller_country
    GROUP BY 1 ORDER BY 1"""
PARAMETER = '[parameters.words]\ntype = "text"\ndefault = "a"\n'


@pytest.fixture
def api():
    return Client()


@pytest.fixture
def country():
    return Country.objects.create(id_country="170", country_name="France", continent="Europe")


def version_of(report, **given):
    return get_data_version(report, report.parse(given))


def test_a_known_answer_is_not_made_again(api, write_report, country):
    write_report(BY_COUNTRY)
    first = get(api)
    again = get(api, **{"If-None-Match": first["ETag"]})

    assert (again.status_code, again.body) == (304, b"")
    assert not {"Content-Type", "Content-Length", "Content-Disposition", "Report-Rows"} & {*again.headers}
    for name in ("ETag", "Cache-Control", "Vary"):
        assert again[name] == first[name]
    assert ReportRun.objects.count() == 1


@pytest.mark.parametrize("form", ["{}", '"other", {}', "*"])
def test_a_known_answer_may_stand_among_others(api, write_report, form):
    write_report(BY_COUNTRY)
    etag = get(api)["ETag"]

    assert etag.startswith('W/"')
    for each in (etag, etag.removeprefix("W/")):
        assert get(api, **{"If-None-Match": form.format(each)}).status_code == 304


@pytest.mark.parametrize("known", ['"other"', "nonsense", ""])
def test_another_answer_is_made(api, write_report, known):
    write_report(BY_COUNTRY)

    assert get(api, **{"If-None-Match": known}).status_code == 200


def test_a_sale_changes_it(api, write_report, country):
    write_report(BY_COUNTRY)
    etag = get(api)["ETag"]
    record_sales([sale_event(ID_SELLER_COUNTRY="170", REVENUE=5)])
    answer = get(api, **{"If-None-Match": etag})

    assert (answer.status_code, json.loads(answer.body)) == (200, [{"country_name": "France", "revenue": 5}])
    assert answer["ETag"] != etag


def test_a_fold_does_not_change_it(api, write_report):
    write_report(BY_COUNTRY)
    record_sales([sale_event()])
    etag = get(api)["ETag"]
    feedback.fold()

    assert get(api)["ETag"] == etag


@pytest.mark.parametrize("change", [{"country_name": "La France"}, {"continent": None}])
def test_a_changed_country_changes_it(api, write_report, country, change):
    write_report(BY_COUNTRY)
    etag = get(api)["ETag"]
    Country.objects.update(**change)

    assert get(api, **{"If-None-Match": etag}).status_code == 200


def test_a_country_more_or_less_changes_it(api, write_report, country):
    write_report(BY_COUNTRY)
    etags = {get(api)["ETag"]}
    Country.objects.create(id_country="171", country_name="Frankreich")
    etags.add(get(api)["ETag"])
    Country.objects.all().delete()
    etags.add(get(api)["ETag"])

    assert len(etags) == 3


def test_each_question_has_its_own(api, write_report):
    write_report("SELECT %(words)s AS words FROM sales", header=PARAMETER)
    write_report("SELECT %(words)s AS words FROM sales", name="other", header=PARAMETER)
    questions = [{}, {"words": "b"}, {"words": ""}, {"format": "csv"}, {"limit": 5}]
    etags = [get(api, query)["ETag"] for query in questions]
    etags.append(get(api, name="other")["ETag"])
    write_report("SELECT %(words)s AS words FROM sales -- mended", header=PARAMETER)
    etags.append(get(api)["ETag"])
    write_report("SELECT %(words)s AS words FROM sales -- mended", header=PARAMETER + "[columns.words]\n")
    etags.append(get(api)["ETag"])

    assert len({*etags}) == len(etags)


def test_a_default_given_or_not_is_one_question(api, write_report):
    write_report("SELECT %(words)s AS words FROM sales", header=PARAMETER)

    assert get(api)["ETag"] == get(api, {"words": "a", "limit": "10000", "format": "json"})["ETag"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS one",
        BY_COUNTRY,
        "SELECT * FROM sales s WHERE EXISTS (SELECT FROM country c WHERE c.id_country = s.id_buyer_country)",
        "SELECT date_trunc('month', date_payment) AS month, extract(year FROM date_payment) FROM sales",
        "SELECT date_payment::date, to_char(date_payment, 'YYYY-MM'), left(brand, 1), round(revenue, 2) FROM sales",
        "SELECT category, rank() OVER (ORDER BY SUM(revenue)), string_agg(brand, ',') FROM sales GROUP BY category",
        "SELECT day FROM generate_series(DATE '2021-01-01', DATE '2021-02-01', '1 day') AS day",
        "SELECT 'a' AS today -- as of now",
    ],
)
def test_what_depends_on_sales_and_countries_alone_has_one(write_report, sql):
    assert version_of(write_report(sql))


def test_the_projects_reports_have_one():
    names = ("country_contribution", "repeat_buyer_revenue", "top_country_relationships")
    assert all(version_of(get_report(name)) for name in names)


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
        "SELECT COUNT(*) AS n FROM api_key",
        "SELECT brand FROM sales WHERE id IN (SELECT id FROM feedback_journal)",
        "SELECT (SELECT MAX(sales_count) FROM feedback_total) AS n FROM sales",
        "SELECT query_to_xml('SELECT 1 FROM report_runs', true, true, '')::text AS n",
        "SELECT current_setting('application_name') AS n",
        "SELECT relname FROM pg_class",
        "SELECT ('to' || 'day')::date AS day",
    ],
)
def test_what_depends_on_more_has_none(write_report, sql):
    assert version_of(write_report(sql)) is None


def test_an_answer_without_one_is_always_made(api, write_report):
    write_report("SELECT now() AS moment")
    answer = get(api, **{"If-None-Match": "*"})
    assert answer.status_code == 200
    assert "ETag" not in answer


@pytest.mark.parametrize("text", ["today", "TODAY 12:00", "yesterday", "now"])
def test_text_that_may_be_taken_for_a_moment_has_none(write_report, text):
    report = write_report("SELECT COUNT(*) AS n FROM sales WHERE date_payment > %(words)s::date", header=PARAMETER)

    assert version_of(report, words=text) is None
    assert version_of(report, words="2021-01-07")


@pytest.mark.parametrize(
    "expression",
    ["max(date_payment) > now()", "max(date_payment) < 'tomorrow'", "(SELECT count(*) FROM report_runs) > 0"],
)
def test_checks_count_too(write_report, expression):
    check = f'[[assertions]]\nexpression = "{expression}"\nseverity = "warn"\n'

    assert version_of(write_report("SELECT date_payment FROM sales", header=check)) is None


def test_it_is_of_the_very_data_that_the_rows_are_of(write_report, country):
    report = write_report("SELECT COUNT(*) AS sales, MAX(country_name) AS name FROM sales, country")
    record_sales([sale_event()])
    before = version_of(report)
    with run(report, report.parse({})) as result:
        with_others(lambda: (record_sales([sale_event()]), Country.objects.update(country_name="La France")))
        assert result.data_version() == before
        assert list(result.rows) == [(1, "France")]
    assert version_of(report) != before


def with_others(change):
    """Commits a change while this connection's snapshot stays as it is."""

    def commit():
        change()
        connections.close_all()

    with ThreadPoolExecutor(1) as others:
        others.submit(commit).result()


def test_a_report_that_fails_says_so_in_spite_of_an_etag(api, write_report):
    write_report("SELECT colour FROM sales")

    assert get(api, **{"If-None-Match": '"known"'}).status_code == 422
    assert ReportRun.objects.get().outcome == "error"


def test_a_long_parameter_costs_no_more_than_it_must(write_report):
    report = write_report("SELECT %(words)s AS words FROM sales", header=PARAMETER)

    assert version_of(report, words="a" * 1_000_000)


@pytest.mark.parametrize("name", [report.name for report in load_reports()])
def test_an_answer_of_the_projects_reports_is_known_again_until_there_is_a_new_sale(api, name):
    record_sales([sale_event()])
    etag = get(api, name=name)["ETag"]
    while feedback.fold() or country_totals.fold():
        pass
    assert get(api, name=name, **{"If-None-Match": etag}).status_code == 304
    record_sales([sale_event()])
    assert get(api, name=name, **{"If-None-Match": etag}).status_code == 200
