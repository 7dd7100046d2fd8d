"""POST /ingest: bodies in JSON and NDJSON, with and without gzip, and limits on their size."""

import gzip
import io
import json
import re
import tracemalloc

import pytest

from sales.ingest.bodies import decompress
from sales.models import Sale
from salesengine.http.errors import ContentTooLarge
from salesengine.server.byte_budget import ByteShare
from salesengine.tests.clients import post, problem_of

pytestmark = pytest.mark.django_db

NDJSON = "application/x-ndjson"


def lines(*values):
    return "\n".join(value if isinstance(value, str) else json.dumps(value) for value in values)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n  \n"])
def test_ndjson_has_one_event_per_line(api, event, end):
    response = post(api, lines(event, event) + end, NDJSON)

    assert (response.status_code, response.json()) == (201, {"accepted": 2, "duplicate": 0, "rejected": 0})
    assert Sale.objects.count() == 2


def test_one_line_of_ndjson_returns_counts_like_a_list(api, event):
    assert post(api, lines(event), NDJSON).json() == {"accepted": 1, "duplicate": 0, "rejected": 0}


@pytest.mark.parametrize("content_type", [NDJSON, "application/json"])
@pytest.mark.parametrize("body", ["", " \n\n"])
def test_an_empty_body_is_an_error(api, body, content_type):
    """A body lost on the way must not look like a success."""
    assert "is empty" in problem_of(post(api, body, content_type), 400, "invalid-event")["detail"]


@pytest.mark.parametrize("content_type", [NDJSON, "application/json"])
def test_a_byte_order_mark_is_ignored(api, event, content_type):
    assert post(api, b"\xef\xbb\xbf" + json.dumps(event).encode(), content_type).status_code == 201


@pytest.mark.parametrize("encoding", ["identity", ""])
def test_content_encoding_may_be_identity_or_empty(api, event, encoding):
    assert post(api, event, **{"Content-Encoding": encoding}).status_code == 201


@pytest.mark.parametrize(
    ("piece", "content_type"), [(b"1\n", NDJSON), (b"[],", "application/json"), (b'{"a":1},', "application/json")]
)
def test_a_body_that_would_need_far_more_memory_than_events_is_not_parsed(api, piece, content_type):
    body = gzip.compress((b"[" + piece * 6_000_000)[:19_999_000])
    tracemalloc.start()
    try:
        response = post(api, body, content_type, **{"Content-Encoding": "gzip"})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    problem_of(response, 413, "content-too-large")
    assert peak < 70_000_000


def test_the_maximum_number_of_indented_events_is_accepted(api, event, settings):
    settings.INGEST_MAX_EVENTS = 4_000
    body = json.dumps([event | {"BRAND": "a, b, {c}"}] * 4_000, indent=2)

    assert len(body) > 1_000_000
    assert post(api, body).status_code == 201


def test_an_error_in_ndjson_has_its_line_number(api, event):
    response = post(api, lines(event, "", event | {"REVENUE": "much"}, '{"ID_ORDER": ', [event]), NDJSON)

    assert [(error["line"], error["pointer"]) for error in problem_of(response, 400, "invalid-event")["errors"]] == [
        (3, "/REVENUE"),
        (4, ""),
        (5, ""),
    ]
    detail = response.json()["errors"][1]["detail"]
    assert detail == "is not valid JSON in UTF-8: EOF while parsing a value at column 13"
    assert not Sale.objects.exists()


@pytest.mark.parametrize(
    ("element", "place"),
    [('{"A": 1, "A": 2}', "at column 14"), ('{"A": 1,\n"A": 2}', "at line 2 column 5 of this event")],
)
def test_a_position_in_an_element_of_a_list_is_not_taken_for_one_in_the_body(api, event, element, place):
    [error] = post(api, f"[\n{json.dumps(event)},\n{element}]").json()["errors"]

    assert error["pointer"] == "/1"
    assert re.search(" at .*", error["detail"])[0] == f" {place}"


def test_two_events_on_one_line_are_an_error(api, event):
    text = f"{json.dumps(event)},{json.dumps(event)}"

    assert problem_of(post(api, text, NDJSON), 400, "invalid-event")["errors"][0]["line"] == 1


@pytest.mark.parametrize("shape", ["object", "list", "ndjson"])
@pytest.mark.parametrize("members", [1, 2])
def test_each_format_may_be_gzipped(api, event, shape, members):
    text = {"object": json.dumps(event), "list": json.dumps([event]), "ndjson": lines(event)}[shape].encode()
    middle = len(text) // members
    body = gzip.compress(text[:middle]) + (gzip.compress(text[middle:]) if members == 2 else b"")
    content_type = NDJSON if shape == "ndjson" else "application/json"

    assert post(api, body, content_type, **{"Content-Encoding": "gzip"}).status_code == 201
    assert Sale.objects.count() == 1


class Stalled(io.BytesIO):
    """A body that never arrives: each read waits for the server's timeout."""

    reads = 0

    def read(self, size):
        self.reads += 1
        raise TimeoutError


@pytest.mark.parametrize("header", [{"CONTENT_LENGTH": "100"}, {"HTTP_TRANSFER_ENCODING": "chunked"}])
def test_a_body_that_stalls_is_read_once(api, header):
    body = Stalled()
    response = api.generic("POST", "/ingest", content_type="application/json", **{"wsgi.input": body}, **header)

    assert "ended early" in problem_of(response, 400, "invalid-request")["detail"]
    assert body.reads == 1


@pytest.mark.parametrize("cut", [1, 8, 30])
def test_gzip_that_ends_early_is_an_error(api, event, cut):
    body = gzip.compress(json.dumps(event).encode())[:-cut]

    problem = problem_of(post(api, body, **{"Content-Encoding": "gzip"}), 400, "invalid-request")
    assert "ended early" in problem["detail"]
    assert not Sale.objects.exists()


def test_damaged_gzip_is_an_error(api, event):
    body = bytearray(gzip.compress(json.dumps(event).encode()))
    body[-6] ^= 1  # in the checksum

    problem = problem_of(post(api, bytes(body), **{"Content-Encoding": "gzip"}), 400, "invalid-request")
    assert "CRC check failed" in problem["detail"]


def test_a_body_that_is_not_gzip_is_an_error(api, event):
    problem = problem_of(post(api, event, **{"Content-Encoding": "gzip"}), 400, "invalid-request")

    assert "not valid gzip" in problem["detail"]


def test_a_zip_bomb_is_too_large(api, settings):
    body = gzip.compress(bytes(settings.INGEST_MAX_EXPANDED_BYTES + 1))

    problem = problem_of(post(api, body, **{"Content-Encoding": "gzip"}), 413, "content-too-large")
    assert "20,000,000 bytes" in problem["detail"]


def test_no_more_of_a_zip_bomb_than_the_limit_is_decompressed():
    body, share = gzip.compress(bytes(300_000_000)), ByteShare()
    tracemalloc.start()
    try:
        with pytest.raises(ContentTooLarge):
            decompress(body, limit=1_000_000, share=share)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        share.resize(0)

    assert peak < 5_000_000


def test_a_body_of_exactly_the_decompressed_limit_is_accepted(api, event, settings):
    body = gzip.compress(json.dumps(event).encode().ljust(settings.INGEST_MAX_EXPANDED_BYTES))

    assert post(api, body, **{"Content-Encoding": "gzip"}).status_code == 201


def test_too_many_lines_of_ndjson_are_too_large(api, event, settings):
    settings.INGEST_MAX_EVENTS = 2

    problem = problem_of(post(api, lines(event, event, event), NDJSON), 413, "content-too-large")

    assert "at most 2 events, and this one has 3" in problem["detail"]
    assert not Sale.objects.exists()
