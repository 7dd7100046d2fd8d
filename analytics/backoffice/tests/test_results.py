"""The result of a report: its table, its pages, its links, and what is said when there is none."""

import html
import re
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Event
from typing import get_args
from uuid import uuid4

import pytest
from django.db import connection, transaction

from analytics.backoffice.results import money, percent
from analytics.backoffice.tests.pages import PAGE, RESULT, link_of, plain, query_of, rows_of, run_whole
from analytics.definitions.headers import SaleField
from analytics.models import ReportRun
from countries.models import Country
from sales.backoffice.links import LOOKUPS
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from salesengine.tests.clients import allow, text_of

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


def test_the_part_that_the_page_fetches_is_the_same_table(admin_client, write_report):
    write_report("SELECT 'a' AS letter")
    response = admin_client.get(RESULT, {"run": str(uuid4())})
    assert rows_of(text_of(response)) == rows_of(text_of(run_whole(admin_client))) == [["a"]]
    assert response["Report-Result"] == "1"
    assert "<html" not in text_of(response)


def test_a_run_is_logged_with_its_token_and_who_wanted_it(admin_client, write_report):
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


def test_a_token_that_comes_twice_at_the_same_moment_runs_once(admin_client, write_report):
    write_report("SELECT 1 AS one")
    token = str(uuid4())
    begun = Event()

    def begin():
        """Begins a run, so that others can see it half a second later only."""
        try:
            with transaction.atomic():
                ReportRun.objects.create(token=token, report="probe", parameters={})
                begun.set()
                time.sleep(0.5)
        finally:
            connection.close()

    with ThreadPoolExecutor() as threads:
        threads.submit(begin)
        begun.wait()
        response = admin_client.get(RESULT, {"run": token})
    assert (response.status_code, ReportRun.objects.count()) == (409, 1)


def test_a_token_runs_once(admin_client, write_report):
    write_report("SELECT 1 AS one")
    token = str(uuid4())
    get_result(admin_client, run=token)
    assert "This run was begun already." in get_result(admin_client, run=token)
    assert ReportRun.objects.count() == 1


def test_a_result_without_rows_says_so(admin_client, write_report):
    write_report("SELECT 1 AS one WHERE false")
    assert "0 rows." in get_result(admin_client)
    assert ReportRun.objects.get().outcome == "empty"


def test_headings_are_those_of_the_header(admin_client, write_report):
    write_report("SELECT 1 AS one", header='[columns.one]\ntitle = "The <one>"\n')
    assert ">The &lt;one&gt;</a>" in get_result(admin_client)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1234567.5", "1,234,567.50"),
        ("0.1000", "0.10"),
        ("57.27456", "57.27456"),
        ("-1234.00000000000000000001", "-1,234.00000000000000000001"),
        ("5", "5.00"),
        ("1E+3", "1,000.00"),
        ("123456789012345678901234567890.125", "123,456,789,012,345,678,901,234,567,890.125"),
    ],
)
def test_money_has_all_its_decimals_and_two_at_least(value, text):
    assert money(Decimal(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("12.345678", "12.35 %"), ("1234", "1,234.00 %"), ("-0.001", "0.00 %"), ("1" * 40, f"{int('1' * 40):,}.00 %")],
)
def test_percent_has_two_decimals(value, text):
    assert percent(Decimal(value)) == text


def test_columns_have_the_formats_that_the_header_declares(admin_client, write_report):
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
        *("1,234.50", "12.35 %", "<France> (170)", "999", "https://example.com/?a=1&b=2", "javascript:alert(1)")
    ]
    assert '<td class="number" title="12.345678">12.35 %</td>' in page
    assert '<a href="https://example.com/?a=1&amp;b=2" rel="noopener noreferrer">' in page
    assert 'href="javascript' not in page


def test_a_format_that_does_not_fit_leaves_the_value_as_it_is(admin_client, write_report):
    header = '[columns.a]\nformat = "money"\n[columns.b]\nformat = "percent"\n[columns.c]\nformat = "money"\n'
    write_report("SELECT 'text' AS a, 'NaN'::float8 AS b, NULL::numeric AS c", header=header)
    assert rows_of(get_result(admin_client)) == [["text", "NaN", "-"]]


def test_the_chart_of_the_header_is_drawn(admin_client, write_report):
    write_report("SELECT 'a' AS name, 12 AS n", header='[chart]\ntype = "bar"\nx = "name"\ny = ["n"]\n')
    assert '<figure class="svg-chart chart-is-bar">' in get_result(admin_client)


def test_a_chart_of_some_rows_says_of_which(admin_client, write_report):
    header = 'rows = 2\n[chart]\ntype = "bar"\nx = "n"\ny = ["n"]\n'
    write_report("SELECT generate_series(1, 5) AS n", header=header)
    assert "<figcaption>The probe (rows 3 to 4)</figcaption>" in get_result(admin_client, page="2")
    write_report("SELECT generate_series(1, 2) AS n", header=header)
    assert "<figcaption>The probe</figcaption>" in get_result(admin_client)


# Pages and order


def test_a_result_comes_page_by_page(admin_client, write_report):
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


def test_the_last_page_may_be_full(admin_client, write_report):
    write_report("SELECT generate_series(1, 20) AS n", header="rows = 10\n")
    assert "Next page" not in get_result(admin_client, page="2")


def test_the_database_sorts_the_whole_result(admin_client, write_report):
    write_report("SELECT (n * 7) % 25 AS n FROM generate_series(1, 25) AS n", header="rows = 10\n")
    assert rows_of(get_result(admin_client, sort="n"))[:2] == [["0"], ["1"]]
    assert rows_of(get_result(admin_client, sort="-n"))[:2] == [["24"], ["23"]]
    assert rows_of(get_result(admin_client, sort="-n", page="2"))[0] == ["14"]


def test_a_heading_sorts_and_then_the_other_way_round(admin_client, write_report):
    write_report("SELECT 'b' AS letter, 2 AS number", header="rows = 1\n")
    page = get_result(admin_client, page="3")
    assert query_of(link_of(page, "Letter")) == {"run": "1", "sort": "letter"}
    assert query_of(link_of(page, "Number")) == {"run": "1", "sort": "-number"}  # of numbers the largest first
    page = get_result(admin_client, sort="letter")
    assert query_of(link_of(page, "Letter"))["sort"] == "-letter"
    assert '<th scope="col" aria-sort="ascending">' in page
    assert '<input type="hidden" name="sort" value="letter">' in text_of(run_whole(admin_client, sort="letter"))


@pytest.mark.parametrize(
    "sort", ["nope", '"', "n; DROP TABLE country", "1", "-", "--n", "%s", "%(n)s", "\0", "\ud800", "x" * 5000]
)
def test_a_column_that_is_not_there_is_no_failure_of_the_server(admin_client, write_report, sort):
    write_report("SELECT 1 AS n")
    query = sort.encode(errors="surrogatepass")
    response = admin_client.get(RESULT, query_params={"run": str(uuid4()), "sort": query})
    assert response.status_code in (200, 400)


def test_a_name_that_no_column_can_have_runs_nothing(admin_client, write_report):
    write_report("SELECT 1 AS n")
    assert "sort must be the name of a column." in text_of(run_whole(admin_client, sort="n\0"))
    assert not ReportRun.objects.exists()


# The sales behind a number

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
def test_a_number_leads_to_the_sales_that_it_is_of(admin_client, sales_report, query, numbers):
    page = get_result(admin_client, **query)
    addresses = [html.unescape(address) for address in re.findall(r'href="(/admin/sales/sale/[^"]*)"', page)]
    listed = [len(admin_client.get(address).context["cl"].result_list) for address in addresses]
    assert [int(row[2]) for row in rows_of(page)] == listed == numbers


def test_every_field_of_a_sale_that_a_header_may_name_can_be_looked_for():
    assert set(get_args(SaleField)) == set(LOOKUPS)


def test_numbers_lead_nowhere_for_those_who_may_not_see_sales(staff, sales_report):
    allow(staff, "view_report")
    assert "/sales/sale/" not in get_result(staff)
    allow(staff, "view_sale")
    staff.user = type(staff.user).objects.get(pk=staff.user.pk)
    assert "/sales/sale/" in get_result(staff)


# No result


def test_an_error_is_said_in_place(admin_client, write_report):
    write_report("SELECT nope")
    page = get_result(admin_client)
    assert "The report failed." in page
    assert "column &quot;nope&quot; does not exist\nLINE 5" in page
    assert ReportRun.objects.get().outcome == "error"


def test_too_long_a_run_is_said_in_place(admin_client, write_report, settings):
    settings.REPORTS_TIMEOUT = 0.2
    write_report("SELECT pg_sleep(30) AS nap")
    page = get_result(admin_client)
    assert "The report took too long." in page
    assert "This run may take 0.2 seconds" in page
    assert ReportRun.objects.get().outcome == "timed out"


def test_a_result_that_is_not_as_it_must_be_is_not_shown(admin_client, write_report):
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


def test_a_page_that_was_renamed_meanwhile_is_not_there(admin_client, write_report):
    path = write_report("SELECT 1 AS one").path
    path.unlink()
    assert admin_client.get(RESULT, {"run": str(uuid4())}).status_code == 404


def test_a_new_file_is_all_that_a_new_report_takes(admin_client, write_report):
    assert "The fresh" not in text_of(admin_client.get("/admin/analytics/report/"))
    write_report("SELECT %(n)s AS n", "fresh", header='[parameters.n]\ntype = "integer"\ndefault = 7\n')
    address = link_of(text_of(admin_client.get("/admin/analytics/report/")), "The fresh")
    assert 'name="n" value="7"' in text_of(admin_client.get(address))
    assert rows_of(text_of(admin_client.get(address, {"run": "whole", "n": "8"}))) == [["8"]]
    assert admin_client.get(f"{address[:-1]}.csv").getvalue() == b"n\n7\n"
    log = text_of(admin_client.get("/admin/analytics/reportrun/"))
    assert [plain(log).count(words) for words in ("n=7", "n=8")] == [1, 1]
    assert PAGE not in address
