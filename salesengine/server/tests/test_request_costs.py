"""A request with a single event must not cost more and more, layer by layer."""

import os
import subprocess
import sys

import pytest

from salesengine.tests.servers import ROOT, new_folder

pytestmark = pytest.mark.slow

MOST_CALLS = 1_050  # of functions in Python and in C, without gunicorn and without the database
# Posts single events as gunicorn would, and prints how many functions the last one called.
COUNT_CALLS = """
import io, json, sys
from salesengine.wsgi import application
from sales.ingest import service
from sales.ingest.schema import EXAMPLE
from salesengine.accounts.api_keys import create_key

key = create_key("shop", ["ingest"])
body = json.dumps(EXAMPLE).encode()
service.singles.submit = lambda sale: 1
calls = 0

def post():
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/ingest", "QUERY_STRING": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "HTTP_HOST": "localhost", "HTTP_AUTHORIZATION": f"Api-Key {key}",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
    }
    response = application(environ, lambda *_: None)
    response.close()
    assert response.status_code == 201, response.content

def count(frame, event, argument):
    global calls
    calls += event in {"call", "c_call"}

for _ in range(3):
    post()
sys.setprofile(count)
post()
sys.setprofile(None)
print(calls)
"""


def test_a_single_event_calls_few_functions():
    with new_folder() as folder:
        settings = {"DJANGO_SETTINGS_MODULE": "salesengine.settings", "LOCAL_DIR": str(folder), "ENV_FILE": os.devnull}
        command = [sys.executable, "-c", COUNT_CALLS]
        environment = os.environ | settings
        output = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    assert int(output) <= MOST_CALLS
