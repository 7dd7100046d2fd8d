"""A real server: closing the tab ends the query."""

import re
import time
from uuid import uuid4

import httpx
import pytest

from conftest import manage, new_folder, serve

COUNT = """
from django.db import connection
cursor = connection.cursor()
cursor.execute(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
)
print(cursor.fetchone()[0])
"""
OUTCOMES = """
from analytics.models import ReportRun
print([(run.format, run.outcome) for run in ReportRun.objects.all()])
"""


def shell(folder, command):
    return manage(folder, "shell", "--no-imports", "-c", command).strip()


def wait_for(folder, number):
    for _ in range(15):
        if shell(folder, COUNT) == number:
            return
        time.sleep(0.2)
    pytest.fail(f"there are not {number} queries")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["probe/result/", "probe.csv", "probe/"])
def test_a_closed_connection_ends_the_query(tmp_path, path):
    (tmp_path / "probe.sql").write_text('/*\ntitle = "Nap"\ndescription = "Sleeps."\n*/\nSELECT pg_sleep(60) AS nap\n')
    password = "a long password of a test"
    with (
        new_folder() as folder,
        serve(folder, SQL_DIR=str(tmp_path), DJANGO_SUPERUSER_PASSWORD=password) as address,
        httpx.Client(base_url=address) as client,
    ):
        form = re.search('csrfmiddlewaretoken" value="([^"]+)"', client.get("/admin/login/").text)[1]
        answer = client.post(
            "/admin/login/", data={"username": "admin", "password": password, "csrfmiddlewaretoken": form}
        )
        assert answer.status_code == 302
        query = {"run": "whole" if path == "probe/" else str(uuid4())}
        with pytest.raises(httpx.ReadTimeout):
            client.get(f"/admin/analytics/report/{path}", params=query, timeout=4)  # and then it hangs up
        wait_for(folder, "0")
        output = "csv" if path.endswith("csv") else "page"
        assert shell(folder, OUTCOMES) == f"[('{output}', 'cancelled')]"
