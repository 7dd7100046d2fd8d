"""A new nullable field of the sale event is a model field, a migration and one line in the table of fields."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from salesengine.tests.servers import ROOT, new_folder

pytestmark = pytest.mark.slow

OLD = '{"EVENT_ID": "old", "REVENUE": 0}'
SEND_OLD = f"""
import json
from rest_framework.test import APIClient
from sales.ingest.schema import EXAMPLE

api = APIClient(SERVER_NAME="127.0.0.1")
status = api.post("/ingest", EXAMPLE | {OLD}, format="json").status_code
print(json.dumps({{"old": status}}))
"""
USE_FIELD = f"""
import json
from django.core.management import call_command
from rest_framework.test import APIClient
from sales.ingest.schema import EXAMPLE

api = APIClient(SERVER_NAME="127.0.0.1")
event = EXAMPLE | {{"ID_ORDER": "with note"}}


def send(body):
    return api.post("/ingest", body, format="json")


results = {{
    "old": send(EXAMPLE | {OLD}).status_code,
    "posted": send(event | {{"GIFT_NOTE": "single"}}).json(),
    "counts": send([event | {{"GIFT_NOTE": f"list {{number}}"}} for number in range(300)]).json(),
    "duplicate": [send(event | {{"EVENT_ID": "7", "GIFT_NOTE": note}}).status_code for note in ("a", "a", "b")],
    "invalid": send(event | {{"GIFT_NOTE": ""}}).json()["errors"],
}}
with open("gifts.csv", "w") as file:
    names = ",".join([*event, "gift_note"])
    print(names, ",".join([*event.values(), "from a file"]), ",".join([*event.values(), ""]), sep="\\n", file=file)
call_command("import_sales", "gifts.csv", sender="files")
results["read"] = [sale["GIFT_NOTE"] for sale in api.get("/sales?limit=1000&id_order=with+note").json()["results"]]
results["last keys"] = list(api.get("/sales?limit=1").json()["results"][0])[-3:]
schemas = api.get("/openapi.json").json()
results["documented"] = "GIFT_NOTE" in json.dumps(schemas["components"])
print(json.dumps(results))
"""


@pytest.fixture
def scratch(tmp_path):
    """A copy of the project, with a function that runs Python in it on a database of its own."""
    copy = tmp_path / "project"
    ignored = shutil.ignore_patterns(".*")
    shutil.copytree(ROOT, copy, ignore=ignored)
    with new_folder() as folder:

        def run(*command, check=True):
            environment = os.environ | {"LOCAL_DIR": str(folder), "ENV_FILE": os.devnull}
            return subprocess.run(
                [sys.executable, *command], cwd=copy, env=environment, check=check, capture_output=True, text=True
            ).stdout

        yield copy, run


def insert_after(file, line, new):
    text = file.read_text()
    assert text.count(line) == 1, line
    file.write_text(text.replace(line, f"{line}{new}"))


def run_shell(run, code):
    return json.loads(run("manage.py", "shell", "-v0", "-c", code).splitlines()[-1])


def test_a_new_nullable_field_is_one_line_in_the_table(scratch):
    project, run = scratch
    assert run_shell(run, SEND_OLD) == {"old": 201}

    insert_after(
        project / "sales" / "models.py",
        '    event_id = models.TextField("event", null=True, db_collation="C")\n',
        '    gift_note = models.TextField("gift note", null=True)\n',
    )
    insert_after(
        project / "sales" / "ingest" / "fields.py",
        "    EVENT_ID: NotRequired[Identifier | None]\n",
        "    GIFT_NOTE: NotRequired[Text | None]\n",
    )
    run("manage.py", "makemigrations", "sales", "--name", "add_gift_note")
    run("manage.py", "migrate")
    results = run_shell(run, USE_FIELD)

    assert results["old"] == 200  # still a duplicate: its stored digest is that of an event without the field
    assert results["posted"]["GIFT_NOTE"] == "single"
    assert results["counts"] == {"accepted": 300, "duplicate": 0, "rejected": 0}
    assert results["duplicate"] == [201, 200, 409]
    assert results["invalid"] == [{"pointer": "/GIFT_NOTE", "detail": "must not be empty"}]
    notes = ["single", "a", "from a file", None, *(f"list {number}" for number in range(300))]
    assert sorted(map(str, results["read"])) == sorted(map(str, notes))
    assert results["last keys"] == ["EVENT_ID", "GIFT_NOTE", "RECEIVED_AT"]
    assert results["documented"]

    output = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "sales/tests/test_fields.py", check=False)
    failed = set(re.findall(r"^FAILED \S+::(\w+)", output, re.MULTILINE))
    assert failed == {
        "test_the_report_of_all_sales_selects_it",
        "test_the_documentation_describes_it",
        "test_the_page_of_a_sale_shows_it",
    }, output
