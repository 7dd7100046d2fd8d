"""The first page of the back office."""

import re
import shlex
from datetime import date, timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from analytics.backoffice.tests.pages import link_of, plain, rows_of
from analytics.models import ReportRun, RunOutcome
from analytics.tests.helpers import name_countries, record, sale
from countries.models import Country
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import rejected_event, sale_event
from sales.totals import feedback_folding
from salesengine.tests.clients import allow, post

pytestmark = pytest.mark.django_db(databases=["default", "reports"])
HOME = "/admin/"
UNTIL = date(2021, 6, 30)
EVERYTHING = ("view_sale", "view_rejectedevent", "view_reportrun", "view_country")


@pytest.fixture
def viewer(staff):
    """A client of staff who may look at sales."""
    allow(staff, "view_sale")
    return staff


def page_of(client, until=UNTIL, **options):
    response = client.get(HOME, {"until": until} if until else {}, **options)
    assert response.status_code == 200
    return response.content.decode()


def cards(page):
    """{title: [(figure, change) of revenue, sales and average]}."""
    found = {}
    for block in page.split('aria-labelledby="home-card-')[1:]:
        pairs = re.findall(r'<dd>(.*?)</dd><dd class="home-change[^>]*>(.*?)</dd>', block, re.DOTALL)
        found[plain(block[block.index("<h2") : block.index("</h2>")])] = [(plain(a), plain(b)) for a, b in pairs[:3]]
    return found


def block_of(page, title):
    """The part of the page under this heading."""
    return re.search(rf"<h2[^>]*>{title}</h2>(.*?)</section>", page, re.DOTALL)[1]


def content(page):
    return page[page.index('<div id="content-main"') :].partition('id="modal')[0]


# What sold


def test_each_period_is_told_beside_the_one_before(viewer):
    record(sale("100", paid="2021-06-30T00:00"), sale("-40.5", paid="2021-06-30T23:59:59.999999"))
    record(sale("20", paid="2021-06-29T23:59:59.999999"), sale("12", paid="2021-06-24"), sale("7", paid="2021-06-23"))
    record(sale("1000.005", paid="2021-06-01"), sale("300", paid="2021-05-31"), sale("9", paid="2021-07-01T00:00"))

    shown = cards(page_of(viewer))

    assert shown == {
        "2021-06-30": [
            ("59.50", "▲ 197.5 % more than 20.00"),
            ("2", "▲ 100.0 % more than 1"),
            ("29.75", "▲ 48.8 % more than 20.00"),
        ],
        "7 days": [
            ("91.50", "▲ 1,207.1 % more than 7.00"),
            ("4", "▲ 300.0 % more than 1"),
            ("22.88", "▲ 226.9 % more than 7.00"),
        ],
        "30 days": [
            ("1,098.50", "▲ 266.2 % more than 300.00"),
            ("6", "▲ 500.0 % more than 1"),
            ("183.08", "▼ 39.0 % less than 300.00"),
        ],
    }


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        (["4", "4"], ["8"], ["= the same as before", "▼ 50.0 % less than 2", "▲ 100.0 % more than 4.00"]),
        ([], ["8"], ["no sales before"] * 3),
        (["-5"], ["8"], ["before -5.00", "= the same as before", "before -5.00"]),
        (["1000000"], ["1000000.01"], ["▲ less than 0.1 % more than 1,000,000.00", "= the same as before"]),
        (["4"], [], ["▼ 100.0 % less than 4.00", "▼ 100.0 % less than 1", "before 4.00"]),
    ],
)
def test_changes_are_told_in_words(viewer, before, now, changes):
    record(sale("1", paid="2021-06-10"))
    record(*(sale(revenue, paid="2021-06-29") for revenue in before))
    record(*(sale(revenue, paid="2021-06-30") for revenue in now))

    assert [change for _, change in cards(page_of(viewer))["2021-06-30"]][: len(changes)] == changes


def test_figures_are_exact_to_the_last_digit(viewer):
    record(sale("999999999999999.1"), sale("0.00000000000000000001"))

    assert 'value="999,999,999,999,999.10000000000000000001"' in page_of(viewer, "2021-01-03")


def test_the_page_is_of_today_unless_it_is_asked_for_another_day(viewer):
    now = timezone.now()
    record(sale("5", paid=now), sale("4", paid=now - timedelta(days=1)))

    page = page_of(viewer, None)

    assert [figure for figure, _ in cards(page)["Today so far"]] == ["5.00", "1", "5.00"]
    assert re.findall(r'aria-current="page">(\w+)</a>', content(page)) == ["Today"]
    assert link_of(page, "Yesterday") == f"{HOME}?until={now.date() - timedelta(days=1)}"
    assert Sale.objects.latest("received_at").received_at.strftime("up to %Y-%m-%d %H:%M:%S UTC") in page


@pytest.mark.parametrize("until", ["yesterday", "2021-02-30", "0001-01-01", "10000-01-01", "%00", "<b>"])
def test_what_is_no_day_is_said_and_today_is_shown(viewer, until):
    record(sale("5", paid=timezone.now()))

    page = page_of(viewer, until)

    assert "There is no such day" in page
    assert "Today so far" in cards(page)


@pytest.mark.parametrize("until", ["0001-03-02", "9999-12-31"])
def test_the_first_and_the_last_days_that_there_are_are_no_failure(viewer, until):
    record(sale("5"))

    assert "There is no such day" not in page_of(viewer, until)


def test_where_nothing_was_sold_lately_the_page_leads_to_the_newest_sale(viewer):
    record(sale("5", paid="2021-06-30T21:15"), sale("4", paid="2021-06-29"))

    page = page_of(viewer, None)
    there = viewer.get(link_of(page, "Show the figures of then")).content.decode()

    assert "The newest before was paid on 2021-06-30 at 21:15 UTC." in page
    assert (cards(page), "svg-chart" in content(page)) == ({}, False)
    assert [figure for figure, _ in cards(there)["2021-06-30"]] == ["5.00", "1", "5.00"]


def test_before_the_first_sale_the_page_leads_to_the_newest_of_all(viewer):
    record(sale("5", paid="2021-06-30"), sale("5", paid="2021-06-29"))

    page = page_of(viewer, "2020-01-01")

    assert "The newest of all was paid on 2021-06-30" in page
    assert "No sale was paid by the end of 2020-01-01." in page


def test_revenue_by_day_is_drawn_and_told_as_a_table(viewer):
    record(sale("5", category="bags", paid="2021-06-30"), sale("3", paid="2021-06-30"))
    record(sale("-2.5", category="bags", paid="2021-06-01"), sale("9", category="boys", paid="2021-05-31"))

    page = page_of(viewer)
    rows = rows_of(page[page.index("home-daily") :])

    assert re.findall(r'<th scope="col" class="number">(.*?)</th>', page)[:3] == ["All", "bags", "no category"]
    assert (len(rows), rows[0], rows[-1]) == (30, ["8.00", "5.00", "3.00"], ["-2.50", "-2.50", "0.00"])
    assert "Stacked bar chart of revenue by day for each category, 30 values of day." in page
    assert "no category: 3.00" in page


def test_the_smallest_of_many_categories_are_drawn_together(viewer):
    categories = ("clothing", "shoes", "accessories", "jewellery", "bags", "boys", "girls", "high-tech", None)
    record(*(sale(10 - place, category=name, paid="2021-06-30") for place, name in enumerate(categories)))

    page = page_of(viewer)

    assert "Others are the 2 smallest of category, added up." in page
    assert "Others (2): 5.00" in page


def test_the_top_three_of_feedback_are_of_all_time(viewer):
    for category, number in {"bags": 1, "shoes": 3, "boys": 2, "girls": 1, None: 5}.items():
        record(*[sale("2", category=category, paid="2020-01-01")] * number)
    record(sale("1", category="bags", paid="2021-06-30"))
    feedback_folding.fold()

    block = block_of(page_of(viewer), "Top categories of all time")

    assert re.findall(r'<th scope="row">(\w+)</th>', block) == ["shoes", "boys", "bags"]
    assert rows_of(block) == [["6.00", "3"], ["4.00", "2"], ["3.00", "2"]]


def test_countries_go_by_revenue_under_their_names(viewer):
    name_countries(_170="France", _203="Spain")
    record(sale("5", seller="170", buyer="203"), sale("3", seller="170", buyer="x<y"), sale("4", seller="203"))
    record(sale("99", seller="9", buyer="9", paid="2021-01-04"))
    page = page_of(viewer, "2021-01-03")

    def listed(title):
        block = block_of(page, title)
        names = map(plain, re.findall(r'<th scope="row">(.*?)</th>', block))
        return [(name, *figures) for name, figures in zip(names, rows_of(block), strict=True)]

    assert listed("Countries of sellers") == [("France", "8.00", "2"), ("Spain", "4.00", "1")]
    assert listed("Countries of buyers") == [("Spain", "5.00", "1"), ("France", "4.00", "1"), ("x<y", "3.00", "1")]
    assert listed("From → to") == [
        ("France → Spain", "5.00", "1"),
        ("Spain → France", "4.00", "1"),
        ("France → x<y", "3.00", "1"),
    ]


def test_the_latest_ten_sales_lead_to_their_pages(viewer):
    name_countries(_170="France")
    record(*(sale(number, seller="x", paid=f"2021-06-{number:02}") for number in range(1, 13)))

    block = block_of(page_of(viewer, "2021-06-11"), "Latest sales")

    rows = rows_of(block)
    assert [row[1] for row in rows] == [f"{number}.00" for number in range(11, 1, -1)]
    assert rows[0][2:] == ["-", "-", "x → France"]
    sold = Sale.objects.get(revenue=11)
    assert f'<a href="/admin/sales/sale/{sold.pk}/change/">{sold.id_order}</a>' in block


def test_numbers_lead_to_the_sales_that_they_are_made_of(viewer):
    record(sale("5", category="bags", seller="1", paid="2021-06-30"), sale("5", seller="2", paid="2021-06-24"))
    record(sale("5", category="bags", seller="1", paid="2021-06-01"), sale("5", seller="1", paid="2021-05-31"))
    page = page_of(viewer)

    for block, number in [
        *((page.split('aria-labelledby="home-card-')[place], number) for place, number in ((1, 1), (2, 2), (3, 3))),
        (block_of(page, "Countries of sellers"), 2),
        (block_of(page, "Top categories of all time"), 2),
    ]:
        there = viewer.get(link_of(block, str(number)))
        assert len(there.context["cl"].result_list) == number


def test_the_page_agrees_with_adding_up_the_demo_sales(viewer, market):
    sold = [event for event in market if event["DATE_PAYMENT"].date() == UNTIL]
    month = [event for event in market if 0 <= (UNTIL - event["DATE_PAYMENT"].date()).days < 30]
    page = page_of(viewer)

    for title, events in (("2021-06-30", sold), ("30 days", month)):
        [(revenue, _), (sales, _), _] = cards(page)[title]
        assert (revenue, sales) == (f"{sum(event['REVENUE'] for event in events):,.2f}", f"{len(events):,}")
    assert rows_of(page[page.index("home-daily") :])[0][0] == cards(page)["2021-06-30"][0][0]


# What comes in, and what failed


def test_what_came_in_during_the_last_hour_is_counted(staff, api, event):
    allow(staff, "view_sale", "view_rejectedevent")
    post(api, [event, event | {"EVENT_ID": "e-1"}, event | {"EVENT_ID": "e-1"}, {}], query="?on_error=skip")

    block = block_of(page_of(staff), "Ingest in the last hour")

    assert re.findall(r"<dt>(\w+)</dt><dd>(\d+)</dd>", block) == [
        ("Accepted", "2"),
        ("Duplicates", "1"),
        ("Rejected", "1"),
    ]
    assert link_of(block, "Look at rejected events") == "/admin/sales/rejectedevent/"


def run_of(outcome, **fields):
    values = {"report": "probe", "sql_hash": "", "parameters": {}, "channel": "api", "format": "csv", "sender": "shop"}
    run = ReportRun.objects.create(outcome=outcome, **values)
    ReportRun.objects.filter(pk=run.pk).update(**fields)
    return run


def failed(client):
    return re.findall(r'reportrun/(\d+)/change/">', block_of(page_of(client), "Reports that failed.*?"))


def test_runs_that_failed_lately_are_listed_the_newest_first(staff, write_report):
    allow(staff, "view_reportrun")
    write_report("SELECT 1")
    runs = {outcome: run_of(outcome, message=f"why <{outcome}>") for outcome in RunOutcome}
    run_of(RunOutcome.ERROR, started_at=timezone.now() - timedelta(hours=24, seconds=1))

    wanted = [RunOutcome.LOST, RunOutcome.ERROR, RunOutcome.TIMED_OUT, RunOutcome.FAILED_ASSERTION]
    assert failed(staff) == [str(runs[outcome].pk) for outcome in wanted]
    page = page_of(staff)
    assert "The probe</a>" in page
    assert "why &lt;timed out&gt;" in page


def test_a_run_whose_process_has_died_is_found_to_be_lost(staff):
    allow(staff, "view_reportrun")
    run = run_of(RunOutcome.RUNNING, started_at=timezone.now() - timedelta(minutes=5))

    assert failed(staff) == [str(run.pk)]


def test_at_most_five_failures_are_shown(staff):
    allow(staff, "view_reportrun")
    for _ in range(5):
        run_of(RunOutcome.ERROR)
    assert "There are more" not in page_of(staff)

    newest = run_of(RunOutcome.ERROR)

    assert (len(failed(staff)), failed(staff)[0]) == (5, str(newest.pk))
    assert "There are more: all runs" in page_of(staff)


def test_a_database_for_reports_that_is_away_takes_nothing_else_with_it(staff, monkeypatch):
    def fail():
        raise OperationalError("gone")

    monkeypatch.setattr("analytics.backoffice.home.mark_lost_runs", fail)
    allow(staff, "view_reportrun")
    run = run_of(RunOutcome.ERROR)

    assert failed(staff) == [str(run.pk)]


# Rights

BLOCKS = {
    "view_sale": {"Latest sales", "Top categories of all time", "30 days", "Countries of buyers", "Accepted"},
    "view_rejectedevent": {"Rejected"},
    "view_reportrun": {"Reports that failed in the last 24 hours"},
    "view_country": {"There is nothing here that you may see."},
}


@pytest.mark.parametrize("right", BLOCKS)
def test_everybody_sees_what_they_may_and_no_link_that_they_may_not_follow(staff, right):
    allow(staff, right)
    record(sale("5", paid="2021-06-30"))
    run_of(RunOutcome.ERROR)
    rejected_event()

    page = content(page_of(staff))

    everything = set().union(*BLOCKS.values())
    assert {text for text in everything if re.search(f">{re.escape(text)}", page)} == BLOCKS[right]
    for address in set(re.findall(r'href="(/[^"]*)"', page)):
        assert staff.get(address.replace("&amp;", "&")).status_code == 200, address


def test_nobody_looks_without_logging_in(client):
    assert client.get(HOME).status_code == 302


# An empty system


def test_an_empty_system_says_how_to_send_the_first_event_and_that_works(viewer, api):
    page = page_of(viewer, None)

    [command] = re.findall(r'<pre[^>]*label="Command that sends a sale">(.*?)</pre>', page, re.DOTALL)
    curl, address, *options = shlex.split(plain(command))
    assert (curl, address) == ("curl", "http://testserver/ingest")
    assert options[:3] == ["-H", "Content-Type: application/json", "-d"]
    assert post(api, options[3]).status_code == 201
    assert cards(page_of(viewer, None))["Today so far"][1] == ("1", "no sales before")


def test_an_empty_system_shows_no_empty_charts(viewer):
    page = page_of(viewer)

    assert "There are no sales yet" in page
    assert not any(text in content(page) for text in ("svg-chart", "Latest sales", "Top categories"))


def test_the_first_steps_are_those_that_somebody_may_take(viewer, settings):
    settings.API_KEY_REQUIRED = True
    assert "ask an administrator for one" in page_of(viewer)
    assert "load_countries" in page_of(viewer)
    Country.objects.create(id_country="1", country_name="One")
    allow(viewer, "add_apikey")

    page = page_of(viewer)

    assert "Authorization: Api-Key YOUR-KEY" in page
    assert link_of(page, "make one") == "/admin/salesengine/apikey/add/"
    assert "load_countries" not in page


# Speed


@pytest.mark.parametrize(("until", "number"), [(UNTIL, 11), (None, 10)])
def test_the_page_takes_at_most_12_queries(staff, market, django_assert_num_queries, until, number):
    allow(staff, *EVERYTHING)
    record_sales([sale_event(DATE_PAYMENT="2021-06-30", ID_BUYER_COUNTRY="x")])
    run_of(RunOutcome.ERROR)
    rejected_event()

    with django_assert_num_queries(number):
        page_of(staff, until)
