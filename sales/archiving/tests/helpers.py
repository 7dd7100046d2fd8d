"""Archive and restore sales for tests."""

from django.core.management import call_command

from sales.models import Sale


def archive(place, before, *options):
    call_command("archive_sales", "--before", before, "--to", str(place), *options)


def restore(place, month):
    call_command("restore_sales", "--from", str(place), month)


def sales_rows():
    """Return all columns of all sales as text, in the order of their ids."""
    names = [field.attname for field in Sale._meta.concrete_fields]
    return [tuple(map(str, row)) for row in Sale.objects.order_by("id").values_list(*names)]
