"""Staff void and replace a sale, and look at the voided ones."""

import re

import pytest
from django.contrib.admin.models import LogEntry

from countries.models import Country
from sales.corrections.tests.helpers import correct, replace, store, void
from sales.corrections.voiding import check_corrections
from sales.ingest.fields import FIELDS
from sales.models import Sale, VoidedSale
from salesengine.tests.clients import allow, staff_client

pytestmark = pytest.mark.django_db

SALES, VOIDED = "/admin/sales/sale/", "/admin/sales/voidedsale/"


@pytest.fixture
def sale():
    store({"BRAND": None, "EVENT_ID": "e-1", "REVENUE": "57.20"})
    return Sale.objects.get()


@pytest.fixture
def staff():
    return staff_client("sales.view_sale", "sales.correct_sale", name="ann")


def form_of(client, sale):
    """Return the fields of the form as the page of a sale fills them in."""
    response = client.get(f"{SALES}{sale.pk}/correct/")
    assert response.status_code == 200
    return {name: response.context["form"].initial.get(name, "") for name in response.context["form"].fields}


def send(client, sale, **fields):
    return client.post(f"{SALES}{sale.pk}/correct/", {**form_of(client, sale), "reason": "wrong price", **fields})


def text_of(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


class TestTheForm:
    def test_the_page_of_a_sale_leads_to_it_for_those_who_may_correct(self, staff, sale):
        viewer = staff_client("sales.view_sale", name="joe")
        pages = [client.get(f"{SALES}{sale.pk}/change/").content.decode() for client in (staff, viewer)]

        assert [f'href="{SALES}{sale.pk}/correct/"' in page for page in pages] == [True, False]

    def test_it_has_every_field_as_it_is_but_the_event_id(self, staff, sale):
        fields = form_of(staff, sale)

        assert set(FIELDS) - fields.keys() == {"EVENT_ID"}
        assert (fields["DATE_PAYMENT"], fields["REVENUE"]) == ("2021-01-07T00:09:24Z", "57.20")
        assert (fields["BRAND"], fields["CATEGORY"], fields["reason"]) == ("", "clothing", "")

    @pytest.mark.parametrize(
        ("fields", "name", "message"),
        [
            ({}, "action", "Choose one."),
            ({"action": "void", "reason": " "}, "reason", "Say why the sale is wrong."),
            ({"action": "void", "reason": "a\0"}, "reason", "Null characters are not allowed."),
            ({"action": "replace", "REVENUE": "much"}, "REVENUE", "Must be a number, such as 57.27456."),
            ({"action": "replace", "ID_ORDER": ""}, "ID_ORDER", "Must not be empty."),
            ({"action": "replace", "DATE_PAYMENT": "9999-01-01"}, "DATE_PAYMENT", "Must be in the accepted period"),
            ({"action": "replace", "CATEGORY": "toys"}, "CATEGORY", "Must be null or one of"),
            ({"action": "replace", "REVENUE": "57.2"}, "__all__", "Nothing was changed."),
        ],
    )
    def test_errors_are_shown_beside_their_fields(self, staff, sale, fields, name, message):
        response = send(staff, sale, _confirm="1", **{"action": ""} | fields)

        assert response.status_code == 200
        [shown] = response.context["form"].errors[name]
        assert shown.startswith(message)
        assert Sale.objects.get() == sale

    def test_nothing_happens_before_it_is_confirmed(self, staff, sale):
        response = send(staff, sale, action="replace", REVENUE="75.20", BRAND="Prada")

        assert "Revenue 57.20 75.20" in text_of(response)
        assert "Brand empty Prada" in text_of(response)
        assert "order" not in [change.label for change in response.context["form"].changes]
        assert Sale.objects.get() == sale

    def test_old_and_new_values_are_written_alike(self, staff, sale):
        typed = {"DATE_PAYMENT": "2021-01-08T10:00+05:00", "REVENUE": "1e5"}

        summary = text_of(send(staff, sale, action="replace", **typed))
        send(staff, sale, action="replace", _confirm="1", **typed)

        assert "Paid at (UTC) 2021-01-07 00:09:24 2021-01-08 05:00:00" in summary
        assert "Revenue 57.20 100,000" in summary
        message = LogEntry.objects.get().change_message
        assert "paid at (UTC): “2021-01-07 00:09:24” → “2021-01-08 05:00:00”; revenue: “57.20” → “100,000”" in message

    def test_what_is_equal_in_another_format_is_no_change(self, staff, sale):
        response = send(staff, sale, action="replace", DATE_PAYMENT="2021-01-07 00:09:24", BRAND="Prada")

        assert [change.label for change in response.context["form"].changes] == ["brand"]

    def test_a_brand_named_empty_does_not_look_empty(self, staff, sale):
        response = send(staff, sale, action="replace", BRAND="empty")

        assert '<em class="help">empty</em></td><td><ins>empty</ins>' in response.content.decode()

    def test_a_small_revenue_has_no_exponent(self, staff):
        store({"REVENUE": "0.00000001"})

        assert form_of(staff, Sale.objects.get())["REVENUE"] == "0.00000001"

    def test_back_shows_the_form_with_what_was_typed(self, staff, sale):
        response = send(staff, sale, action="replace", REVENUE="75.20", _back="1")

        assert 'name="REVENUE" value="75.20"' in response.content.decode()
        assert not response.context["is_checked"]


class TestCountries:
    @pytest.fixture(autouse=True)
    def countries(self):
        Country.objects.create(pk="170", country_name="France")
        Country.objects.create(pk="512", country_name="Japan")

    def options(self, client, sale, name):
        return dict(client.get(f"{SALES}{sale.pk}/correct/").context["form"].fields[name].choices)

    def test_staff_choose_from_the_known_countries(self, staff, sale):
        assert self.options(staff, sale, "ID_BUYER_COUNTRY") == {"170": "France (170)", "512": "Japan (512)"}

    def test_an_unknown_country_can_be_kept(self, staff, sale):
        assert self.options(staff, sale, "ID_SELLER_COUNTRY")["203"] == "unknown country 203"

        send(staff, sale, action="replace", REVENUE="75.20", _confirm="1")

        assert Sale.objects.get().seller_country_id == "203"

    def test_another_text_is_refused(self, staff, sale):
        response = send(staff, sale, action="replace", ID_BUYER_COUNTRY="France", _confirm="1")

        [error] = response.context["form"].errors["ID_BUYER_COUNTRY"]
        assert error.startswith("Select a valid choice.")
        assert Sale.objects.get() == sale

    def test_the_summary_and_the_audit_log_name_them(self, staff, sale):
        countries = {"ID_BUYER_COUNTRY": "512", "ID_SELLER_COUNTRY": "170"}

        summary = text_of(send(staff, sale, action="replace", **countries))
        send(staff, sale, action="replace", _confirm="1", **countries)

        assert "Buyer country France (170) Japan (512)" in summary
        assert "Seller country unknown country 203 France (170)" in summary
        assert "buyer country: “France (170)” → “Japan (512)”" in LogEntry.objects.get().change_message

    def test_without_any_known_countries_an_id_is_typed(self, staff, sale):
        Country.objects.all().delete()

        send(staff, sale, action="replace", ID_BUYER_COUNTRY="512", _confirm="1")

        assert Sale.objects.get().buyer_country_id == "512"


class TestCorrecting:
    def test_a_voided_sale_is_shown_with_who_when_and_why(self, staff, sale):
        response = send(staff, sale, action="void", _confirm="1")

        assert response.url == f"{VOIDED}{sale.pk}/change/"
        voided = VoidedSale.objects.get()
        assert (voided.pk, voided.voided_by, voided.reason) == (sale.pk, "user:ann", "wrong price")
        page = text_of(staff.get(response.url))
        assert "The sale was voided." in page
        for shown in ("Voided by ann (staff) ", "wrong price", "57.20", "e-1"):
            assert shown in page

    def test_a_replacement_is_shown(self, staff, sale):
        response = send(staff, sale, action="replace", REVENUE="75.20", _confirm="1")

        new = Sale.objects.get()
        assert (str(new.revenue), new.brand, new.category, new.event_id) == ("75.20", None, "clothing", "e-1")
        assert new.date_payment == sale.date_payment
        assert response.url == f"{SALES}{new.pk}/change/"
        assert f"This sale takes the place of the sale {sale.pk}." in text_of(staff.get(response.url))

    def test_spaces_around_typed_text_are_removed(self, staff, sale):
        typed = {"ID_ORDER": " ORD-300\t", "BRAND": " ", "REVENUE": " 75.20 ", "DATE_PAYMENT": "2021-01-08 "}

        send(staff, sale, action="replace", _confirm="1", **typed)

        new = Sale.objects.get()
        assert (new.id_order, new.brand, str(new.revenue)) == ("ORD-300", None, "75.20")

    def test_spaces_that_the_sender_sent_stay(self, staff):
        store({"ID_ORDER": " ORD-300 ", "BRAND": " "})

        send(staff, Sale.objects.get(), action="replace", REVENUE="75.20", _confirm="1")

        new = Sale.objects.get()
        assert (new.id_order, new.brand) == (" ORD-300 ", " ")

    def test_a_replacement_and_the_sale_that_it_replaced_link_to_each_other(self, staff, sale):
        send(staff, sale, action="replace", REVENUE="75.20", _confirm="1")
        second = Sale.objects.get()
        send(staff, second, action="replace", REVENUE="75.30", _confirm="1")

        first_page, second_page = (staff.get(f"{VOIDED}{each.pk}/change/") for each in (sale, second))
        third_page = staff.get(f"{SALES}{Sale.objects.get().pk}/change/")

        assert f'<a href="{SALES}{second.pk}/change/">{second.pk}</a>' in first_page.content.decode()
        assert f'<a href="{VOIDED}{sale.pk}/change/">{sale.pk}</a>' in second_page.content.decode()
        assert f'<a href="{VOIDED}{second.pk}/change/">{second.pk}</a>' in third_page.content.decode()
        assert ["Replaces" in text_of(page) for page in (first_page, second_page, third_page)] == [False, True, True]

    def test_the_audit_log_has_the_changes_and_the_reason(self, staff, sale):
        send(staff, sale, action="replace", REVENUE="75.20", _confirm="1")

        entry, new = LogEntry.objects.get(), Sale.objects.get()
        assert entry.change_message == f"Replaced by the sale {new.pk}: revenue: “57.20” → “75.20”. Reason: wrong price"
        assert entry.get_admin_url() == f"{VOIDED}{sale.pk}/change/"
        send(staff, new, action="void", _confirm="1")
        assert LogEntry.objects.latest("pk").change_message == "Voided. Reason: wrong price"

    def test_a_second_click_leads_to_the_voided_sale(self, staff, sale):
        form = form_of(staff, sale) | {"action": "void", "reason": "twice", "_confirm": "1"}
        for _ in range(2):
            response = staff.post(f"{SALES}{sale.pk}/correct/", form, follow=True)

        assert f"The sale {sale.pk} was voided." in text_of(response)
        assert LogEntry.objects.count() == 1

    @pytest.mark.parametrize("confirm", [{}, {"_confirm": "1"}])
    def test_somebody_who_is_slower_is_led_to_the_voided_sale(self, staff, sale, confirm, monkeypatch):
        form = form_of(staff, sale) | {"action": "replace", "REVENUE": "1", "reason": "price"} | confirm

        def check_late(*arguments):
            correct(void(ID=sale.pk))
            return check_corrections(*arguments)

        monkeypatch.setattr("sales.backoffice.corrections.check_corrections", check_late)
        response = staff.post(f"{SALES}{sale.pk}/correct/", form, follow=True)

        assert f"The sale {sale.pk} was voided." in text_of(response)

    @pytest.mark.parametrize("may", [(), ("sales.view_sale",), ("sales.correct_sale",)])
    def test_it_needs_the_permission_to_see_sales_and_to_correct_them(self, staff, sale, may):
        other = staff_client(*may, name="joe")
        form = form_of(staff, sale) | {"action": "void", "reason": "twice", "_confirm": "1"}

        assert other.post(f"{SALES}{sale.pk}/correct/", form).status_code == 403
        assert Sale.objects.exists()

    @pytest.mark.parametrize("unknown", ["99", "x", "9" * 30, "9" * 5_000, "%00"])
    def test_an_unknown_sale_leads_back(self, staff, unknown):
        for page in ("correct", "change"):
            assert staff.get(f"{SALES}{unknown}/{page}/").status_code == 302


class TestVoidedSales:
    @pytest.fixture
    def voided(self):
        Country.objects.create(pk="170", country_name="France")
        ids = store({"ID_ORDER": "7"}, {"ID_ORDER": "8"}, {"ID_ORDER": "8"})
        correct(void(ID=ids[0]))
        return [*correct(replace({"ID_ORDER": "9"}, ID=ids[1])), ids]

    def found(self, client, **query):
        return [sale.id_order for sale in client.get(VOIDED, query).context["cl"].result_list]

    def test_the_list_has_who_when_why_and_the_replacement(self, admin_client, voided):
        page = admin_client.get(VOIDED)

        assert self.found(admin_client) == ["8", "7"]
        assert "wrong price" in text_of(page)
        assert " jo " in text_of(page)
        assert f'href="{SALES}{voided[0].replaced_by}/change/"' in page.content.decode()

    def test_it_is_found_by_order_or_id(self, admin_client, voided):
        ids = voided[1]
        assert self.found(admin_client, q="8") == ["8"]
        assert self.found(admin_client, q=str(ids[0])) == ["7"]
        assert self.found(admin_client, q=str(ids[2]) + "0") == []
        assert self.found(admin_client, q="9" * 5_000) == []

    def test_it_is_found_by_day(self, admin_client, voided):
        assert self.found(admin_client, voided_at_from="2021-01-01") == ["8", "7"]
        assert self.found(admin_client, voided_at_to="2021-01-01") == []

    def test_nobody_can_change_it(self, admin_client, voided):
        page = f"{VOIDED}{voided[0].pk}/"

        assert admin_client.post(f"{page}change/", {"reason": "other"}).status_code == 403
        assert admin_client.get(f"{page}delete/").status_code == 403
        assert admin_client.get(f"{VOIDED}add/").status_code == 403

    def test_everybody_who_may_see_sales_may_see_it(self, voided):
        client = staff_client(name="joe")
        assert client.get(VOIDED).status_code == 403
        assert VOIDED not in client.get("/admin/").content.decode()

        allow(client, "sales.view_sale")

        assert client.get(VOIDED).status_code == 200
        assert VOIDED in client.get("/admin/").content.decode()

    def test_its_page_names_the_countries(self, admin_client, voided):
        page = text_of(admin_client.get(f"{VOIDED}{voided[0].pk}/change/"))

        assert "9666775 (France)" in page
        assert "6723223 (203)" in page
