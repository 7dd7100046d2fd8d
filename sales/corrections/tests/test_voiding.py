"""A wrong sale leaves `sales` and every figure, once, and its replacement takes its place."""

from decimal import Decimal

import pytest
from django.db import IntegrityError
from django.forms import model_to_dict

from sales.corrections.tests.helpers import CLIENT, SHOP, STAFF, correct, replace, store, void
from sales.ingest.writer import record_sales
from sales.models import EventId, LedgerEntry, Sale, VoidedSale
from sales.tests.helpers import refusing, sale_event
from sales.totals import country_totals, feedback, folding, overview, verification
from sales.totals.feedback import FeedbackQuery
from sales.totals.ledger import Origin
from salesengine.http.errors import AlreadyCorrected, InvalidEvents, SaleNotFound

JANUARY = overview.Period.ending(sale_event()["DATE_PAYMENT"].date(), 7)


def state():
    """Return everything that a correction changes."""
    return [list(model.objects.order_by("pk").values()) for model in (Sale, VoidedSale, LedgerEntry, EventId)]


def errors_of(error_type, *corrections, by=STAFF):
    """Return the pointers and details of the errors, and check that nothing was changed."""
    before = state()
    with pytest.raises(error_type) as caught:
        correct(*corrections, by=by)
    assert state() == before
    return {error["pointer"]: error["detail"] for error in caught.value.errors}


@pytest.mark.django_db
class TestOneSale:
    def test_a_voided_sale_is_kept_as_it_was_with_who_when_and_why(self):
        [sale_id] = store({"BRAND": None, "EVENT_ID": "e-1", "REVENUE": "1.50"})
        was = model_to_dict(Sale.objects.get())

        [voided] = correct(void(ID=sale_id))

        assert not Sale.objects.exists()
        assert model_to_dict(voided, was) == was
        assert (voided.voided_by, voided.reason, voided.replaced_by) == ("user:jo", "test order", None)
        assert voided.voided_at >= voided.received_at

    def test_a_replacement_is_a_new_sale_of_the_same_sender(self):
        [sale_id] = store({"EVENT_ID": "e-1"})

        [voided] = correct(replace({"REVENUE": 5}, EVENT_ID="e-1"), by=CLIENT)

        sale = Sale.objects.get()
        assert (voided.pk, voided.replaced_by) == (sale_id, sale.pk)
        assert (sale.revenue, sale.event_id) == (5, "e-1")
        entries = LedgerEntry.objects.order_by("pk").values_list("sender", "sources", "accepted", "voided")
        assert list(entries) == [("shop", ["r-1"], 1, 0), ("shop", ["r-2"], 0, 1), ("shop", ["r-2"], 1, 0)]

    def test_staff_do_not_become_the_sender_of_a_replacement(self):
        [sale_id] = store({})

        correct(replace({"REVENUE": 5}, ID=sale_id))

        assert list(LedgerEntry.objects.filter(accepted=1).values_list("sender", flat=True)) == ["shop", "shop"]
        assert correct(void(ID=Sale.objects.get().pk), by=CLIENT)

    def test_the_event_id_stays_with_a_voided_sale(self):
        [sale_id] = store({"EVENT_ID": "e-1"})
        correct(void(ID=sale_id))

        again = record_sales([sale_event(EVENT_ID="e-1")], SHOP)

        assert (list(again.ids), again.duplicates) == ([sale_id], {0})
        assert not Sale.objects.exists()

    def test_the_event_id_moves_to_the_replacement(self):
        [sale_id] = store({"EVENT_ID": "e-1"})
        [voided] = correct(replace({"REVENUE": 5}, ID=sale_id))

        wrong, right = (record_sales([sale_event(EVENT_ID="e-1", **each)], SHOP) for each in ({}, {"REVENUE": 5}))

        assert wrong.conflicts == {0}
        assert (list(right.ids), right.duplicates) == ([voided.replaced_by], {0})

    def test_a_replacement_can_be_replaced_and_voided(self):
        store({"EVENT_ID": "e-1"})

        for revenue in (5, 6):
            correct(replace({"REVENUE": revenue}, EVENT_ID="e-1"), by=CLIENT)
        correct(void(EVENT_ID="e-1"), by=CLIENT)

        assert not Sale.objects.exists()
        assert [sale.revenue for sale in VoidedSale.objects.order_by("pk")] == [Decimal("57.27456"), 5, 6]

    def test_senders_may_use_the_same_event_id(self):
        ids = [*store({"EVENT_ID": "e-1"}), *store({"EVENT_ID": "e-1"}, origin=Origin("other"))]

        correct(replace({"REVENUE": 5}, ID=ids[0]), replace({"REVENUE": 6}, ID=ids[1]))

        claims = EventId.objects.values_list("sender", "sale_id")
        assert {sender: Sale.objects.get(pk=sale_id).revenue for sender, sale_id in claims} == {"shop": 5, "other": 6}


@pytest.mark.django_db
class TestErrors:
    def test_an_unknown_sale(self):
        [sale_id] = store({})

        errors = errors_of(SaleNotFound, void(ID=sale_id), void(ID=sale_id + 1), void(EVENT_ID="e-1"))

        assert errors == dict.fromkeys(("/1/ID", "/2/EVENT_ID"), "belongs to no sale that is known")

    def test_a_sale_that_was_voided_before(self):
        ids = store({}, {}, {"EVENT_ID": "e-1"})
        correct(void(ID=ids[0]), replace({"REVENUE": 5}, ID=ids[1]), void(ID=ids[2]))

        errors = errors_of(AlreadyCorrected, void(ID=ids[0]), void(ID=ids[1]))

        assert errors["/0/ID"].startswith(f"belongs to the sale {ids[0]}, which was voided at 20")
        assert errors["/1/ID"].endswith(f"Z and replaced by the sale {Sale.objects.get().pk}")
        assert list(errors_of(AlreadyCorrected, void(EVENT_ID="e-1"), by=CLIENT)) == ["/0/EVENT_ID"]

    def test_a_replacement_by_its_equal(self):
        """So that a retry of a replacement by EVENT_ID does not replace the replacement."""
        store({"EVENT_ID": "e-1"})
        correction = replace({"REVENUE": "5.0"}, EVENT_ID="e-1")
        correct(correction, by=CLIENT)

        errors = errors_of(AlreadyCorrected, correction, by=CLIENT)

        assert errors == {"/0/sale": f"is what the sale {Sale.objects.get().pk} says already"}

    def test_a_sale_that_is_corrected_twice(self):
        [sale_id] = store({"EVENT_ID": "e-1"})

        errors = errors_of(InvalidEvents, void(ID=sale_id), void(EVENT_ID="e-1"), by=CLIENT)

        assert errors == {"/1/EVENT_ID": "belongs to a sale that is corrected twice"}

    def test_a_replacement_with_another_event_id(self):
        ids = store({"EVENT_ID": "e-1"}, {})

        errors = errors_of(InvalidEvents, *(replace({"REVENUE": 5, "EVENT_ID": "e-2"}, ID=each) for each in ids))

        detail = "must be left out, or be that of the sale that is replaced"
        assert errors == dict.fromkeys(("/0/sale/EVENT_ID", "/1/sale/EVENT_ID"), detail)
        assert correct(replace({"REVENUE": 5, "EVENT_ID": "e-1"}, ID=ids[0]))

    @pytest.mark.parametrize("table", ["voided_sale", "ledger"])
    def test_a_correction_that_fails_half_way_changes_nothing(self, table):
        [sale_id] = store({"EVENT_ID": "e-1"})
        before = state()

        with refusing(table, "voided <= 0" if table == "ledger" else "replaced_by IS NULL"):
            with pytest.raises(IntegrityError):
                correct(replace({"REVENUE": 5}, ID=sale_id))
            assert state() == before


@pytest.mark.django_db
class TestOwnSales:
    def test_a_client_can_correct_its_own_sales(self):
        ids = store({}, {"EVENT_ID": "e-1"})

        correct(void(ID=ids[0]), void(EVENT_ID="e-1"), by=CLIENT)

        assert not Sale.objects.exists()

    def test_sales_of_others_do_not_exist_for_a_client(self):
        [sale_id] = store({"EVENT_ID": "e-1"}, origin=Origin("other"))

        errors = errors_of(SaleNotFound, void(ID=sale_id), void(EVENT_ID="e-1"), by=CLIENT)

        assert errors == dict.fromkeys(("/0/ID", "/1/EVENT_ID"), "belongs to no sale that you sent")
        correct(void(ID=sale_id))
        assert list(errors_of(SaleNotFound, void(ID=sale_id), by=CLIENT)) == ["/0/ID"]

    def test_without_its_ledger_entry_a_sale_belongs_to_the_client_that_gave_it_its_event_id(self):
        ids = store({"EVENT_ID": "e-1"}, {})
        LedgerEntry.objects.all().delete()

        assert list(errors_of(SaleNotFound, void(ID=ids[1]), by=CLIENT)) == ["/0/ID"]
        assert correct(void(ID=ids[0]), by=CLIENT)
        assert correct(void(ID=ids[1]))


@pytest.mark.django_db(transaction=True)
class TestFigures:
    @pytest.mark.parametrize("is_folded", [True, False], ids=["folded", "not folded"])
    def test_every_total_is_that_of_the_sales(self, is_folded):
        ids = store(
            {"CATEGORY": "bags", "REVENUE": "0.00000000000000000001"},
            {"CATEGORY": "bags", "REVENUE": "999999999999999.5"},
            {"CATEGORY": None, "DATE_PAYMENT": "2021-01-05", "ID_SELLER_COUNTRY": "7"},
            {"CATEGORY": "shoes", "REVENUE": -3},
        )
        if is_folded:
            folding.fold_all()

        correct(
            void(ID=ids[1]), replace({"CATEGORY": "bags", "REVENUE": 2}, ID=ids[0]), void(ID=ids[2]), void(ID=ids[3])
        )

        for _ in ("before the fold", "after it"):
            [bags] = feedback.top_categories(FeedbackQuery())
            assert (bags.category, bags.sales_count, bags.total_revenue) == ("bags", 1, 2)
            home = overview.category_sales(JANUARY)
            assert home.total(JANUARY) == (1, 2)
            assert home.categories(JANUARY) == ["bags"]
            countries = country_totals.figures_by_country()
            assert {country: figures.sold_count for country, figures in countries.unnamed.items()}["203"] == 1
            assert feedback.watermark().sales == 1
            assert verification.verify() == []
            folding.fold_all()

    def test_a_repair_counts_no_voided_sales(self):
        ids = store({"CATEGORY": "bags"}, {"CATEGORY": "bags"})
        correct(void(ID=ids[0]))

        verification.repair()

        assert verification.verify() == []
        folding.fold_all()
        assert verification.verify() == []
        assert feedback.top_categories(FeedbackQuery())[0].sales_count == 1

    def test_hundreds_of_sales_are_corrected_at_once(self):
        ids = store(*({"ID_ORDER": str(number), "EVENT_ID": f"e-{number}"} for number in range(600)))

        voided = correct(
            *(void(ID=each) for each in ids[:300:-1]), *(replace({"REVENUE": 1}, ID=each) for each in ids[:300])
        )

        assert [sale.pk for sale in voided] == [*ids[:300:-1], *ids[:300]]
        assert Sale.objects.count() == 301
        assert verification.verify() == []
        folding.fold_all()
        assert verification.verify() == []
