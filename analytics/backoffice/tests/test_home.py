"""The sales on the back office's home page."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from analytics.backoffice.tests.home_pages import HOME, UNTIL, block_of, cards, chart_data, content, page_of
from analytics.backoffice.tests.pages import link_of
from analytics.tests.helpers import name_countries, record, sale
from sales.models import Sale
from sales.totals import folding
from salesengine.tests.clients import plain, rows_of

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def test_each_period_is_compared_with_the_one_before(viewer):
    record(sale("100", paid="2021-06-30T00:00"), sale("-40.5", paid="2021-06-30T23:59:59.999999"))
    record(sale("20", paid="2021-06-29T23:59:59.999999"), sale("12", paid="2021-06-24"), sale("7", paid="2021-06-23"))
    record(sale("1000.005", paid="2021-06-01"), sale("300", paid="2021-05-31"), sale("9", paid="2021-07-01T00:00"))

    shown = cards(page_of(viewer))

    assert shown == {
        "2021-06-30": [
            ("59.50", "▲ 197.5% more than 20.00"),
            ("2", "▲ 100.0% more than 1"),
            ("29.75", "▲ 48.8% more than 20.00"),
        ],
        "7 days": [
            ("91.50", "▲ 1,207.1% more than 7.00"),
            ("4", "▲ 300.0% more than 1"),
            ("22.88", "▲ 226.9% more than 7.00"),
        ],
        "30 days": [
            ("1,098.50", "▲ 266.2% more than 300.00"),
            ("6", "▲ 500.0% more than 1"),
            ("183.08", "▼ 39.0% less than 300.00"),
        ],
    }


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        (["4", "4"], ["8"], ["= the same as before", "▼ 50.0% less than 2", "▲ 100.0% more than 4.00"]),
        ([], ["8"], ["no sales before"] * 3),
        (["-5"], ["8"], ["before -5.00", "= the same as before", "before -5.00"]),
        (["1000000"], ["1000000.01"], ["▲ less than 0.1% more than 1,000,000.00", "= the same as before"]),
        (["4"], [], ["▼ 100.0% less than 4.00", "▼ 100.0% less than 1", "before 4.00"]),
    ],
)
def test_changes_are_described_in_words(viewer, before, now, changes):
    record(sale("1", paid="2021-06-10"))
    record(*(sale(revenue, paid="2021-06-29") for revenue in before))
    record(*(sale(revenue, paid="2021-06-30") for revenue in now))

    assert [change for _, change in cards(page_of(viewer))["2021-06-30"]][: len(changes)] == changes


def test_the_title_of_an_amount_has_its_exact_value(viewer):
    record(sale("999999999999999.1"), sale("0.00000000000000000001"))

    amount = '<span title="999,999,999,999,999.10000000000000000001">999,999,999,999,999.10</span>'
    assert amount in page_of(viewer, "2021-01-03")


def test_the_figures_are_of_today_unless_the_url_has_another_day(viewer):
    now = timezone.now()
    record(sale("5", paid=now), sale("4", paid=now - timedelta(days=1)))

    page = page_of(viewer, None)

    assert [figure for figure, _ in cards(page)["Today so far"]] == ["5.00", "1", "5.00"]
    assert re.findall(r'aria-current="page">(\w+)</a>', content(page)) == ["Today"]
    assert link_of(page, "Yesterday") == f"{HOME}?until={now.date() - timedelta(days=1)}"
    assert Sale.objects.latest("received_at").received_at.strftime("received by %Y-%m-%d %H:%M:%S UTC") in page


def test_a_day_that_is_not_over_is_not_called_more_or_less_than_a_whole_day(viewer):
    now = timezone.now()
    yesterday = now - timedelta(days=1)
    record(sale("5", paid=now), sale("4", paid=yesterday), sale("1000", paid=yesterday))
    record(sale("1", paid=now - timedelta(days=10)))

    page = page_of(viewer, None)

    day = yesterday.date()
    texts = [f"1,004.00 on all of {day}", f"2 on all of {day}", f"502.00 on all of {day}"]
    assert [change for _, change in cards(page)["Today so far"]] == texts
    assert "home-down" not in block_of(page, "Today so far")
    assert "compared with" not in block_of(page, "Today so far")
    assert "compared with" in block_of(page, "7 days")
    assert cards(page)["7 days"][1][1] == "▲ 200.0% more than 1"


@pytest.mark.parametrize("until", ["yesterday", "2021-02-30", "0001-01-01", "10000-01-01", "%00", "<b>"])
def test_an_invalid_day_is_an_error_and_today_is_shown(viewer, until):
    record(sale("5", paid=timezone.now()))

    page = page_of(viewer, until)

    assert "This is not a valid day." in page
    assert "Today so far" in cards(page)


@pytest.mark.parametrize("until", ["0001-03-02", "9999-12-31"])
def test_the_first_and_the_last_possible_days_are_valid(viewer, until):
    record(sale("5"))

    assert "This is not a valid day." not in page_of(viewer, until)


def test_without_recent_sales_the_page_links_to_the_day_of_the_newest_sale(viewer):
    record(sale("5", paid="2021-06-30T21:15"), sale("4", paid="2021-06-29"))

    page = page_of(viewer, None)
    there = viewer.get(link_of(page, "Show the figures up to that day")).content.decode()

    assert "The newest sale before then was paid on 2021-06-30 at 21:15 UTC." in page
    assert (cards(page), "chart-figure" in content(page)) == ({}, False)
    assert [figure for figure, _ in cards(there)["2021-06-30"]] == ["5.00", "1", "5.00"]


def test_before_the_first_sale_the_page_links_to_the_day_of_the_newest_sale(viewer):
    record(sale("5", paid="2021-06-30"), sale("5", paid="2021-06-29"))

    page = page_of(viewer, "2020-01-01")

    assert "The newest sale was paid on 2021-06-30" in page
    assert "No sale was paid by the end of 2020-01-01." in page


def test_without_any_sale_but_with_totals_the_page_says_that_none_was_paid(viewer):
    """All sales were voided, or archived."""
    record(sale("5", paid="2021-06-30"))
    folding.fold_all(wait=True)
    Sale.objects.all().delete()

    page = page_of(viewer, "2022-01-01")

    assert "No sale was paid from 2021-12-03 to 2022-01-01." in page
    assert "The newest sale" not in page


def test_revenue_by_day_is_shown_as_a_chart_and_a_table(viewer):
    record(sale("5", category="bags", paid="2021-06-30"), sale("3", paid="2021-06-30"))
    record(sale("-2.5", category="bags", paid="2021-06-01"), sale("9", category="boys", paid="2021-05-31"))

    page = page_of(viewer)
    rows = rows_of(page[page.index("home-daily") :])

    assert re.findall(r'<th scope="col" class="number">(.*?)</th>', page)[:3] == ["All", "bags", "no category"]
    assert (len(rows), rows[0], rows[-1]) == (30, ["8.00", "5.00", "3.00"], ["-2.50", "-2.50", "0.00"])
    assert "Revenue by day and category, 2021-06-01 to 2021-06-30. Stacked bar chart, 30 values of day." in page
    bags, no_category = chart_data(viewer)["datasets"]
    assert (bags["label"], bags["texts"][-1], no_category["texts"][-1]) == ("bags", "5.00", "3.00")


def test_the_chart_leads_to_the_sales_of_a_day_and_a_category(viewer):
    record(sale("5", category="bags", paid="2021-06-30"), sale("3", category="bags", paid="2021-06-30"))
    record(sale("4", category="bags", paid="2021-06-29"), sale("2", paid="2021-06-30"))

    urls = {dataset["label"]: dataset["urls"][-1] for dataset in chart_data(viewer)["datasets"]}

    for category, number in {"bags": 2, "no category": 1}.items():
        assert len(viewer.get(urls[category]).context["cl"].result_list) == number


def test_the_smallest_of_many_categories_are_added_up(viewer):
    categories = ("clothing", "shoes", "accessories", "jewellery", "bags", "boys", "girls", "high-tech", None)
    record(*(sale(10 - index, category=name, paid="2021-06-30") for index, name in enumerate(categories)))

    others = chart_data(viewer)["datasets"][-1]

    assert (others["label"], others["texts"][-1]) == ("Others (2)", "5.00")
    assert "“Others” adds up the smallest series: 2 values of category." in page_of(viewer)


def test_the_top_categories_are_those_of_feedback_in_the_period(viewer, api):
    for category, number in {"bags": 1, "shoes": 3, "boys": 2, "girls": 1, None: 5}.items():
        record(*[sale("2", category=category, paid="2021-06-01")] * number)
    record(sale("1", category="bags", paid="2021-06-30"), *[sale("1", category="girls", paid="2021-05-31")] * 9)
    folding.fold()

    block = block_of(page_of(viewer), "Top categories")

    assert "By number of sales, 2021-06-01 to 2021-06-30" in block
    assert rows_of(block) == [["6.00", "3"], ["4.00", "2"], ["3.00", "2"]]
    feedback = api.get("/feedback?start_date=2021-06-01&end_date=2021-06-30").json()
    names = [plain(name) for name in re.findall(r'<th scope="row">(.*?)</th>', block)]
    assert names == [row["category"] for row in feedback] == ["shoes", "boys", "bags"]


def test_a_category_has_the_color_of_the_chart_in_the_list(viewer):
    record(sale("2", category="bags", paid="2021-06-30"), sale("3", category="shoes", paid="2021-06-30"))

    colors = {dataset["label"]: dataset["color"] for dataset in chart_data(viewer)["datasets"]}
    block = block_of(page_of(viewer), "Top categories")

    assert re.findall(r'chart-color-(\w+)" aria-hidden="true"></span> (\w+)', block) == [
        (colors["shoes"], "shoes"),
        (colors["bags"], "bags"),
    ]


def test_countries_are_sorted_by_revenue_and_shown_by_name(viewer):
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
    assert listed("Seller → buyer") == [
        ("France → Spain", "5.00", "1"),
        ("Spain → France", "4.00", "1"),
        ("France → x<y", "3.00", "1"),
    ]
    assert '<th scope="col">Countries</th>' in block_of(page, "Seller → buyer")


def test_the_latest_ten_sales_link_to_their_pages(viewer):
    name_countries(_170="France")
    record(*(sale(number, seller="x", paid=f"2021-06-{number:02}") for number in range(1, 13)))

    block = block_of(page_of(viewer, "2021-06-11"), "Latest sales")

    rows = rows_of(block)
    assert [row[1] for row in rows] == [f"{number}.00" for number in range(11, 1, -1)]
    assert rows[0][2:] == ["-", "-", "x → France"]
    sold = Sale.objects.get(revenue=11)
    assert link_of(block, "2021-06-11 12:00") == f"/admin/sales/sale/{sold.pk}/change/"
    assert link_of(block, sold.id_order) == f"/admin/sales/sale/?id_order__exact={sold.id_order}"


def test_numbers_link_to_their_sales(viewer):
    record(sale("5", category="bags", seller="1", paid="2021-06-30"), sale("5", seller="2", paid="2021-06-24"))
    record(sale("5", category="bags", seller="1", paid="2021-06-01"), sale("5", seller="1", paid="2021-05-31"))
    page = page_of(viewer)

    for block, number in [
        *((page.split('aria-labelledby="home-card-')[index], number) for index, number in ((1, 1), (2, 2), (3, 3))),
        (block_of(page, "Countries of sellers"), 2),
        (block_of(page, "Top categories"), 2),
    ]:
        there = viewer.get(link_of(block, str(number)))
        assert len(there.context["cl"].result_list) == number


def test_the_figures_are_the_sums_of_the_demo_sales(viewer, market):
    sold = [event for event in market if event["DATE_PAYMENT"].date() == UNTIL]
    month = [event for event in market if 0 <= (UNTIL - event["DATE_PAYMENT"].date()).days < 30]
    page = page_of(viewer)

    for title, events in (("2021-06-30", sold), ("30 days", month)):
        [(revenue, _), (sales, _), _] = cards(page)[title]
        assert (revenue, sales) == (f"{sum(event['REVENUE'] for event in events):,.2f}", f"{len(events):,}")
    assert rows_of(page[page.index("home-daily") :])[0][0] == cards(page)["2021-06-30"][0][0]
