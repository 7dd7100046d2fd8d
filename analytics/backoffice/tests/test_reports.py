"""The list of reports, permissions, and the pages of a report without its result."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from analytics.backoffice.tests.pages import CANCEL, EXPLAIN, LIST, PAGE, RESULT
from analytics.models import ReportRun
from salesengine.tests.clients import allow, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

CSV = f"{LIST}probe.csv"
ALL = [LIST, PAGE, f"{PAGE}?run=1", f"{PAGE}?run=whole", f"{RESULT}?run=8f14e45f-ceea-467f-a2e6-1f0c2b6f6d4e", CSV]


# The list


def test_the_index_links_to_the_reports(admin_client):
    assert f'href="{LIST}"' in text_of(admin_client.get("/admin/"))
    assert reverse("admin:analytics_report_changelist") == LIST


def test_the_index_offers_nothing_to_add(admin_client):
    page = text_of(admin_client.get("/admin/"))
    assert f"{LIST}add/" not in page
    assert "/admin/analytics/reportrun/add/" not in page


def test_the_list_has_title_description_and_link(admin_client, write_report):
    write_report("SELECT 1 AS one")
    page = text_of(admin_client.get(LIST))
    assert f'href="{PAGE}">The probe</a>' in page
    assert "What &lt;b&gt;probe&lt;/b&gt; does." in page


def test_the_list_shows_the_errors_of_invalid_files(admin_client, write_report, sql_dir):
    write_report("SELECT 1 AS one")
    (sql_dir / "bad.sql").write_text("SELECT 1")
    page = text_of(admin_client.get(LIST))
    assert "bad.sql, line 1: the file must begin with" in page
    assert "The probe" in page


def test_reports_are_listed_by_topic_and_those_without_one_come_last(admin_client, write_report):
    for name, topic in (("loose", ""), ("a_sale", "Sales"), ("buyers", "Buyers"), ("b_sale", "Sales")):
        write_report("SELECT 1 AS one", name, f'topic = "{topic}"\n' if topic else "")
    topics = admin_client.get(LIST).context_data["topics"]
    assert {topic: [entry.report.name for entry in entries] for topic, entries in topics.items()} == {
        "Buyers": ["buyers"],
        "Sales": ["a_sale", "b_sale"],
        "Other": ["loose"],
    }
    assert list(topics) == ["Buyers", "Sales", "Other"]


def test_the_list_shows_the_last_run_of_each_report(admin_client, write_report):
    write_report("SELECT 1 / 0 AS one")
    assert "Never run" in text_of(admin_client.get(LIST))
    ReportRun.objects.create(report="probe", parameters={}, channel="admin", outcome="ok", seconds=3)
    last = ReportRun.objects.create(report="probe", parameters={}, channel="api", outcome="timed out", seconds=75.5)
    page = text_of(admin_client.get(LIST))
    assert '<span class="outcome outcome-timed-out">timed out</span>' in page
    assert "1 min 16 s" in page
    assert f'<a href="/admin/analytics/reportrun/{last.pk}/change/">' in page
    assert "outcome-ok" not in page


def test_the_list_reads_all_last_runs_in_one_query(admin_client, write_report, django_assert_num_queries):
    for name in ("one", "two", "three"):
        write_report("SELECT 1 AS one", name)
        ReportRun.objects.create(report=name, parameters={}, channel="admin")
    admin_client.get(LIST)
    with django_assert_num_queries(3):  # session, user, runs
        assert text_of(admin_client.get(LIST)).count("outcome-running") == 3


@pytest.mark.parametrize(
    "path", ["nope/", "nope.csv", "bad/", "1/change/", "add/", "1/delete/", "probe.exe", "probe.txt"]
)
def test_unknown_pages_are_not_found(admin_client, write_report, sql_dir, path):
    write_report("SELECT 1 AS one")
    (sql_dir / "bad.sql").write_text("SELECT 1")
    assert admin_client.get(LIST + path).status_code == 404


# Permissions


@pytest.mark.parametrize("path", [*ALL, EXPLAIN])
def test_staff_without_the_permission_are_refused(staff, write_report, path):
    write_report("SELECT 1 AS one")
    assert staff.get(path).status_code == 403
    assert not ReportRun.objects.exists()


@pytest.mark.parametrize("path", ALL)
def test_staff_with_the_permission_are_let_in(staff, write_report, path):
    write_report("SELECT 1 AS one")
    allow(staff, "view_report", "export_report")
    response = staff.get(path)
    response.close()  # otherwise a garbage collection would end the download's run later
    assert response.status_code == 200


@pytest.mark.parametrize("path", [LIST, PAGE, RESULT, EXPLAIN, CSV])
def test_anonymous_users_are_sent_to_the_login(client, write_report, path):
    write_report("SELECT 1 AS one")
    assert client.get(path)["Location"] == f"/admin/login/?next={path}"


def test_the_index_shows_no_reports_to_users_without_the_permission(staff):
    page = text_of(staff.get("/admin/"))
    assert LIST not in page
    assert "reportrun" not in page


def test_these_permissions_exist():
    codenames = Permission.objects.filter(content_type__app_label="analytics").values_list("codename", flat=True)
    assert sorted(codenames) == ["cancel_reportrun", "explain_report", "export_report", "view_report", "view_reportrun"]


def test_the_list_does_not_link_to_runs_without_the_permission(staff, write_report):
    write_report("SELECT 1 AS one")
    ReportRun.objects.create(report="probe", parameters={}, channel="admin")
    allow(staff, "view_report")
    assert "/reportrun/" not in text_of(staff.get(LIST))


@pytest.mark.parametrize("path", [RESULT, CSV, EXPLAIN])
def test_head_requests_run_nothing(admin_client, write_report, path):
    write_report("SELECT generate_series(1, 1000000000) AS n")
    assert admin_client.head(path, {"run": uuid4()}).status_code == 405
    assert not ReportRun.objects.exists()


@pytest.mark.parametrize("run", ["1", "whole"])
def test_head_requests_of_a_page_run_nothing(admin_client, write_report, run):
    write_report("SELECT pg_sleep(30) AS nap")
    assert admin_client.head(PAGE, {"run": run}).status_code == 200
    assert not ReportRun.objects.exists()


def test_following_a_link_cancels_no_run(admin_client, write_report):
    write_report("SELECT 1 AS one")
    assert admin_client.get(CANCEL)["Location"] == PAGE


# The page of a report


def test_opening_the_page_runs_nothing(admin_client, write_report):
    write_report("SELECT 1 / 0 AS x")
    response = admin_client.get(PAGE)
    assert "error" not in response.context_data
    assert "report_run.js" not in text_of(response)
    assert not ReportRun.objects.exists()


def test_the_page_of_a_run_loads_at_once_and_knows_the_url_of_the_result(admin_client, write_report):
    write_report("SELECT pg_sleep(30) AS nap")
    response = admin_client.get(PAGE, {"run": 1})
    page, token = text_of(response), response.context_data["token"]
    assert f'data-result="{RESULT}?run={token}"' in page
    assert f'<input type="hidden" name="run" value="{token}">' in page
    assert "report_run.js" in page
    assert f'<noscript><meta http-equiv="refresh" content="0; url={PAGE}?run=whole"></noscript>' in page
    assert not ReportRun.objects.exists()


def test_no_page_has_an_inline_script(admin_client, write_report):
    write_report("SELECT 1 AS one")
    for path in (LIST, f"{PAGE}?run=1", f"{PAGE}?run=whole"):
        assert "<script>" not in text_of(admin_client.get(path))


def test_the_page_highlights_the_sql(admin_client, write_report):
    write_report("SELECT '<b>' AS one, %(x)s AS x", header='[parameters.x]\ntype = "text"\n')
    page = text_of(admin_client.get(PAGE))
    assert '<span class="k">SELECT</span>' in page
    assert "&lt;b&gt;" in page
    assert '<span class="nv">%(x)s</span>' in page


def test_the_plan_needs_its_permission(staff, write_report):
    write_report("SELECT 1 AS one")
    allow(staff, "view_report")
    assert "Explain" not in text_of(staff.get(PAGE))
    assert staff.get(EXPLAIN).status_code == 403
    allow(staff, "explain_report")
    assert f'formaction="{EXPLAIN}"' in text_of(staff.get(PAGE))
    assert "Result  (cost=" in text_of(staff.get(EXPLAIN))


def test_the_plan_uses_the_parameters_and_runs_nothing(admin_client, write_report):
    write_report(
        "SELECT * FROM country WHERE id_country = %(id)s AND pg_sleep(9) IS NOT NULL",
        header='[parameters.id]\ntype = "country"\nlabel = "Country of the seller"\n',
    )
    page = text_of(admin_client.get(EXPLAIN, {"id": "one-seventy"}))
    assert "<dt>Country of the seller</dt><dd>one-seventy</dd>" in page
    assert "country.id_country = &#x27;one-seventy&#x27;::text" in page
    assert not ReportRun.objects.exists()


def test_a_report_without_a_plan_shows_the_error(admin_client, write_report):
    write_report("SELECT nope")
    response = admin_client.get(EXPLAIN)
    assert response.status_code == 200
    assert "column &quot;nope&quot; does not exist" in text_of(response)


def test_invalid_parameters_show_the_form_instead_of_the_plan(admin_client, write_report):
    write_report("SELECT 1 AS one")
    response = admin_client.get(EXPLAIN, {"nope": 1})
    assert response.status_code == 400
    assert "nope is not a parameter of this report" in text_of(response)


# Reports that require a scope besides `reports`

NEEDS_SALES = 'requires = ["read"]\n'


@pytest.mark.parametrize("address", ["", "?run=whole", "result/?run=8f14e45f-ceea-467f-a2e6-1f0c2b6f6d4e", "explain/"])
def test_a_report_can_require_the_permission_to_view_sales(staff, write_report, address):
    write_report("SELECT 1 AS one", header=NEEDS_SALES)
    allow(staff, "analytics.view_report", "analytics.explain_report")
    assert staff.get(f"{PAGE}{address}").status_code == 403

    allow(staff, "sales.view_sale")

    assert staff.get(f"{PAGE}{address}").status_code == 200


def test_the_download_of_a_report_can_require_the_permission_to_view_sales(staff, write_report):
    write_report("SELECT 1 AS one", header=NEEDS_SALES)
    allow(staff, "analytics.view_report", "analytics.export_report")

    assert staff.get(f"{LIST}probe.csv").status_code == 403


def test_no_page_leads_to_a_report_that_the_user_may_not_run(staff, write_report):
    write_report("SELECT 1 AS one", header=NEEDS_SALES)
    write_report("SELECT 1 AS one", name="open")
    run = ReportRun.objects.create(report="probe", parameters={}, channel="api", outcome="ok", seconds=1)
    allow(staff, "analytics.view_report", "analytics.view_reportrun")

    for address in (LIST, "/admin/search/?s=the&extended=1", f"/admin/analytics/reportrun/{run.pk}/change/"):
        assert PAGE not in text_of(staff.get(address))
    assert f"{LIST}open/" in text_of(staff.get(LIST))
