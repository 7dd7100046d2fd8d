"""Request ids in responses, problems and log lines."""

import logging
import subprocess
import sys

import pytest

from sales.totals import feedback
from salesengine.http.request_ids import current_request_id

pytestmark = pytest.mark.django_db


@pytest.fixture
def logged(monkeypatch, tmp_path):
    """Yield a function that returns the lines that the project's log handler has written."""
    [handler] = [handler for handler in logging.root.handlers if type(handler) is logging.StreamHandler]
    with (tmp_path / "log").open("w") as stream:
        monkeypatch.setattr(handler, "stream", stream)
        yield lambda: stream.flush() or (tmp_path / "log").read_text().splitlines()


def test_every_response_has_a_unique_id(api):
    ids = {api.get("/healthz")["X-Request-ID"] for _ in range(3)}

    assert len(ids) == 3
    assert all(len(request_id) == 32 for request_id in ids)


def test_worker_processes_which_are_forks_draw_other_ids():
    code = "import os; from salesengine.http.request_ids import new_id; new_id(); os.fork(); "
    code += "os.write(1, f'{new_id()} '.encode())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert len(set(output.split())) == 2


@pytest.mark.parametrize("sent", ["a", "x" * 64, "2021.01_07-A"])
def test_a_valid_id_of_the_client_is_kept(api, sent):
    assert api.get("/healthz", headers={"X-Request-ID": sent})["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\nb", "a\n", "é", "a,b", "<b>"])
def test_an_invalid_id_of_the_client_is_replaced(api, sent):
    assert len(api.get("/healthz", headers={"X-Request-ID": sent})["X-Request-ID"]) == 32


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/feedback", {}, 200),
        ("/feedback?colour=red", {}, 400),
        ("/nowhere", {}, 404),
        ("/feedback", {"Host": "elsewhere.example"}, 400),
        ("/admin/", {}, 302),
        ("/docs", {}, 200),
    ],
)
def test_all_kinds_of_responses_have_the_id(api, path, headers, status):
    response = api.get(path, headers=headers | {"X-Request-ID": "of-the-client"})

    assert (response.status_code, response["X-Request-ID"]) == (status, "of-the-client")
    if status >= 400:
        assert response.json()["request_id"] == "of-the-client"


def test_an_error_outside_the_api_has_the_id_in_response_and_log(api, monkeypatch, logged):
    monkeypatch.setattr("salesengine.operations.health.write_errors", None)
    api.raise_request_exception = False

    response = api.get("/readyz", headers={"X-Request-ID": "of-the-client"})

    assert (response.status_code, response.json()["request_id"]) == (500, "of-the-client")
    assert response["X-Request-ID"] == "of-the-client"
    assert any("[of-the-client] django.request: Internal Server Error" in line for line in logged())


def test_log_lines_of_a_request_have_its_id_and_later_ones_have_none(api, monkeypatch, logged):
    def fail(query):
        raise ZeroDivisionError

    monkeypatch.setattr(feedback, "top_categories", fail)
    api.get("/feedback", headers={"X-Request-ID": "of-the-client"})
    logging.getLogger("salesengine").warning("afterwards")

    lines = [line for line in logged() if " ERROR " in line or " WARNING " in line]
    assert "ERROR [of-the-client] salesengine.http.errors: An API view failed" in lines[0]
    assert "ERROR [of-the-client] django.request: Internal Server Error: /feedback" in lines[1]
    assert "WARNING [-] salesengine: afterwards" in lines[2]
    assert current_request_id() == "-"


def test_a_disallowed_host_is_one_line_in_the_log(api, logged):
    api.get("/feedback", headers={"Host": "elsewhere.example", "X-Request-ID": "of-the-client"})

    [line] = logged()
    assert "ERROR [of-the-client] django.security.DisallowedHost: Invalid HTTP_HOST header: 'elsewhere.example'" in line
