"""The run log, and cancelling a run."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from analytics.backoffice.tests.pages import CANCEL, LOG, PAGE, RESULT, link_of, query_of
from analytics.models import ReportRun
from salesengine.tests.clients import allow, plain, text_of
from salesengine.tests.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])


@pytest.fixture
def log_run(write_report):
    """Return a function that logs a run of the report "probe" with these values."""
    report = write_report("SELECT %(n)s AS n", header='[parameters.n]\ntype = "integer"\nlabel = "Number"\n')

    def log(**values):
        good = {"sql_hash": report.sql_hash, "parameters": {"n": "7"}, "channel": "admin", "sender": "clerk"}
        return ReportRun.objects.create(report="probe", **good | {"format": "page", "outcome": "ok"} | values)

    return log


def page_of(client, run):
    return text_of(client.get(f"{LOG}{run.pk}/change/"))


def sleeping_sessions():
    """Return how many reports sleep in the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone()[0]


# The log


def test_the_log_lists_each_run(admin_client, log_run):
    log_run(seconds=75.5, rows=1234567, bytes=2_500_000, outcome="failed assertion", channel="api", sender="robot")
    page = plain(text_of(admin_client.get(LOG)))
    for words in ("The probe", "failed assertion", "1 min 16 s", "1,234,567", "2.4\xa0MB", "robot", "API", "Number: 7"):
        assert words in page


@pytest.mark.parametrize("url", [LOG, "/admin/"])
def test_the_log_and_the_home_page_work_while_the_database_of_reports_is_unavailable(
    admin_client, log_run, monkeypatch, url
):
    log_run(outcome="running")
    ReportRun.objects.update(started_at=timezone.now() - timedelta(minutes=5))
    connections["reports"].close()
    monkeypatch.setitem(connections["reports"].settings_dict, "PORT", "1")

    assert admin_client.get(url).status_code == 200


def test_a_run_of_a_removed_report_is_listed_by_name(admin_client, log_run, sql_dir):
    run = log_run()
    (sql_dir / "probe.sql").unlink()
    assert "probe" in plain(text_of(admin_client.get(LOG)))
    page = page_of(admin_client, run)
    assert "file is missing or invalid" in page
    assert "Run again" not in page


def test_parameters_that_a_report_no_longer_has_are_shown_by_name(admin_client, log_run):
    run = log_run(parameters={"old": "1", "n": ""})
    assert "old: 1" in plain(text_of(admin_client.get(LOG)))
    assert "<dt>Number</dt><dd>-</dd><dt>old</dt><dd>1</dd>" in page_of(admin_client, run)


def test_long_parameters_are_truncated_only_in_the_list(admin_client, log_run):
    run = log_run(parameters={"text": "<x>" * 100})
    assert "&lt;x&gt;" * 100 not in text_of(admin_client.get(LOG))
    assert "&lt;x&gt;" * 100 in page_of(admin_client, run)


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ({"report": "probe"}, 2),
        ({"report": "other"}, 0),
        ({"outcome__exact": "error"}, 1),
        ({"outcome__exact": "failed"}, 1),
        ({"channel__exact": "api"}, 1),
        ({"q": "robot"}, 1),
        ({"q": "rob"}, 0),
        ({"started_at_from": "2021-01-01", "started_at_to": "2021-01-01"}, 1),
    ],
)
def test_runs_are_found_by_report_outcome_channel_day_and_sender(admin_client, log_run, query, number):
    log_run(channel="api", sender="robot", outcome="error")
    ReportRun.objects.filter(pk=log_run().pk).update(started_at="2021-01-01T23:59:59Z")
    assert len(admin_client.get(LOG, query).context["cl"].result_list) == number


@pytest.mark.parametrize("query", ["outcome__exact=%00", "report=%00", "id__exact=x", "message__regex=(", "e=1", "p=x"])
def test_an_invalid_query_is_no_server_error(admin_client, log_run, query):
    log_run()
    assert admin_client.get(f"{LOG}?{query}").status_code < 500


def test_the_page_of_a_run_shows_all_its_fields(admin_client, log_run):
    run = log_run(outcome="error", message="column <nope>\nLINE 5", seconds=0.5)
    page = page_of(admin_client, run)
    assert "column &lt;nope&gt;\nLINE 5" in page
    assert "<dt>Number</dt><dd>7</dd>" in page
    assert str(run.token) in page
    assert "The probe (probe)" in page
    assert "Unchanged since this run." in page


def test_the_page_of_a_run_says_that_the_sql_has_changed(admin_client, log_run):
    assert "Changed since this run." in page_of(admin_client, log_run(sql_hash="0" * 64))


def test_a_run_can_be_repeated(admin_client, log_run):
    url = link_of(page_of(admin_client, log_run(parameters={"n": "7"})), "Run again")
    assert url.startswith(PAGE)
    assert query_of(url) == {"n": "7", "run": "1"}
    assert admin_client.get(url).context_data["form"].is_valid()


def test_the_log_cannot_be_changed(admin_client, log_run):
    run = log_run()
    for path in (f"{LOG}add/", f"{LOG}{run.pk}/delete/"):
        assert [admin_client.get(path).status_code, admin_client.post(path, {"post": "yes"}).status_code] == [403, 403]
    assert admin_client.post(f"{LOG}{run.pk}/change/", {"report": "x"}).status_code == 403
    admin_client.post(LOG, {"action": "delete_selected", "_selected_action": [run.pk], "post": "yes"})
    assert ReportRun.objects.get().report == "probe"


@pytest.mark.parametrize(("codenames", "status"), [([], 403), (["view_report"], 403), (["view_reportrun"], 200)])
def test_the_log_needs_its_permission(staff, log_run, codenames, status):
    run = log_run()
    allow(staff, *codenames)
    assert [staff.get(path).status_code for path in (LOG, f"{LOG}{run.pk}/change/")] == [status, status]


def test_users_who_may_not_see_reports_get_no_link_to_them(staff, log_run):
    allow(staff, "view_reportrun")
    assert "Run again" not in page_of(staff, log_run())


def test_runs_whose_process_died_are_marked_as_lost(admin_client, log_run):
    run = log_run(outcome="running")
    ReportRun.objects.filter(pk=run.pk).update(started_at=timezone.now() - timedelta(minutes=5))
    assert '<span class="outcome outcome-lost">' in text_of(admin_client.get(LOG))


# Cancelling a run


@pytest.fixture
def sleeping(write_report):
    """Return a function that runs a sleeping report in a thread, and returns the run's token and future response."""
    write_report("SELECT pg_sleep(60) AS nap")
    with ThreadPoolExecutor() as pool:

        def start(client):
            token = str(uuid4())

            def fetch():
                try:
                    return text_of(client.get(RESULT, {"run": token}))
                finally:
                    connections.close_all()

            response = pool.submit(fetch)
            wait_until(lambda: sleeping_sessions() == 1)
            return token, response

        yield start


def other_client_of(client):
    """Return a client with the same session, like another tab of a browser."""
    other = Client()
    other.cookies = client.cookies
    return other


def test_users_can_cancel_their_own_runs(staff, sleeping):
    allow(staff, "view_report")
    token, result = sleeping(staff)
    response = other_client_of(staff).post(CANCEL, {"run": token})
    assert response.status_code == 204
    assert "The run was cancelled." in result.result(timeout=60)
    assert sleeping_sessions() == 0
    assert ReportRun.objects.get().outcome == "cancelled"


def test_cancelling_runs_of_others_needs_the_permission(admin_client, staff, sleeping):
    allow(staff, "view_report", "view_reportrun")
    token, response = sleeping(admin_client)
    run = ReportRun.objects.get()
    assert staff.post(CANCEL, {"run": token}).status_code == 403
    assert staff.post(f"{LOG}{run.pk}/cancel/").status_code == 403
    assert "Cancel this run" not in page_of(staff, run)
    assert sleeping_sessions() == 1
    allow(staff, "cancel_reportrun")
    assert "Cancel this run" in page_of(staff, run)
    assert staff.post(f"{LOG}{run.pk}/cancel/")["Location"] == f"{LOG}{run.pk}/change/"
    assert "The run was cancelled." in response.result(timeout=60)
    assert sleeping_sessions() == 0


def test_the_audit_log_tells_who_cancelled_a_run_of_somebody_else(admin_client, staff, sleeping):
    allow(staff, "view_report", "cancel_reportrun")
    for owner, entries in ((admin_client, [("Cancelled.", staff.user.pk)]), (staff, [])):
        LogEntry.objects.all().delete()
        token, response = sleeping(owner)
        assert other_client_of(staff).post(CANCEL, {"run": token}).status_code == 204
        assert "The run was cancelled." in response.result(timeout=60)
        assert list(LogEntry.objects.values_list("change_message", "user")) == entries


def test_a_run_of_an_api_client_does_not_belong_to_the_user_of_the_same_name(staff, log_run):
    allow(staff, "view_report", "view_reportrun")
    run = log_run(outcome="running", channel="api", sender=staff.user.username)
    assert staff.post(CANCEL, {"run": str(run.token)}).status_code == 403


@pytest.mark.parametrize("token", ["", "x", "\0", "8b2d9a5e-0000-4000-8000-000000000000"])
def test_an_unknown_run_cannot_be_cancelled(admin_client, log_run, token):
    assert admin_client.post(CANCEL, {"run": token}).status_code == 404


def test_cancelling_a_finished_run_changes_nothing(admin_client, log_run):
    run = log_run()
    assert admin_client.post(CANCEL, {"run": str(run.token)}).status_code == 204
    assert "Cancel this run" not in page_of(admin_client, run)
    response = admin_client.post(f"{LOG}{run.pk}/cancel/", follow=True)
    assert "The run had already ended." in text_of(response)


def test_following_a_link_cancels_no_run_and_leads_to_its_page(admin_client, log_run):
    run = log_run(outcome="running")
    assert admin_client.get(f"{LOG}{run.pk}/cancel/")["Location"] == f"{LOG}{run.pk}/change/"
    assert not LogEntry.objects.exists()


def test_cancelling_needs_the_csrf_token(admin_user, log_run):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(CANCEL, {"run": str(log_run(outcome="running").token)}).status_code == 403
