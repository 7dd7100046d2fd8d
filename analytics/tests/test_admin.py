import csv
import io
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from analytics.runner import ReportFailed

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

LIST = "/admin/analytics/report/"
PAGE = f"{LIST}probe/"
CSV = f"{LIST}probe.csv"


@pytest.fixture
def staff(client, django_user_model):
    """A client of staff who may do nothing yet."""
    user = django_user_model.objects.create_user("clerk", password="clerk", is_staff=True)
    client.force_login(user)
    client.user = user
    return client


def text_of(response):
    return response.rendered_content if hasattr(response, "rendered_content") else response.content.decode()


def csv_of(response):
    return list(csv.reader(io.StringIO(response.getvalue().decode(), newline="")))


# Finding reports


def test_the_index_leads_to_the_reports(admin_client):
    assert f'href="{LIST}"' in text_of(admin_client.get("/admin/"))
    assert reverse("admin:analytics_report_changelist") == LIST


def test_the_index_offers_nothing_to_add(admin_client):
    assert f"{LIST}add/" not in text_of(admin_client.get("/admin/"))


def test_the_list_has_title_description_and_link(admin_client, write_report):
    write_report("SELECT 1 AS one")
    page = text_of(admin_client.get(LIST))
    assert f'<a href="{PAGE}">The probe</a>' in page
    assert "What &lt;b&gt;probe&lt;/b&gt; does." in page


def test_the_list_tells_of_bad_files(admin_client, write_report, sql_dir):
    write_report("SELECT 1 AS one")
    (sql_dir / "bad.sql").write_text("SELECT 1")
    page = text_of(admin_client.get(LIST))
    assert "bad.sql, line 1: must begin with" in page
    assert "The probe" in page


@pytest.mark.parametrize("path", ["nope/", "nope.csv", "bad/", "1/change/", "add/", "1/delete/", "1/history/"])
def test_there_is_no_page_for_what_is_not_there(admin_client, write_report, sql_dir, path):
    write_report("SELECT 1 AS one")
    (sql_dir / "bad.sql").write_text("SELECT 1")
    assert admin_client.get(LIST + path).status_code == 404


# Who may


@pytest.mark.parametrize("path", [LIST, PAGE, f"{PAGE}?run=1", CSV])
def test_staff_without_the_permission_get_nothing(staff, write_report, path):
    write_report("SELECT 1 AS one")
    assert staff.get(path).status_code == 403


@pytest.mark.parametrize("path", [LIST, PAGE, f"{PAGE}?run=1", CSV])
def test_staff_with_the_permission_get_everything(staff, write_report, path):
    write_report("SELECT 1 AS one")
    staff.user.user_permissions.add(Permission.objects.get(codename="view_report"))
    assert staff.get(path).status_code == 200


@pytest.mark.parametrize("path", [LIST, PAGE, CSV])
def test_strangers_are_sent_to_the_login(client, write_report, path):
    write_report("SELECT 1 AS one")
    assert client.get(path)["Location"] == f"/admin/login/?next={path}"


def test_the_index_shows_no_reports_to_those_who_may_not_see_them(staff):
    assert LIST not in text_of(staff.get("/admin/"))


def test_view_is_the_only_permission_there_is():
    codenames = Permission.objects.filter(content_type__app_label="analytics").values_list("codename", flat=True)
    assert list(codenames) == ["view_report"]


# Running


def test_a_report_does_not_run_until_asked(admin_client, write_report):
    write_report("SELECT 1 / 0 AS x")
    response = admin_client.get(PAGE)
    assert "result" not in response.context_data
    assert "error" not in response.context_data


def test_the_page_shows_the_sql(admin_client, write_report):
    write_report("SELECT 1 AS one WHERE 1 < 2")
    assert "<pre>SELECT 1 AS one WHERE 1 &lt; 2</pre>" in text_of(admin_client.get(PAGE))


def test_the_result_is_a_table_with_numbers_on_the_right(admin_client, write_report):
    write_report("SELECT '<France>' AS country, 12.50 AS revenue, NULL::text AS note")
    page = text_of(admin_client.get(PAGE, {"run": 1}))
    assert '<td>&lt;France&gt;</td><td class="number">12.50</td><td>-</td>' in page
    assert '<th scope="col" class="number">revenue</th>' in page
    assert "1 row." in page


def test_a_result_without_rows_says_so(admin_client, write_report):
    write_report("SELECT 1 AS one WHERE false")
    assert "0 rows." in text_of(admin_client.get(PAGE, {"run": 1}))


def test_a_thousand_rows_are_all_shown(admin_client, write_report):
    write_report("SELECT generate_series(1, 1000) AS n")
    page = text_of(admin_client.get(PAGE, {"run": 1}))
    assert page.count('<td class="number">') == 1000
    assert "1,000 rows." in page


def test_of_more_rows_the_first_thousand_are_shown_and_the_page_says_so(admin_client, write_report):
    write_report("SELECT generate_series(1, 1001) AS n")
    page = text_of(admin_client.get(PAGE, {"run": 1}))
    assert page.count('<td class="number">') == 1000
    assert "The first 1,000 rows; there are more" in page


def test_an_error_is_a_message_on_the_page(admin_client, write_report):
    write_report("SELECT nope")
    response = admin_client.get(PAGE, {"run": 1})
    assert response.status_code == 200
    assert "column &quot;nope&quot; does not exist\nLINE 5" in text_of(response)


def test_a_timeout_is_a_message_on_the_page(admin_client, write_report, settings):
    settings.REPORTS_TIMEOUT = 0.2
    write_report("SELECT pg_sleep(30) AS nap")
    assert "A report may take 0.2 seconds" in text_of(admin_client.get(PAGE, {"run": 1}))


# The download


def test_the_download_is_named_after_report_and_day(admin_client, write_report):
    write_report("SELECT 1 AS one")
    response = admin_client.get(CSV)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == f'attachment; filename="probe_{datetime.now(UTC):%Y-%m-%d}.csv"'
    assert csv_of(response) == [["one"], ["1"]]


def test_the_download_has_all_rows(admin_client, write_report):
    write_report("SELECT generate_series(1, 5000) AS n")
    assert len(csv_of(admin_client.get(CSV))) == 5001


def test_formulas_are_text_in_the_download(admin_client, write_report):
    write_report("""SELECT '=HYPERLINK("http://x")' AS text, -5.5 AS number""")
    assert csv_of(admin_client.get(CSV)) == [["text", "number"], ['\'=HYPERLINK("http://x")', "-5.5"]]


def test_an_error_before_the_first_row_is_a_page(admin_client, write_report):
    write_report("SELECT nope")
    response = admin_client.get(CSV)
    assert response.status_code == 503
    assert response["Content-Type"].startswith("text/html")
    assert "column &quot;nope&quot; does not exist" in text_of(response)


def test_an_error_half_way_breaks_the_download(admin_client, write_report):
    write_report("SELECT 1 / (5000 - n) AS x FROM generate_series(1, 9000) AS n")
    response = admin_client.get(CSV)
    assert response.status_code == 200
    with pytest.raises(ReportFailed):
        response.getvalue()


def test_the_download_streams_and_can_be_left(admin_client, write_report):
    write_report("SELECT generate_series(1, 1000000000) AS n")
    response = admin_client.get(CSV)
    assert next(iter(response)) == b"n\r\n"
    response.close()


def test_asking_for_the_head_of_a_download_runs_nothing(admin_client, write_report):
    write_report("SELECT generate_series(1, 1000000000) AS n")
    assert admin_client.head(CSV).status_code == 405
