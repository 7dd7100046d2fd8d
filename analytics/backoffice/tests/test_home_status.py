"""The back office's home page beyond sales: ingest, failed reports, permissions, and an empty system."""

import re
import shlex
from datetime import timedelta

import pytest
from django.utils import timezone

from analytics.backoffice.tests.home_pages import HOME, UNTIL, block_of, cards, content, page_of
from analytics.backoffice.tests.pages import link_of
from analytics.models import FAILED_OUTCOMES, ReportRun, RunOutcome
from analytics.tests.helpers import record, sale
from countries.models import Country
from sales.ingest.writer import record_sales
from sales.tests.helpers import rejected_event, sale_event
from salesengine.tests.clients import allow, plain, post

pytestmark = pytest.mark.django_db(databases=["default", "reports"])
EVERYTHING = ("view_sale", "view_rejectedevent", "view_reportrun", "view_country")


# Ingest and failed reports


def test_events_of_the_last_hour_are_counted(staff, api, event):
    allow(staff, "view_sale", "view_rejectedevent")
    post(api, [event, event | {"EVENT_ID": "e-1"}, event | {"EVENT_ID": "e-1"}, {}], query="?on_error=skip")

    block = block_of(page_of(staff), "Ingest in the last hour")

    assert re.findall(r"<dt>(\w+)</dt><dd>(\d+)</dd>", block) == [
        ("Accepted", "2"),
        ("Duplicates", "1"),
        ("Rejected", "1"),
    ]
    assert link_of(block, "Show rejected events") == "/admin/sales/rejectedevent/"


def run_of(outcome, **fields):
    values = {"report": "probe", "sql_hash": "", "parameters": {}, "channel": "api", "format": "csv", "sender": "shop"}
    run = ReportRun.objects.create(outcome=outcome, **values)
    ReportRun.objects.filter(pk=run.pk).update(**fields)
    return run


def failed(client):
    return re.findall(r'reportrun/(\d+)/change/">', block_of(page_of(client), "Needs attention"))


def test_recent_failed_runs_are_listed_newest_first(staff, write_report):
    allow(staff, "view_reportrun")
    write_report("SELECT 1")
    runs = {outcome: run_of(outcome, message=f"why <{outcome}>") for outcome in RunOutcome}
    run_of(RunOutcome.ERROR, started_at=timezone.now() - timedelta(hours=24, seconds=1))

    wanted = [RunOutcome.LOST, RunOutcome.ERROR, RunOutcome.TIMED_OUT, RunOutcome.FAILED_ASSERTION]
    assert failed(staff) == [str(runs[outcome].pk) for outcome in wanted]
    page = page_of(staff)
    assert "The probe</a>" in page
    assert "why &lt;timed out&gt;" in page


def test_a_run_whose_process_died_is_listed_as_lost(staff):
    allow(staff, "view_reportrun")
    run = run_of(RunOutcome.RUNNING, started_at=timezone.now() - timedelta(minutes=5))

    assert failed(staff) == [str(run.pk)]


def test_at_most_five_failures_are_shown(staff):
    allow(staff, "view_reportrun")
    for _ in range(5):
        run_of(RunOutcome.ERROR)
    assert "More reports that failed" not in page_of(staff)

    newest = run_of(RunOutcome.ERROR)

    assert (len(failed(staff)), failed(staff)[0]) == (5, str(newest.pk))
    assert "More reports that failed" in page_of(staff)


def test_the_other_failures_are_one_click_away(staff):
    allow(staff, "view_reportrun")
    runs = [run_of(outcome) for outcome in FAILED_OUTCOMES for _ in range(2)]
    run_of(RunOutcome.OK)
    run_of(RunOutcome.CANCELLED)
    run_of(RunOutcome.ERROR, started_at=timezone.now() - timedelta(days=2))

    url = link_of(page_of(staff), "More reports that failed in the last 24 hours")

    assert list(staff.get(url).context["cl"].result_list) == runs[::-1]


# What needs attention


def test_what_needs_attention_is_first_on_the_page(staff, sql_dir):
    allow(staff, *EVERYTHING, "view_report")
    record(sale("5", paid="2021-06-30"))
    assert "Needs attention" not in page_of(staff)

    rejected_event()
    (sql_dir / "broken.sql").write_text("SELECT 1")
    run_of(RunOutcome.ERROR, report="gone")
    page = page_of(staff)

    block = block_of(page, "Needs attention")
    assert "1 rejected event</a> to edit and replay" in block
    assert "1 report file</a> with an error, so not run" in block
    assert link_of(block, "1 rejected event") == "/admin/sales/rejectedevent/?state=waiting"
    assert link_of(block, "gone").startswith("/admin/analytics/reportrun/")
    assert page.index("Needs attention") < page.index("home-top")


def test_rejected_events_that_were_replayed_need_no_attention(staff):
    allow(staff, "view_rejectedevent")
    rejected_event(replayed_at=timezone.now())

    assert "Needs attention" not in page_of(staff)


def test_many_rejected_events_are_not_counted_to_the_end(staff, monkeypatch):
    monkeypatch.setattr("analytics.backoffice.home.WAITING_LIMIT", 2)
    allow(staff, "view_rejectedevent")
    for _ in range(3):
        rejected_event()

    assert "More than 2 rejected events</a> to edit" in page_of(staff)


# Permissions

BLOCKS = {
    "view_sale": {"Latest sales", "Top categories", "30 days", "Countries of buyers", "Accepted"},
    "view_rejectedevent": {"Rejected", "1 rejected event"},
    "view_reportrun": {"probe"},
    "view_country": {"You do not have permission to see anything on this page."},
}


@pytest.mark.parametrize("permission", BLOCKS)
def test_users_see_only_what_they_may_and_only_links_that_work(staff, permission):
    allow(staff, permission)
    record(sale("5", category="bags", paid="2021-06-30"))
    run_of(RunOutcome.ERROR)
    rejected_event()

    page = content(page_of(staff))

    everything = set().union(*BLOCKS.values())
    assert {text for text in everything if re.search(f">{re.escape(text)}", page)} == BLOCKS[permission]
    for url in set(re.findall(r'href="(/[^"]*)"', page)):
        assert staff.get(url.replace("&amp;", "&")).status_code == 200, url


def test_the_page_needs_a_login(client):
    assert client.get(HOME).status_code == 302


# An empty system


def test_the_command_for_the_first_sale_works(viewer, api):
    page = page_of(viewer, None)

    [command] = re.findall(r'<pre[^>]*label="Command that sends a sale">(.*?)</pre>', page, re.DOTALL)
    curl, url, *options = shlex.split(plain(command))
    assert (curl, url) == ("curl", "http://testserver/ingest")
    assert options[:3] == ["-H", "Content-Type: application/json", "-d"]
    assert post(api, options[3]).status_code == 201
    assert cards(page_of(viewer, None))["Today so far"][1] == ("1", "no sales before")


def test_an_empty_system_has_no_empty_charts(viewer):
    page = page_of(viewer)

    assert "There are no sales yet" in page
    assert not any(text in content(page) for text in ("chart-figure", "Latest sales", "Top categories"))


def test_the_first_steps_depend_on_permissions_and_countries(viewer, settings):
    settings.API_KEY_REQUIRED = True
    assert "ask an administrator for one" in page_of(viewer)
    assert "load_countries" in page_of(viewer)
    assert "upload the file" not in page_of(viewer)
    allow(viewer, "add_country", "change_country")
    assert link_of(page_of(viewer), "upload the file here") == "/admin/countries/country/import/"
    Country.objects.create(id_country="1", country_name="One")
    allow(viewer, "add_apikey")

    page = page_of(viewer)

    assert "Authorization: Api-Key YOUR-KEY" in page
    assert link_of(page, "create one") == "/admin/salesengine/apikey/add/"
    assert "load_countries" not in page


# Speed


# Without sales in the last month, one of them reads the months before it.
@pytest.mark.parametrize(("until", "number"), [(UNTIL, 14), (None, 14)])
def test_the_page_needs_few_queries(staff, market, django_assert_num_queries, until, number):
    allow(staff, *EVERYTHING)
    record_sales([sale_event(DATE_PAYMENT="2021-06-30", ID_BUYER_COUNTRY="x")])
    run_of(RunOutcome.ERROR)
    rejected_event()

    with django_assert_num_queries(number):
        page_of(staff, until)
