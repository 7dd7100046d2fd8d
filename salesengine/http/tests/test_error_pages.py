"""People get error pages with a way back, programs get problems."""

from io import BytesIO

import pytest
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import OperationalError, connection
from django.test import Client

from countries.models import Country
from salesengine.operations.statement_timeout import StatementTimedOut
from salesengine.tests.clients import PASSWORD, enrol, log_in, problem_of, staff_client

pytestmark = pytest.mark.django_db

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PAGE = "/admin/sales/buyer/9000042/"
MENU = 'id="nav-sidebar"'


@pytest.fixture
def fail_with(monkeypatch, admin_client):
    """Return a function that makes a page of the back office fail with an exception and returns the response."""

    def get(error, client=admin_client, **headers):
        def fail(*arguments):
            raise error

        monkeypatch.setattr("sales.backoffice.trader_pages.history", fail)
        client.raise_request_exception = False
        return client.get(PAGE, headers=BROWSER | headers)

    return get


def text_of_page(response, status):
    assert (response.status_code, response["Content-Type"]) == (status, "text/html; charset=utf-8")
    text = response.content.decode()
    assert response["X-Request-ID"] in text
    assert 'href="/admin/"' in text
    return text


@pytest.mark.parametrize("url", ["/admin/nonsense/", "/admin/sales/buyer/nobody/", "/nonsense"])
def test_staff_who_open_an_unknown_page_keep_their_menu(admin_client, url):
    page = text_of_page(admin_client.get(url, headers=BROWSER), 404)

    assert "Page not found" in page
    assert MENU in page


def test_staff_without_a_permission_keep_their_menu():
    page = text_of_page(staff_client().get("/admin/sales/sale/", headers=BROWSER), 403)

    assert "Access denied" in page
    assert MENU in page


class CutBody(BytesIO):
    """The beginning of a body, as the worker hands it over."""

    is_cut = True


def test_a_form_that_arrived_in_part_is_not_read(admin_client):
    form = b"id_country=1&country_name=Atlan"
    page = text_of_page(
        admin_client.post(
            "/admin/countries/country/add/",
            headers=BROWSER,
            **{
                "wsgi.input": CutBody(form),
                "CONTENT_LENGTH": "99",
                "CONTENT_TYPE": "application/x-www-form-urlencoded",
            },
        ),
        400,
    )

    assert "did not arrive completely" in page
    assert MENU in page
    assert not Country.objects.exists()


def test_a_stranger_with_a_browser_gets_a_page_without_a_menu(client):
    page = text_of_page(client.get("/nonsense", headers=BROWSER), 404)

    assert "Page not found" in page
    assert MENU not in page


def test_a_form_that_is_out_of_date_gets_a_page():
    page = text_of_page(Client(enforce_csrf_checks=True).post("/admin/login/", headers=BROWSER), 403)

    assert "This form is out of date" in page


@pytest.mark.parametrize(
    ("error", "status", "title", "has_menu"),
    [
        (BadRequest(), 400, "Invalid request", True),
        (PermissionDenied(), 403, "Access denied", True),
        (StatementTimedOut(), 503, "This page takes too long", True),
        (OperationalError("gone"), 503, "Temporarily unavailable", False),
        (ZeroDivisionError("a secret"), 500, "Something went wrong", False),
    ],
)
def test_an_exception_of_a_page_gets_a_page(fail_with, error, status, title, has_menu):
    page = text_of_page(fail_with(error), status)

    assert title in page
    assert (MENU in page) == has_menu
    assert "secret" not in page


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (BadRequest(), 400, "invalid-request"),
        (StatementTimedOut(), 503, "took-too-long"),
        (OperationalError("gone"), 503, "database-unavailable"),
        (ZeroDivisionError(), 500, "internal-error"),
    ],
)
def test_a_program_gets_a_problem_in_the_back_office_too(fail_with, error, status, slug):
    problem_of(fail_with(error, Accept="application/json"), status, slug)


@pytest.mark.parametrize("accept", ["application/json", "application/problem+json", "*/*", "a", ""])
def test_a_program_gets_a_problem_for_an_unknown_url(client, accept):
    problem_of(client.get("/nonsense", headers={"Accept": accept}), 404, "not-found")


def test_the_page_of_a_missing_database_is_shown_although_the_session_cannot_be_read(client, monkeypatch):
    def fail(*arguments):
        raise OperationalError("gone")

    client.cookies["sessionid"] = "a" * 32
    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", fail)

    assert "Page not found" in text_of_page(client.get("/nonsense", headers=BROWSER), 404)
    assert "Temporarily unavailable" in text_of_page(client.get("/admin/", headers=BROWSER), 503)


def test_a_session_that_cannot_be_saved_gets_the_page_of_an_unavailable_database(caplog):
    client = staff_client()
    enrol(client.user)
    client.logout()
    client.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RAISE ''disk full'' USING ERRCODE = ''53100''; END';"
            "CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON django_session EXECUTE FUNCTION fail()"
        )

    response = log_in(client, password=PASSWORD)  # the second step needs the session

    assert "Temporarily unavailable" in text_of_page(response, 503)
    assert response["Retry-After"] == "5"
    assert "The database is unavailable: disk full" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_wrong_filter_of_an_export_gets_a_page(admin_client):
    assert "Invalid request" in text_of_page(
        admin_client.get("/admin/countries/country/export/?colour=red", headers=BROWSER), 400
    )


@pytest.mark.parametrize(
    "query", ["ip_address__gte=1,2", "username__range=1", "username__regex=(", "ip_address__exact=a"]
)
def test_a_lookup_that_no_filter_has_gets_a_page(admin_client, query):
    text_of_page(admin_client.get(f"/admin/axes/accessfailurelog/?{query}", headers=BROWSER), 400)


def test_a_page_that_a_user_may_not_see_leaves_nothing_in_the_log_but_its_line(caplog):
    staff_client().get("/admin/sales/sale/")

    assert not caplog.records
