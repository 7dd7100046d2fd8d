"""What the cells of a report's table say and lead to, and what its chart shows when the table is sorted."""

from uuid import uuid4

import pytest

from analytics.backoffice.tests.pages import RESULT, link_of
from countries.models import Country
from salesengine.tests.clients import allow, rows_of, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

IDS = "SELECT 'b/1' AS id_buyer, 's' AS id_seller, 'o' AS id_order, 'p' AS id_product"
COUNTRIES = "SELECT '170' AS id_country, 'France' AS country_name, 'x' AS id_seller_country, 'x' AS seller_country_name"
BARS = """
[columns.sales]
title = "Number of sales"
format = "count"
[chart]
type = "bar"
x = "name"
y = ["revenue"]
"""


def get_result(client, **query):
    return client.get(RESULT, {"run": str(uuid4())} | query)


def page_of(client, **query):
    return text_of(get_result(client, **query))


# Cells


@pytest.mark.parametrize(
    ("timestamp", "text", "exact"),
    [
        ("'2020-07-01 08:36:19.25+02'::timestamptz", "2020-07-01 06:36:19", "2020-07-01T06:36:19.25Z"),
        ("'2020-07-01 08:36:19'::timestamp", "2020-07-01 08:36:19", "2020-07-01T08:36:19"),
    ],
)
def test_timestamps_look_as_in_lists_and_have_their_exact_value_in_the_title(
    admin_client, write_report, timestamp, text, exact
):
    write_report(f"SELECT {timestamp} AS paid")
    assert f'<td title="{exact}">{text}</td>' in page_of(admin_client)


def test_ids_lead_to_the_pages_of_buyers_sellers_orders_and_products(admin_client, write_report):
    write_report(IDS)
    page = page_of(admin_client)
    assert link_of(page, "b/1") == "/admin/sales/buyer/b%252F1/"
    assert link_of(page, "s") == "/admin/sales/seller/s/"
    assert link_of(page, "o") == "/admin/sales/sale/?id_order__exact=o"
    assert link_of(page, "p") == "/admin/sales/sale/?id_product__exact=p"


def test_countries_lead_to_their_pages_by_id_and_by_name(admin_client, write_report):
    Country.objects.create(id_country="170", country_name="France")
    write_report(COUNTRIES)
    page = page_of(admin_client)
    assert link_of(page, "170") == link_of(page, "France") == "/admin/countries/country/170/change/"
    assert rows_of(page) == [["170", "France", "x", "x"]]
    assert "<td>x</td>" in page


def test_a_column_with_the_format_country_leads_to_the_country(admin_client, write_report):
    Country.objects.create(id_country="170", country_name="France")
    write_report("SELECT '170' AS origin", header='[columns.origin]\nformat = "country"\n')
    assert link_of(page_of(admin_client), "France (170)") == "/admin/countries/country/170/change/"


def test_a_link_of_the_header_comes_before_the_name_of_the_column(admin_client, write_report):
    write_report(IDS, header='[columns.id_buyer]\nsales = { id_seller = "id_seller" }\n')
    assert link_of(page_of(admin_client), "b/1") == "/admin/sales/sale/?id_seller__exact=s"


def test_missing_ids_lead_nowhere(admin_client, write_report):
    write_report("SELECT NULL::text AS id_buyer, '' AS id_order, NULL::text AS id_country")
    assert "<td>-</td><td></td><td>-</td>" in page_of(admin_client)


def test_users_see_only_links_to_pages_that_they_may_open(staff, write_report):
    Country.objects.create(id_country="170", country_name="France")
    write_report(f"{IDS}, '170' AS id_country")
    allow(staff, "view_report")
    assert "/admin/sales/" not in page_of(staff)
    assert "/admin/countries/" not in page_of(staff)


# The chart of a sorted table


def test_bars_show_the_column_by_which_the_table_is_sorted(admin_client, write_report):
    write_report("SELECT 'a' AS name, 5 AS revenue, 1234 AS sales", header=BARS)

    def chart(**query):
        return get_result(admin_client, **query).context["result"]["chart"]

    assert (chart().title, chart(sort="name").title) == ("Revenue by name", "Revenue by name")
    by_sales = chart(sort="-sales")
    assert (by_sales.title, by_sales.measure) == ("Number of sales by name", "Number of sales")
    assert by_sales.series[0].points[0].text == "1,234"


@pytest.mark.parametrize("kind", ["line", "stacked"])
def test_other_charts_stay_the_same_when_the_table_is_sorted(admin_client, write_report, kind):
    write_report("SELECT 'a' AS name, 5 AS revenue, 1234 AS sales", header=BARS.replace('"bar"', f'"{kind}"'))
    assert get_result(admin_client, sort="sales").context["result"]["chart"].title == "Revenue by name"


def test_a_heatmap_is_a_table_that_says_every_number(admin_client, write_report):
    header = '[chart]\ntype = "heatmap"\nx = "month"\ny = ["share"]\nseries = "cohort"\n'
    header += '[columns.share]\nformat = "percent"\n'
    write_report("SELECT 'May' AS cohort, 0 AS month, 100 AS share UNION ALL SELECT 'May', 1, 30.5", header=header)
    page = page_of(admin_client)
    assert 'aria-label="Share by month and cohort. Heatmap, 2 values of month."' in page
    assert '<th scope="row">May</th><td class="number heat-9">100.0%</td><td class="number heat-3">30.5%</td>' in page
    assert "<canvas" not in page
