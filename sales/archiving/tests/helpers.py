"""Archive and restore sales for tests."""

import datetime

from django.core.management import call_command

from sales.models import Sale
from sales.partitions import making
from sales.partitions.tests.helpers import drop_months


def make_only(*days):
    """Let the months of these days have partitions of their own, and no others."""
    drop_months()
    making._known = frozenset()
    making.make_months([datetime.date.fromisoformat(day) for day in days], patient=True)


def archive(place, before, *options):
    call_command("archive_sales", "--before", before, "--to", str(place), *options)


def restore(place, month):
    call_command("restore_sales", "--from", str(place), month)


def sales_rows():
    """Return all columns of all sales as text, in the order of their ids."""
    names = [field.attname for field in Sale._meta.concrete_fields]
    return [tuple(map(str, row)) for row in Sale.objects.order_by("id").values_list(*names)]
