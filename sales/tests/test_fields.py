"""What is written by hand must name every field of the sale event. The rest is derived from the table of fields."""

import pytest
from django.contrib import admin
from django.db import connection

from sales.backoffice.filters import EXPORTED, LABELS
from sales.ingest.fields import FIELDS, FILTERS, SaleEvent
from sales.ingest.schema import stored_sale
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.partitions.months import INDEXES
from sales.tests.helpers import sale_event
from salesengine.tests.servers import ROOT

SALES_SQL = (ROOT / "sql" / "sales.sql").read_text()
TYPES = {"text": "text", "timestamptz": "timestamp with time zone", "numeric": "numeric"}


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
class TestEveryField:
    def test_the_report_of_all_sales_selects_it(self, field):
        assert f"    sales.{field.column},\n" in SALES_SQL

    def test_the_documentation_describes_it(self, field):
        pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]

        assert f"`{field.name}`" in "".join(page.read_text() for page in pages)

    @pytest.mark.django_db
    def test_its_column_has_its_type_and_accepts_null_unless_it_is_required(self, field):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT data_type, is_nullable FROM information_schema.columns"
                " WHERE table_name = 'sales' AND column_name = %s",
                [field.column],
            )
            [row] = cursor

        assert row == (TYPES[field.column_type], "NO" if field.is_required else "YES")

    @pytest.mark.django_db
    def test_the_page_of_a_sale_shows_it(self, field, admin_client):
        values = {"DATE_PAYMENT": "2031-05-06", "REVENUE": "9876.5", "CATEGORY": "shoes"}
        value = values.get(field.name, f"value of {field.column}")
        [sale_id] = record_sales([sale_event(**{field.name: value})]).ids

        page = admin_client.get(f"/admin/sales/sale/{sale_id}/change/").content.decode()

        assert value in page.replace(",", "")  # amounts have thousands separators


@pytest.mark.parametrize("field", FILTERS.values(), ids=FILTERS)
class TestEveryFilter:
    def test_it_has_an_index(self, field):
        assert any(f"({field.column})" in definition for definition in INDEXES.values())

    def test_the_list_of_sales_has_a_control_for_it(self, field, rf):
        filters = [each for each in admin.site._registry[Sale].list_filter if not isinstance(each, tuple)]
        controls = {name for each in filters for name in each.parameters}
        lookups = {f"{field.lookup}__exact"} | (set() if field.is_required else {f"{field.lookup}__isnull"})

        assert lookups <= controls & EXPORTED.keys() & LABELS.keys()

    def test_the_report_of_all_sales_has_its_parameters(self, field):
        names = [field.model_field.name] if field.is_required else [field.column, f"no_{field.column}"]

        for name in names:
            assert f"[parameters.{name}]\n" in SALES_SQL
            assert f"AND (%({name})s IS" in SALES_SQL


def test_a_stored_sale_lists_its_fields_in_the_order_of_the_table():
    assert list(stored_sale(7, sale_event())) == ["ID", *SaleEvent.__annotations__]
