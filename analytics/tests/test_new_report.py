"""One new file is enough for a new report."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from analytics.backoffice.tests.pages import LIST, LOG
from analytics.models import ReportRun
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from salesengine.tests.clients import rows_of, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

FILE = """/*
title = "Sales of a brand"
topic = "Dropped in"
description = "The number of sales of a brand."

[parameters.brand]
type = "text"
required = true

[chart]
type = "bar"
x = "brand"
y = ["sales"]

[[assertions]]
rows = "<= 1"
*/
SELECT brand, COUNT(*) AS sales
FROM sales
WHERE brand = %(brand)s
GROUP BY brand
"""


def test_a_file_gets_a_page_a_download_an_api_a_command_and_a_log(admin_client, sql_dir):
    record_sales([sale_event(BRAND="Dsquared2"), sale_event(BRAND="Dsquared2"), sale_event(BRAND="Other")])
    (sql_dir / "brand_sales.sql").write_text(FILE)

    call_command("check")
    listed = text_of(admin_client.get(LIST))
    assert "Dropped in" in listed
    assert "Sales of a brand" in listed
    page = text_of(admin_client.get(f"{LIST}brand_sales/", {"run": "whole", "brand": "Dsquared2"}))
    assert 'name="brand"' in page
    assert "<canvas" in page
    assert rows_of(page) == [["Dsquared2", "2"]]
    download = admin_client.get(f"{LIST}brand_sales.csv", {"brand": "Dsquared2"})
    assert b"".join(download) == b"brand,sales\nDsquared2,2\n"
    download.close()

    api = APIClient()
    (described,) = api.get("/reports").json()
    assert (described["name"], described["parameters"][0]["name"]) == ("brand_sales", "brand")
    response = api.get("/reports/brand_sales", {"brand": "Other"})
    assert json.loads(b"".join(response)) == [{"brand": "Other", "sales": 1}]
    response.close()
    assert "/reports/brand_sales" in api.get("/openapi.json").json()["paths"]

    out = StringIO()
    call_command("run_report", "brand_sales", "--param", "brand=Nobody", "--format", "csv", stdout=out)
    assert out.getvalue() == "brand,sales\n"

    runs = ReportRun.objects.order_by("id").values_list("channel", "format", "parameters__brand", "rows", "outcome")
    assert list(runs) == [
        ("admin", "page", "Dsquared2", 1, "ok"),
        ("admin", "csv", "Dsquared2", 1, "ok"),
        ("api", "json", "Other", 1, "ok"),
        ("command", "csv", "Nobody", 0, "empty"),
    ]
    assert text_of(admin_client.get(LOG)).count("Sales of a brand") >= 4
