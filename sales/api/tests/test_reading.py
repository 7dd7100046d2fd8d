"""GET /sales and GET /sales/{id_order}: every matching sale once, in order, at the same cost on every page."""

import datetime
import http.client
import json
import re
from decimal import Decimal
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from sales.api import reading
from sales.ingest import writer
from sales.ingest.fields import SaleEvent
from sales.models import Sale
from sales.tests.helpers import sale_event
from salesengine.tests.clients import problem_of

FIRST = datetime.datetime(2021, 1, 7, tzinfo=datetime.UTC)
LAST = FIRST + datetime.timedelta(hours=3)


def store(events):
    """Store the events and return the ids of their sales."""
    return writer.record_sales(events).ids


def get(api, url="/sales", **parameters):
    response = api.get(url, parameters or None)
    assert response.status_code == 200, response.content
    return json.loads(response.content, parse_float=Decimal)


def ids(api, **parameters):
    return [sale["ID"] for sale in get(api, **parameters)["results"]]


def walk(api, between_pages=lambda: None, **parameters):
    """Return the ids on all pages, following `next`."""
    page = get(api, **parameters)
    found = [sale["ID"] for sale in page["results"]]
    while page["next"]:
        assert page["results"]
        between_pages()
        page = get(api, page["next"])
        found += [sale["ID"] for sale in page["results"]]
    return found


def error_of(response, status):
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    return response.json()["detail"]


@pytest.mark.django_db
class TestSales:
    def test_without_sales_the_page_is_empty(self, api):
        assert get(api) == {"results": [], "next": None}

    def test_a_sale_reads_like_the_response_to_its_post(self, api, event):
        posted = api.post("/ingest", event | {"REVENUE": "999999999999999.00000000000000000001"}, format="json")

        content = api.get("/sales").content

        received_at = Sale.objects.get().received_at.isoformat().replace("+00:00", "Z")
        sale = posted.content.strip().removesuffix(b"}") + f',"RECEIVED_AT":"{received_at}"}}'.encode()
        assert content == b'{"results":[' + sale + b'],"next":null}\n'

    def test_a_sale_has_every_field_of_the_event(self):
        assert list(reading.ATTRIBUTES) == ["ID", *SaleEvent.__annotations__, "RECEIVED_AT"]

    def test_the_newest_payment_comes_first_and_then_the_highest_id(self, api):
        days = ["2021-01-08", "2021-01-09", "2021-01-07", "2021-01-09"]
        first, second, third, fourth = store([sale_event(DATE_PAYMENT=day) for day in days])

        assert ids(api) == [fourth, second, first, third]

    @pytest.mark.parametrize(
        "name",
        ["brand", "id_order", "id_product", "id_buyer", "id_seller", "id_seller_country", "id_buyer_country"],
    )
    def test_a_filter_matches_exact_values(self, api, name):
        values = ["Ab", "ab", "A", "Abc", "A b&c/é"]
        stored = store([sale_event(**{name.upper(): value}) for value in values])

        assert [ids(api, **{name: value}) for value in values] == [[sale] for sale in stored]
        assert ids(api, **{name: "unknown"}) == []

    def test_a_category_is_a_filter(self, api):
        _, bags = store([sale_event(CATEGORY="clothing"), sale_event(CATEGORY="bags")])

        assert ids(api, category="bags") == [bags]

    @pytest.mark.parametrize("name", ["category", "brand"])
    def test_an_empty_value_matches_sales_without_one(self, api, name):
        _, without = store([sale_event(), sale_event(**{name.upper(): None})])

        assert ids(api, **{name: ""}) == [without]

    def test_all_filters_must_match(self, api):
        _, _, both = store(
            [
                sale_event(BRAND="A", CATEGORY="bags"),
                sale_event(BRAND="B", CATEGORY="shoes"),
                sale_event(BRAND="A", CATEGORY="shoes"),
            ]
        )

        assert ids(api, brand="A", category="shoes") == [both]

    def test_a_period_includes_both_ends(self, api):
        timestamps = [
            *("2021-01-06T23:59:59.999999", "2021-01-07T00:00:00", "2021-01-07T23:59:59.999999", "2021-01-08T00:00:00"),
        ]
        _, start, end, after = store([sale_event(DATE_PAYMENT=timestamp) for timestamp in timestamps])

        assert ids(api, start_date="2021-01-07", end_date="2021-01-07") == [end, start]
        assert ids(api, start_date="2021-01-07T00:00:00.000001", end_date="2021-01-08T00:00:00") == [after, end]

    def test_a_page_has_the_url_of_the_next_page_with_the_same_query(self, api):
        store([sale_event(BRAND="é & b")] * 3)

        response = api.get("/sales", {"brand": "é & b", "limit": "2"})

        next_page = response.json()["next"]
        assert response["Link"] == f'<{next_page}>; rel="next"'
        url = urlsplit(next_page)
        assert (url.scheme, url.netloc, url.path) == ("http", "testserver", "/sales")
        parameters = parse_qs(url.query)
        assert parameters == {"brand": ["é & b"], "limit": ["2"], "cursor": parameters["cursor"]}

    def test_the_last_page_has_no_next_page(self, api):
        store([sale_event()] * 2)

        response = api.get("/sales", {"limit": "2"})

        assert (len(response.json()["results"]), response.json()["next"]) == (2, None)
        assert "Link" not in response

    def test_a_page_has_100_sales_by_default(self, api):
        store([sale_event()] * 101)

        assert [len(ids(api)), len(ids(api, limit=101)), len(ids(api, limit=1))] == [100, 101, 1]

    def test_the_query_may_change_between_pages(self, api):
        days = ["2021-01-06", "2021-01-07", "2021-01-08", "2021-01-09", "2021-01-10"]
        first, second, third, *_ = store([sale_event(DATE_PAYMENT=day) for day in days])
        cursor = parse_qs(urlsplit(get(api, limit=2)["next"]).query)["cursor"][0]  # after 2021-01-09

        assert ids(api, cursor=cursor) == [third, second, first]
        assert ids(api, cursor=cursor, end_date="2021-01-07") == [second, first]
        assert ids(api, cursor=cursor, end_date="2021-01-08", limit=1) == [third]
        assert ids(api, cursor=cursor, end_date="2021-01-10", start_date="2021-01-07") == [third, second]

    def test_an_invalid_parameter_is_listed(self, api):
        response = api.get("/sales", {"cursor": "abc", "limit": "2"})

        error_of(response, 400)
        assert response.json()["errors"] == [
            {"parameter": "cursor", "detail": "must be the cursor of an earlier response, unchanged"}
        ]

    def test_a_key_is_required(self, api, settings):
        settings.API_KEY_REQUIRED = True

        assert [api.get(url).status_code for url in ("/sales", "/sales/1")] == [401, 401]


@pytest.mark.django_db
class TestTies:
    """5,000 sales with the same timestamp, as from a client that knows only the day of payment."""

    @pytest.fixture
    def stored(self):
        stored = store([sale_event()] * 5_000)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE sales")
        return stored

    def test_each_sale_is_on_one_page(self, api, stored):
        assert walk(api, limit=999) == stored[::-1]

    @pytest.mark.parametrize("period", [{}, {"end_date": "2021-01-07"}])
    def test_a_page_reads_only_its_own_rows(self, api, stored, period):
        next_page = get(api, limit=10, **period)["next"]
        with CaptureQueriesContext(connection) as queries:
            get(api, next_page)

        [statement] = [query["sql"] for query in queries if 'FROM "sales"' in query["sql"]]
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {statement}")
            plan = "\n".join(line for (line,) in cursor)
        assert re.search(r"Index Scan using sales_\w*newest", plan)
        assert "Index Cond: ((ROW(date_payment, id) < ROW(" in plan  # the first condition, so the scan starts there
        assert "Removed by Filter" not in plan
        assert "rows=11" in plan


brands, categories, few_ids = [None, "A", "B"], [None, "bags", "shoes"], ["1", "2"]
timestamps = st.integers(0, 3).map(lambda hours: FIRST + datetime.timedelta(hours=hours))
sales = st.builds(
    sale_event,
    DATE_PAYMENT=timestamps,
    BRAND=st.sampled_from(brands),
    CATEGORY=st.sampled_from(categories),
    ID_ORDER=st.sampled_from(few_ids),
    ID_SELLER_COUNTRY=st.sampled_from(few_ids),
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "brand": st.sampled_from(brands),
        "category": st.sampled_from(categories),
        "id_order": st.sampled_from(few_ids),
        "id_seller_country": st.sampled_from(few_ids),
        "start_date": timestamps,
        "end_date": timestamps,
    },
)


def matches(event, query):
    start, end = (
        query.get("start_date", FIRST),
        query.get("end_date", datetime.datetime.max.replace(tzinfo=FIRST.tzinfo)),
    )
    equal = {name.upper(): value for name, value in query.items() if not name.endswith("_date")}
    return start <= event["DATE_PAYMENT"] <= end and all(event[name] == value for name, value in equal.items())


def as_parameter(value):
    return value.isoformat() if isinstance(value, datetime.datetime) else value or ""


@pytest.mark.django_db
@settings(deadline=None)
@given(
    st.lists(sales, min_size=1, max_size=30),
    filters,
    st.integers(1, 7),
    st.lists(st.lists(sales, min_size=1, max_size=5)),
)
def test_reading_all_pages_finds_each_matching_sale_once_while_sales_are_added(before, query, limit, during):
    if query.get("start_date", FIRST) > query.get("end_date", FIRST + datetime.timedelta(days=1)):
        del query["start_date"]
    parameters = {name: as_parameter(value) for name, value in query.items()}
    with transaction.atomic():
        stored = dict(zip(store(before), before, strict=True))
        old, batches = set(stored), iter(during)

        def add_sales():
            batch = next(batches, [])
            stored.update(zip(store(batch), batch, strict=True))

        found = walk(APIClient(), add_sales, limit=limit, **parameters)
        transaction.set_rollback(True)

    in_order = sorted(stored, key=lambda sale: (stored[sale]["DATE_PAYMENT"], sale), reverse=True)
    matching = [sale for sale in in_order if matches(stored[sale], query)]
    assert found == [sale for sale in matching if sale in set(found)]  # in order, each once
    assert [sale for sale in found if sale in old] == [sale for sale in matching if sale in old]


@pytest.mark.django_db
class TestOrder:
    def test_it_has_no_parameters(self, api):
        problem = problem_of(api.get("/sales/7?cursor=x"), 400, "invalid-request")

        assert problem["errors"] == [{"parameter": "cursor", "detail": "is unknown; there are no parameters"}]

    def test_it_returns_all_lines_oldest_first(self, api):
        days = ["2021-01-08", "2021-01-09", "2021-01-07", "2021-01-08"]
        first, second, third, fourth = store([sale_event(ID_ORDER="7", DATE_PAYMENT=day) for day in days])
        store([sale_event(ID_ORDER="77")])

        order = get(api, "/sales/7")

        assert order["id_order"] == "7"
        assert [line["ID"] for line in order["results"]] == [third, first, fourth, second]
        assert order["results"][0] == get(api, id_order="7")["results"][-1]

    def test_an_unknown_order_is_not_found(self, api):
        store([sale_event(ID_ORDER="7")])

        assert error_of(api.get("/sales/8"), 404) == "No sale has this order id."

    def test_an_order_with_too_many_lines_must_be_read_page_by_page(self, api, monkeypatch):
        monkeypatch.setattr(reading, "MAX_LINES", 3)
        store([sale_event(ID_ORDER="7")] * 3)
        assert len(get(api, "/sales/7")["results"]) == 3

        store([sale_event(ID_ORDER="7")])

        assert "more than 3 lines. Read it page by page" in error_of(api.get("/sales/7"), 400)
        assert len(walk(api, id_order="7", limit=3)) == 4

    def test_an_impossible_id_is_an_error(self, api):
        assert "cannot contain the character NUL" in error_of(api.get("/sales/a%00b"), 400)


@pytest.mark.parametrize(
    "id_order",
    [
        "a/b",
        "/a",
        "a/",
        "//",
        "a b",
        "é",
        "日本😀",
        "100%",
        "a%2Fb",
        "?a=b#c",
        ".",
        "..",
        "../feedback",
        "a\nb",
        "\r\n",
        "+",
        "x" * 64,
    ],
)
def test_an_order_with_any_id_can_be_read(server, event, id_order):
    with_id = json.dumps(event | {"ID_ORDER": id_order})
    client = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    client.request("POST", "/ingest", with_id, {"Content-Type": "application/json"})
    posted = json.loads(client.getresponse().read())

    client.request("GET", f"/sales/{quote(id_order, safe='')}")
    response = client.getresponse()
    order = json.loads(response.read())
    client.close()

    assert (response.status, order["id_order"]) == (200, id_order)
    assert order["results"][-1]["ID"] == posted["ID"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", ["/sales", "/sales/7"])
def test_a_query_that_takes_too_long_is_canceled(api, monkeypatch, url):
    monkeypatch.setattr(reading, "READ_TIMEOUT", 0.1)
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE sales IN ACCESS EXCLUSIVE MODE")
        response = api.get(url)
    finally:
        other.rollback()
        other.close()

    assert "Narrow the query with start_date and end_date" in error_of(response, 503)
    assert "Retry-After" not in response
    assert api.get("/sales").status_code == 200
