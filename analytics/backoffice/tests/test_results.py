"""The result of a report: its table, pages, order and links to sales, and its failures."""

import html
import re
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import get_args
from uuid import uuid4

import pytest
from django.db import connection, transaction

from analytics.backoffice.tests.pages import PAGE, RESULT, link_of, query_of, run_whole
from analytics.definitions.headers import SaleField
from analytics.models import ReportRun
from countries.models import Country
from sales.backoffice.links import LOOKUPS
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from salesengine.tests.clients import allow, plain, rows_of, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])


def get_result(client, **query):
    return text_of(client.get(RESULT, {"run": str(uuid4())} | query))


# The table


def test_the_result_is_a_table_with_numbers_on_the_right(admin_client, write_report):
    write_report("SELECT '<France>' AS country_name, 12.50 AS revenue, NULL::text AS note")
    page = text_of(run_whole(admin_client))
    assert '<td>&lt;France&gt;</td><td class="number">12.50</td><td>-</td>' in page
    assert '<th scope="col" class="number">' in page
    assert ">Country name</a>" in page
    assert "1 row." in page


def test_the_page_fetches_the_same_table(admin_client, write_report):
    write_report("SELECT 'a' AS letter")
    response = admin_client.get(RESULT, {"run": str(uuid4())})
    assert rows_of(text_of(response)) == rows_of(text_of(run_whole(admin_client))) == [["a"]]
    assert response["Report-Result"] == "1"
    assert "<html" not in text_of(response)


def test_a_run_is_logged_with_its_token_and_user(admin_client, write_report):
    write_report("SELECT generate_series(1, 3) AS n")
    token = uuid4()
    get_result(admin_client, run=str(token))
    run = ReportRun.objects.get()
    assert (run.token, run.report, run.channel, run.sender) == (token, "probe", "admin", "admin")
    assert (run.format, run.outcome, run.rows, run.bytes) == ("page", "ok", 3, None)


@pytest.mark.parametrize("token", ["", "1", "x", "\0", "8b2d9a5e"])
def test_a_result_without_a_token_is_not_run(admin_client, write_report, token):
    write_report("SELECT 1 AS one")
    response = admin_client.get(RESULT, {"run": token})
    assert (response.status_code, ReportRun.objects.count()) == (409, 0)


def test_a_token_that_is_used_twice_at_the_same_time_runs_once(admin_client, write_report):
    write_report("SELECT 1 AS one")
    token = str(uuid4())
    started = Event()

    def start():
        """Start a run that other transactions see only half a second later."""
        try:
            with transaction.atomic():
                ReportRun.objects.create(token=token, report="probe", parameters={})
                started.set()
                time.sleep(0.5)
        finally:
            connection.close()

    with ThreadPoolExecutor() as threads:
        threads.submit(start)
        started.wait()
        response = admin_client.get(RESULT, {"run": token})
    assert (response.status_code, ReportRun.objects.count()) == (409, 1)


def test_a_token_runs_once(admin_client, write_report):
    write_report("SELECT 1 AS one")
    token = str(uuid4())
    get_result(admin_client, run=token)
    assert "This run has already been started." in get_result(admin_client, run=token)
    assert ReportRun.objects.count() == 1


def test_a_result_without_rows_says_so(admin_client, write_report):
    write_report("SELECT 1 AS one WHERE false")
    assert "0 rows." in get_result(admin_client)
    assert ReportRun.objects.get().outcome == "empty"


def test_headings_come_from_the_header(admin_client, write_report):
    write_report("SELECT 1 AS one", header='[columns.one]\ntitle = "The <one>"\n')
    assert ">The &lt;one&gt;</a>" in get_result(admin_client)


@pytest.mark.parametrize(
    ("value", "text", "exact"),
    [
        ("57.27456", "57.27", "57.27456"),
        ("-1234.00000000000000000001", "-1,234.00", "-1,234.00000000000000000001"),
        ("123456789012345678901234567890.125", "123,456,789,012,345,678,901,234,567,890.12", None),
    ],
)
def test_money_has_two_decimals_and_its_exact_value_in_the_title(admin_client, write_report, value, text, exact):
    write_report(f"SELECT {value}::numeric AS revenue", header='[columns.revenue]\nformat = "money"\n')
    exact = exact or "123,456,789,012,345,678,901,234,567,890.125"
    assert f'<td class="number" title="{exact}">{text}</td>' in get_result(admin_client)


@pytest.mark.parametrize(("value", "text"), [("12.345678", "12.3%"), ("-0.001", "0.0%")])
def test_percentages_have_one_decimal_and_their_exact_value_in_the_title(admin_client, write_report, value, text):
    write_report(f"SELECT {value}::numeric AS share", header='[columns.share]\nformat = "percent"\n')
    assert f'<td class="number" title="{value}">{text}</td>' in get_result(admin_client)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("money", "1234567.5", "1,234,567.50"),
        ("money", "1E+3", "1,000.00"),
        ("money", "5.000", "5.00"),
        ("percent", "1234", "1,234.0%"),
        ("count", "1234567", "1,234,567"),
        ("count", "-1234.00", "-1,234"),
        ("count", "12.5", "12.5"),
    ],
)
def test_a_number_whose_digits_are_all_shown_has_no_title(admin_client, write_report, kind, value, text):
    write_report(f"SELECT {value}::numeric AS n", header=f'[columns.n]\nformat = "{kind}"\n')
    assert f'<td class="number">{text}</td>' in get_result(admin_client)


def test_columns_have_the_formats_of_the_header(admin_client, write_report):
    Country.objects.create(id_country="170", country_name="<France>")
    header = "".join(f'[columns.{name}]\nformat = "{name.strip("_2")}"\n' for name in ("money", "percent", "country"))
    header += (
        '[columns.link]\nformat = "link"\n[columns.link_2]\nformat = "link"\n[columns.country_2]\nformat = "country"\n'
    )
    write_report(
        "SELECT 1234.5 AS money, 12.345678 AS percent, '170' AS country, '999' AS country_2, "
        "'https://example.com/?a=1&b=2' AS link, 'javascript:alert(1)' AS link_2",
        header=header,
    )
    page = get_result(admin_client)
    assert rows_of(page)[0] == [
        *("1,234.50", "12.3%", "<France> (170)", "999", "https://example.com/?a=1&b=2", "javascript:alert(1)")
    ]
    assert '<td class="number" title="12.345678">12.3%</td>' in page
    assert '<a href="https://example.com/?a=1&amp;b=2" rel="noopener noreferrer">' in page
    assert 'href="javascript' not in page


def test_a_format_that_does_not_fit_a_value_is_ignored(admin_client, write_report):
    header = '[columns.a]\nformat = "money"\n[columns.b]\nformat = "percent"\n[columns.c]\nformat = "count"\n'
    write_report("SELECT 'text' AS a, 'NaN'::float8 AS b, NULL::numeric AS c", header=header)
    assert rows_of(get_result(admin_client)) == [["text", "NaN", "-"]]


def test_the_chart_of_the_header_is_drawn(admin_client, write_report):
    write_report("SELECT 'a' AS name, 12 AS n", header='[chart]\ntype = "bar"\nx = "name"\ny = ["n"]\n')
    page = get_result(admin_client)
    assert '<figure class="chart-figure">' in page
    assert 'aria-label="N by name. Bar chart, 1 value of name."' in page


def test_the_title_of_a_chart_names_its_rows_if_there_are_more(admin_client, write_report):
    header = 'rows = 2\n[chart]\ntype = "bar"\nx = "n"\ny = ["n"]\n'
    write_report("SELECT generate_series(1, 5) AS n", header=header)
    assert "<figcaption>N by n (rows 3 to 4)</figcaption>" in get_result(admin_client, page="2")
    write_report("SELECT generate_series(1, 2) AS n", header=header)
    assert "<figcaption>N by n</figcaption>" in get_result(admin_client)


# Pages and order


def test_a_result_has_pages(admin_client, write_report):
    write_report("SELECT generate_series(1, 25) AS n", header="rows = 10\n")
    pages = [get_result(admin_client, page=str(page)) for page in (1, 2, 3, 4)]
    assert [len(rows_of(page)) for page in pages] == [10, 10, 5, 0]
    assert rows_of(pages[2])[0] == ["21"]
    assert "Rows 1 to 10; there are more." in pages[0]
    assert "Rows 21 to 25, the last." in pages[2]
    assert "There are no more rows." in pages[3]
    assert query_of(link_of(pages[0], "Next page")) == {"run": "1", "page": "2"}
    assert query_of(link_of(pages[2], "Previous page")) == {"run": "1", "page": "2"}
    assert "Previous page" not in pages[0]
    assert "Next page" not in pages[2]


def test_a_full_last_page_has_no_next_page(admin_client, write_report):
    write_report("SELECT generate_series(1, 20) AS n", header="rows = 10\n")
    assert "Next page" not in get_result(admin_client, page="2")


def test_the_database_sorts_the_whole_result(admin_client, write_report):
    write_report("SELECT (n * 7) % 25 AS n FROM generate_series(1, 25) AS n", header="rows = 10\n")
    assert rows_of(get_result(admin_client, sort="n"))[:2] == [["0"], ["1"]]
    assert rows_of(get_result(admin_client, sort="-n"))[:2] == [["24"], ["23"]]
    assert rows_of(get_result(admin_client, sort="-n", page="2"))[0] == ["14"]


def test_a_second_click_on_a_heading_reverses_the_order(admin_client, write_report):
    write_report("SELECT 'b' AS letter, 2 AS number", header="rows = 1\n")
    page = get_result(admin_client, page="3")
    assert query_of(link_of(page, "Letter")) == {"run": "1", "sort": "letter"}
    assert query_of(link_of(page, "Number")) == {"run": "1", "sort": "-number"}  # numbers start with the largest
    page = get_result(admin_client, sort="letter")
    assert query_of(link_of(page, "Letter"))["sort"] == "-letter"
    assert '<th scope="col" aria-sort="ascending">' in page
    assert '<input type="hidden" name="sort" value="letter">' in text_of(run_whole(admin_client, sort="letter"))


@pytest.mark.parametrize(
    "sort", ["nope", '"', "n; DROP TABLE country", "1", "-", "--n", "%s", "%(n)s", "\0", "\ud800", "x" * 5000]
)
def test_sorting_by_an_unknown_column_is_no_server_error(admin_client, write_report, sort):
    write_report("SELECT 1 AS n")
    query = sort.encode(errors="surrogatepass")
    response = admin_client.get(RESULT, query_params={"run": str(uuid4()), "sort": query})
    assert response.status_code in (200, 400)


def test_sorting_by_an_impossible_column_name_runs_nothing(admin_client, write_report):
    write_report("SELECT 1 AS n")
    assert "sort must be the name of a column." in text_of(run_whole(admin_client, sort="n\0"))
    assert not ReportRun.objects.exists()


# Links to sales

SALES = """
[columns.revenue]
format = "money"
sales = {start = "day", end = "day", category = "category", id_seller_country = "country"}
"""


@pytest.fixture
def sales_report(write_report):
    record_sales(
        [
            sale_event(CATEGORY="shoes", DATE_PAYMENT="2021-01-01T23:59:59.999999", ID_SELLER_COUNTRY="1"),
            sale_event(CATEGORY="shoes", DATE_PAYMENT="2021-01-01", ID_SELLER_COUNTRY="2"),
            sale_event(CATEGORY="shoes", DATE_PAYMENT="2021-01-02", ID_SELLER_COUNTRY="1"),
            sale_event(CATEGORY=None, DATE_PAYMENT="2021-01-02", ID_SELLER_COUNTRY="1"),
        ]
    )
    return write_report(
        "SELECT date_payment::date AS day, category, count(*) AS n, sum(revenue) AS revenue FROM sales "
        "WHERE %(country)s IS NULL OR id_seller_country = %(country)s GROUP BY 1, 2 ORDER BY 1, 2",
        header='[parameters.country]\ntype = "country"\n' + SALES,
    )


@pytest.mark.parametrize(
    ("query", "numbers"), [({}, [2, 1, 1]), ({"country": "1"}, [1, 1, 1]), ({"country": "2"}, [1])]
)
def test_a_number_links_to_its_sales(admin_client, sales_report, query, numbers):
    page = get_result(admin_client, **query)
    urls = [html.unescape(url) for url in re.findall(r'href="(/admin/sales/sale/[^"]*)"', page)]
    listed = [len(admin_client.get(url).context["cl"].result_list) for url in urls]
    assert [int(row[2]) for row in rows_of(page)] == listed == numbers


def test_a_point_of_the_chart_links_to_the_same_sales_as_its_cell(admin_client, write_report):
    record_sales([sale_event(CATEGORY="shoes"), sale_event(CATEGORY="bags")])
    write_report(
        "SELECT category, sum(revenue) AS revenue FROM sales GROUP BY 1 ORDER BY 1",
        header='[columns.revenue]\nsales = {category = "category"}\n'
        '[chart]\ntype = "bar"\nx = "category"\ny = ["revenue"]\n',
    )
    result = run_whole(admin_client).context_data["result"]
    [dataset] = result["chart"].data["datasets"]
    assert dataset["urls"] == [row[1].url for row in result["rows"]]
    assert all(url.startswith("/admin/sales/sale/?") for url in dataset["urls"])


def test_every_sale_field_that_a_header_may_name_is_a_filter_of_the_sales_list():
    assert set(get_args(SaleField)) == set(LOOKUPS)


def test_numbers_are_no_links_for_users_who_may_not_see_sales(staff, sales_report):
    allow(staff, "view_report")
    assert "/sales/sale/" not in get_result(staff)
    allow(staff, "view_sale")
    staff.user = type(staff.user).objects.get(pk=staff.user.pk)
    assert "/sales/sale/" in get_result(staff)


# Failures


def test_an_error_is_shown_instead_of_the_result(admin_client, write_report):
    write_report("SELECT nope")
    page = get_result(admin_client)
    assert "The report failed." in page
    assert "column &quot;nope&quot; does not exist\nLINE 5" in page
    assert ReportRun.objects.get().outcome == "error"


def test_a_timeout_is_shown_instead_of_the_result(admin_client, write_report, settings):
    settings.REPORTS_TIMEOUT = 0.2
    write_report("SELECT pg_sleep(30) AS nap")
    page = get_result(admin_client)
    assert "The report took too long." in page
    assert "The limit is 0.2 seconds for this run." in page
    assert ReportRun.objects.get().outcome == "timed out"


def test_a_result_that_fails_an_assertion_is_not_shown(admin_client, write_report):
    write_report("SELECT 1 AS one", header='[[assertions]]\nrows = "> 1"\nmessage = "Too <few>."\n')
    page = get_result(admin_client)
    assert "so it is not shown" in page
    assert "Too &lt;few&gt;." in page
    assert "<table" not in page
    assert ReportRun.objects.get().outcome == "failed assertion"


def test_a_warning_stands_above_the_table(admin_client, write_report):
    write_report("SELECT 1 AS one", header='[[assertions]]\nrows = "> 1"\nmessage = "Too <few>."\nseverity = "warn"\n')
    page = get_result(admin_client)
    assert page.index("Too &lt;few&gt;.") < page.index("<table")


def test_a_report_whose_file_was_removed_is_not_found(admin_client, write_report):
    path = write_report("SELECT 1 AS one").path
    path.unlink()
    assert admin_client.get(RESULT, {"run": str(uuid4())}).status_code == 404


def test_a_new_file_is_a_new_report(admin_client, write_report):
    assert "The fresh" not in text_of(admin_client.get("/admin/analytics/report/"))
    write_report("SELECT %(n)s AS n", "fresh", header='[parameters.n]\ntype = "integer"\ndefault = 7\n')
    url = link_of(text_of(admin_client.get("/admin/analytics/report/")), "The fresh")
    assert 'name="n" value="7"' in text_of(admin_client.get(url))
    assert rows_of(text_of(admin_client.get(url, {"run": "whole", "n": "8"}))) == [["8"]]
    assert admin_client.get(f"{url[:-1]}.csv").getvalue() == b"n\n7\n"
    log = text_of(admin_client.get("/admin/analytics/reportrun/"))
    assert [plain(log).count(words) for words in ("N: 7", "N: 8")] == [1, 1]
    assert PAGE not in url
