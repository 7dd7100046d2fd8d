"""Migrations go both ways."""

import pytest
from django.core.management import call_command
from django.db import connection


@pytest.mark.django_db(transaction=True)
def test_the_tables_of_sales_can_be_taken_back_and_made_again():
    tables = connection.introspection.table_names()

    call_command("migrate", "sales", "zero", verbosity=0)
    without = connection.introspection.table_names()
    call_command("migrate", verbosity=0)

    assert set(tables) - set(without) == {"sales", "feedback_journal", "feedback_daily_total", "feedback_total"}
    assert connection.introspection.table_names() == tables
