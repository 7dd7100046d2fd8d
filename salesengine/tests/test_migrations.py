"""Migrations go both ways."""

import pytest
from django.core.management import call_command
from django.db import connection


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("app", ["sales", "analytics"])
def test_the_tables_can_be_taken_back_and_made_again(app):
    tables = connection.introspection.table_names()

    call_command("migrate", app, "zero", verbosity=0)
    without = connection.introspection.table_names()
    call_command("migrate", verbosity=0)

    assert not {"sales", "feedback_journal"} & set(without) or app == "analytics"
    assert connection.introspection.table_names() == tables
