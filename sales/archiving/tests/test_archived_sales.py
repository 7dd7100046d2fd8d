"""What readers see of archived sales: exact totals, plain refusals, and no error 500."""

import json

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.exceptions import IrreversibleError
from django.urls import reverse

from sales.archiving.tests.helpers import archive, make_only, restore
from sales.backoffice import sale_search
from sales.backoffice.links import trader_url
from sales.changes import feed
from sales.changes.export import open_export
from sales.changes.feed import ChangesQuery
from sales.corrections.tests.helpers import correct
from sales.corrections.tests.test_api import client_of
from sales.ingest.writer import record_sales
from sales.models import ArchivedMonth, LedgerEntry, Sale
from sales.partitions.months import Month
from sales.tests.helpers import sale_event
from sales.totals import verification
from sales.totals.archives import archived_sentence
from sales.totals.ledger import Origin
from sales.totals.tests.helpers import void
from salesengine.accounts.models import Scope
from salesengine.http.errors import PositionPurged, SalesArchived
from salesengine.tests.clients import problem_of

pytestmark = pytest.mark.django_db(transaction=True)
SHOP = Origin("shop", "r-1")
# The sales of January move to the archive, apart from one that was voided before.
EVENTS = [
    {"DATE_PAYMENT": "2021-01-07T12:00", "EVENT_ID": "e-1", "CATEGORY": "bags", "REVENUE": 3},
    {"DATE_PAYMENT": "2021-02-07", "EVENT_ID": "e-2", "CATEGORY": "bags", "REVENUE": 5},
    {"DATE_PAYMENT": "2021-01-08", "CATEGORY": "shoes", "REVENUE": 7},
    {"DATE_PAYMENT": "2021-01-09", "CATEGORY": "shoes", "REVENUE": 11},
]


@pytest.fixture
def ids(tmp_path):
    """Sell in January and February, void one sale, and archive January. Returns the ids of the four sales."""
    make_only("2021-01-01", "2021-02-01")
    ids = record_sales([sale_event(**event) for event in EVENTS], SHOP).ids
    void(ids[3])
    archive(tmp_path, "2021-02")
    return ids


def changes(after=0, limit=1_000):
    page = feed.read_page(ChangesQuery(after, limit), ",")
    return [(change["position"], change["kind"], change["ID"]) for change in json.loads(f"[{page.lines}]")]


def test_feedback_counts_archived_sales_in_whole_days(api, ids):
    assert api.get("/feedback", {"start_date": "2021-01-07", "end_date": "2021-02-07"}).json() == [
        {"category": "bags", "sales_count": 2, "total_revenue": 8},
        {"category": "shoes", "sales_count": 1, "total_revenue": 7},
    ]


@pytest.mark.parametrize(
    "period",
    [
        {"start_date": "2021-01-07T13:00"},
        {"end_date": "2021-01-07T13:00"},
        {"end_date": "2021-01-07T13:00", "category": "bags"},
        {"start_date": "2021-01-31T01:00", "end_date": "2021-01-31T02:00"},
    ],
)
def test_feedback_of_a_part_of_an_archived_day_is_refused(api, ids, period):
    response = api.get("/feedback", period)

    assert (response.status_code, response.json()["type"]) == (409, "/docs/problems#sales-archived")
    assert response.json()["detail"].startswith(
        "Sales paid in 2021-01 are archived, so only whole days can be counted."
    )
    assert [error["parameter"] for error in response.json()["errors"]] == [
        name for name in period if name.endswith("_date")
    ]


def test_feedback_of_a_part_of_another_day_is_exact(api, ids):
    period = {"start_date": "2021-01-07", "end_date": "2021-02-07T13:00"}

    assert api.get("/feedback", period).json()[0] == {"category": "bags", "sales_count": 2, "total_revenue": 8}


def test_lists_of_sales_pass_over_archived_sales(api, ids):
    assert [sale["ID"] for sale in api.get("/sales").json()["results"]] == [ids[1]]
    assert api.get("/sales/34033734").json()["results"][0]["ID"] == ids[1]


def test_an_unknown_order_may_be_in_an_archive(api, ids):
    assert api.get("/sales/nothing").json()["detail"] == "No sale outside the archives has this order id."
    ArchivedMonth.objects.all().delete()
    assert api.get("/sales/nothing").json()["detail"] == "No sale has this order id."


@pytest.mark.parametrize("which", ["ID", "EVENT_ID"])
def test_a_correction_of_an_archived_sale_says_how_to_bring_it_back(ids, which, tmp_path):
    correction = {"action": "void", "reason": "test", which: ids[0] if which == "ID" else "e-1"}
    shop = client_of("shop", Scope.CORRECT)

    response = shop.post("/corrections", [correction], format="json")

    errors = problem_of(response, 409, "sales-archived")["errors"]
    detail = "belongs to a sale that is archived. manage.py restore_sales brings 2021-01 back"
    assert errors == [{"pointer": f"/0/{which}", "detail": detail}]
    restore(tmp_path, "2021-01")
    assert shop.post("/corrections", [correction], format="json").status_code == 200
    assert verification.verify() == []


def test_clients_do_not_learn_which_sales_of_others_are_archived(ids):
    correction = {"action": "void", "reason": "test", "ID": ids[0]}

    response = client_of("other", Scope.CORRECT).post("/corrections", correction, format="json")

    problem_of(response, 404, "sale-not-found")


def test_staff_learn_of_every_archived_sale(ids):
    LedgerEntry.objects.all().delete()  # as if they were purged
    with pytest.raises(SalesArchived):
        correct({"action": "void", "reason": "test", "ID": ids[0]})


def test_an_event_that_is_sent_again_is_still_a_duplicate(ids):
    again = record_sales([sale_event(**EVENTS[0])], SHOP)

    assert (again.accepted, again.ids) == (0, [ids[0]])


def test_followers_see_each_position_once(ids, tmp_path):
    kinds = ["archived", "sale", "archived", "sale", "void"]
    expected = list(zip(range(1, 6), kinds, [*ids, ids[3]], strict=True))

    assert changes() == expected
    assert changes(1, 2) == expected[1:3]
    restore(tmp_path, "2021-01")
    assert [kind for _, kind, _ in changes()] == ["sale"] * 4 + ["void"]


def test_sales_that_are_missing_and_not_archived_are_still_an_error(ids):
    Sale.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE archived_month SET first_id = %s", [ids[1] + 1])

    with pytest.raises(RuntimeError, match="There are"):
        changes()


def test_purged_positions_are_still_purged(ids):
    LedgerEntry.objects.order_by("position").first().delete()

    with pytest.raises(PositionPurged):
        changes()


def test_an_export_has_the_ids_of_archived_sales(ids, tmp_path, capsys):
    (tmp_path / "position").write_text("0")

    call_command("export_sales", "--since", str(tmp_path / "position"), "--to", str(tmp_path))

    assert "Wrote 2 sales and 1 void, and the ids of 2 archived sales" in capsys.readouterr().err
    manifest = json.loads(next(tmp_path.glob("*.manifest.json")).read_text())
    assert [manifest[name] for name in ("sales", "voids", "archived", "revenue")] == [2, 1, 2, 5]


def test_an_export_of_all_sales_does_not_count_archived_sales(ids):
    with open_export(None) as export:
        assert export.count == len(list(export.rows)) == 1


def test_the_page_of_an_archived_sale_says_so(admin_client, ids):
    response = admin_client.get(reverse("admin:sales_sale_change", args=[ids[0]]), follow=True)

    assert f"The sale {ids[0]} is archived. manage.py restore_sales brings 2021-01 back." in response.text


def test_the_list_of_sales_says_which_months_are_archived(admin_client, ids):
    url = reverse("admin:sales_sale_changelist")
    note = "Sales paid in 2021-01 are archived. The list and its exports do not contain them"

    assert f"{note}, but the figures count them." in admin_client.get(url).text
    assert f"{note}." in admin_client.get(url, {"id_buyer__exact": "9666775"}).text
    assert "archived" not in admin_client.get(url, {"date_payment_from": "2021-02-01"}).text


def test_a_list_whose_sales_are_all_archived_says_so(admin_client, ids):
    url = reverse("admin:sales_sale_changelist")
    january = {"date_payment_from": "2021-01-01", "date_payment_to": "2021-01-31"}

    page = admin_client.get(url, january).text

    assert "All of these sales are archived" in page
    assert "No sales found" not in page
    assert "Nothing matches" not in page


def test_a_page_after_the_last_is_not_called_archived(admin_client, ids):
    page = admin_client.get(reverse("admin:sales_sale_changelist"), {"p": "2"}).text

    assert "The list has no such page." in page
    assert "All of these sales are archived" not in page


def test_a_list_without_matches_says_whether_archived_sales_were_searched(admin_client, ids):
    url = reverse("admin:sales_sale_changelist")
    not_searched = "Archived sales were not searched."

    # The totals of this category also count archived sales, so nothing was left out.
    assert "No sales found" in (by_category := admin_client.get(url, {"category__exact": "boys"}).text)
    assert not_searched not in by_category
    assert "No sales found" in (by_buyer := admin_client.get(url, {"id_buyer__exact": "nobody"}).text)
    assert not_searched in by_buyer
    later = {"id_buyer__exact": "nobody", "date_payment_from": "2021-02-01"}
    assert not_searched not in admin_client.get(url, later).text


def test_the_list_of_sales_counts_its_pages_without_archived_sales(admin_client, ids, monkeypatch):
    monkeypatch.setattr("sales.backoffice.sales.SaleAdmin.list_per_page", 1)
    monkeypatch.setattr("sales.backoffice.sale_list.LAST_PAGE", 1)
    listed = admin_client.get(reverse("admin:sales_sale_changelist")).context["cl"]

    assert (listed.count, len(listed.result_list)) == (3, 1)
    assert (listed.knows_last_page, listed.is_limited) == (False, False)


def test_a_search_of_the_oldest_sales_passes_over_archived_months(ids, monkeypatch):
    monkeypatch.setattr(sale_search, "SCAN_LIMIT", 1)
    monkeypatch.setattr(sale_search, "_plan", lambda query: sale_search.Plan(1_000_000, 1_000_000, has_index=False))
    page = sale_search.find_page(Sale.objects.filter(category="bags"), Sale.objects.all(), size=5, newest_first=False)

    assert [key.id for key in page.keys] == [ids[1]]


def test_the_page_of_a_buyer_says_which_months_it_does_not_count(admin_client, ids):
    page = admin_client.get(trader_url("buyer", "9666775")).text

    assert "Sales paid in 2021-01 are archived. This page does not count them." in page


@pytest.mark.parametrize("side", ["buyer", "seller"])
def test_a_trader_without_a_page_may_be_in_an_archive(admin_client, ids, side):
    response = admin_client.get(trader_url(side, "<a>"), follow=True)

    assert response.status_code == 200
    assert f"The {side} &lt;a&gt; has no sales outside the archives." in response.text
    assert "Sales paid in 2021-01 are archived." in response.text
    assert admin_client.get(f"/admin/sales/{side}/%00/").status_code == 404
    ArchivedMonth.objects.all().delete()
    assert admin_client.get(trader_url(side, "<a>")).status_code == 404


def test_months_that_follow_each_other_are_named_together():
    months = [Month(2020, 11), Month(2020, 12), Month(2021, 1), Month(2021, 3), Month(2021, 5)]

    assert archived_sentence(months) == "Sales paid in 2020-11 to 2021-01, 2021-03 and 2021-05 are archived"


def test_verification_finds_a_wrong_figure_of_an_archived_month_and_repairs_it(ids):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE feedback_daily_total SET revenue = 4 WHERE day = '2021-01-07'")
        cursor.execute("UPDATE country_daily_total SET revenue = 4 WHERE day = '2021-01-08'")

    names = [difference.name for difference in verification.verify()]
    verification.repair()

    assert names == ["bags, 2021-01-07", "country 203 to 170, 2021-01-08"]
    assert verification.verify() == []


def test_the_records_of_archives_are_not_dropped_while_there_are_any(ids):
    with pytest.raises(IrreversibleError, match="Bring them back with restore_sales first"):
        call_command("migrate", "sales", "0021_partition_sales", verbosity=0)

    assert ArchivedMonth.objects.exists()
    call_command("migrate", verbosity=0)
