"""The API behind gunicorn, with many clients at once."""

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from urllib.parse import urlsplit

import httpx
import pytest

from sales.ingest.fields import FILTERS


def feedback(server, **parameters):
    return httpx.get(f"{server}/feedback", params=parameters).json(parse_float=Decimal, parse_int=Decimal)


def connect(server):
    return closing(http.client.HTTPConnection(urlsplit(server).netloc, timeout=30))


def post(connection, body, **headers):
    connection.request("POST", "/ingest", body, {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    return response.status, response.read()


def post_often(server, body, times):
    """Send a body several times on one connection, as a web shop does; return the statuses."""
    with connect(server) as connection:
        return [post(connection, body)[0] for _ in range(times)]


def test_a_thousand_posts_by_sixteen_clients_store_a_thousand_sales(server, event):
    body = json.dumps(event | {"CATEGORY": "bags"})
    with ThreadPoolExecutor(16) as clients:
        statuses = clients.map(lambda times: post_often(server, body, times), [63] * 8 + [62] * 8)

    assert [status for of_client in statuses for status in of_client] == [201] * 1_000
    [row] = feedback(server, category="bags")
    assert (row["sales_count"], row["total_revenue"]) == (1_000, Decimal("57274.56"))


def test_256_clients_at_once_all_get_a_response(server, event):
    body = json.dumps(event | {"CATEGORY": "shoes"})
    with ThreadPoolExecutor(256) as clients:
        statuses = list(clients.map(lambda _: post_often(server, body, 8), range(256)))

    assert statuses == [[201] * 8] * 256
    assert feedback(server, category="shoes")[0]["sales_count"] == 2_048


def test_only_x_forwarded_proto_says_that_a_request_came_over_https(server, event):
    httpx.post(f"{server}/ingest", json=[event, event])

    def scheme(**headers):
        return urlsplit(httpx.get(f"{server}/sales?limit=1", headers=headers).json()["next"]).scheme

    assert scheme() == "http"
    assert scheme(**{"X-Forwarded-Proto": "https"}) == "https"
    assert scheme(**{"X-Forwarded-Ssl": "on"}) == "http"


def test_a_chunked_body_is_accepted(server, event):
    body = json.dumps(event | {"CATEGORY": "boys"}).encode()

    response = httpx.post(
        f"{server}/ingest", content=iter([body[:50], body[50:]]), headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 201


def test_a_chunked_body_over_the_limit_is_too_large(server):
    response = httpx.post(
        f"{server}/ingest", content=iter([b" " * 1_000_000] * 11), headers={"Content-Type": "application/json"}
    )

    assert (response.status_code, response.headers["Content-Type"]) == (413, "application/problem+json")


def test_a_content_length_over_the_limit_is_rejected_without_reading(server):
    with connect(server) as connection:
        assert post(connection, b"", **{"Content-Length": "99999999"})[0] == 413


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("Content-Length: {longer}", "{body}"),
        ("Transfer-Encoding: chunked", "{length:x}\r\n{body}\r\n"),
        ("Transfer-Encoding: chunked", "{longer:x}\r\n{body}"),
        ("Transfer-Encoding: chunked", "{length:x}\r\n{body}0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "zz\r\n{body}\r\n0\r\n\r\n"),
        ("Transfer-Encoding: Chunked", "{length:x}\r\n{body}\r\n0\r\n"),
    ],
)
def test_a_body_that_ends_early_is_not_stored(server, event, header, sent):
    body = json.dumps([event | {"CATEGORY": "girls"}])
    request = f"POST /ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{header}\r\n\r\n{sent}"
    with connect(server) as connection:
        connection.connect()
        connection.sock.sendall(request.format(body=body, length=len(body), longer=len(body) + 1).encode())
        connection.sock.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(connection.sock)
        response.begin()
        content = response.read()

    assert response.status == 400
    assert b"ended early" in content
    assert feedback(server, category="girls") == []


@pytest.mark.parametrize("line", ["zz\r\n", "-1\r\n", "5\n"])
def test_a_malformed_chunk_is_refused_at_once(server, line):
    head = "POST /ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with connect(server) as connection:
        connection.connect()
        connection.sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n{line}".encode())
        connection.sock.settimeout(5)
        response = http.client.HTTPResponse(connection.sock)
        response.begin()

    assert (response.status, json.loads(response.read())["detail"]) == (
        400,
        "The body ended early or has a malformed chunk. Nothing was stored.",
    )


def test_all_filters_at_their_longest_are_accepted(server):
    """A character takes up to four bytes, and each byte three characters of the URL."""
    texts = {name: "\N{GRINNING FACE}" * 64 for name in FILTERS if name not in {"category", "brand"}}
    period = {"start_date": "2021-01-07T00:09:24.123456+01:00", "end_date": "2021-01-08T00:09:24.123456+01:00"}
    others = {"brand": "\N{GRINNING FACE}" * 256, "category": "design & decoration", "limit": "1000"}

    response = httpx.get(f"{server}/sales", params=texts | period | others)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("query", "header", "status"), [("x" * 8_190, "", 414), ("", "x" * 8_191, 431), ("x" * 8_000, "x" * 8_000, 400)]
)
def test_a_line_that_is_too_long_gets_a_short_page_of_the_server(server, query, header, status):
    response = httpx.get(f"{server}/feedback?a={query}", headers={"X-Long": header})

    assert response.status_code == status
    assert ("X-Request-ID" in response.headers) == (status == 400)


@pytest.mark.parametrize("charset", ["hex", "undefined", "utf-16", "latin-1"])
def test_the_charset_of_the_content_type_is_ignored(server, charset):
    response = httpx.get(
        f"{server}/feedback?category=b%C3%A9", headers={"Content-Type": f"application/json; charset={charset}"}
    )

    assert response.status_code == 400
    assert "must be one of" in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("method", "path", "header", "status"),
    [
        ("GET", "/nothing", "Accept", 404),
        ("GET", "/", "Accept", 200),
        ("GET", "/feedback", "Content-Type", 200),
        ("POST", "/admin/login/", "Content-Type", 403),
    ],
)
def test_a_parameter_of_a_header_in_an_unknown_charset_is_ignored(server, method, path, header, status):
    response = httpx.request(method, f"{server}{path}", headers={header: "multipart/form-data; a*=bogus''b"})

    assert response.status_code == status


def test_a_list_of_five_thousand_events_is_stored(server, event):
    with connect(server) as connection:
        status, content = post(connection, json.dumps([event | {"CATEGORY": "jewellery"}] * 5_000))

    assert (status, json.loads(content)) == (201, {"accepted": 5_000, "duplicate": 0, "rejected": 0})
    assert feedback(server, category="jewellery")[0]["sales_count"] == 5_000


@pytest.mark.parametrize("size", [20_000, 3_000_000])
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ingest", {"Content-Type": "application/json", "Authorization": "Api-Key no.key"}, 401),
        ("/ingest", {"Content-Type": "text/csv"}, 415),
        ("/ingest?color=red", {"Content-Type": "application/json"}, 400),
    ],
)
def test_a_rejected_request_leaves_the_connection_usable(server, event, path, headers, status, size):
    """The next request on the connection must not be lost, because its client could not know whether to retry."""
    for _ in range(5):
        with connect(server) as connection:
            connection.request("POST", path, b" " * size, headers)
            response = connection.getresponse()
            response.read()
            assert response.status == status
            assert post(connection, json.dumps(event | {"CATEGORY": "accessories"}))[0] == 201


def test_the_chunked_body_of_a_rejected_request_is_skipped(server, event):
    with connect(server) as connection:
        connection.request("POST", "/ingest", iter([b" " * 100_000] * 5), {"Content-Type": "text/csv"})
        response = connection.getresponse()
        response.read()
        assert (response.status, post(connection, json.dumps(event))[0]) == (415, 201)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/feedback", 200), ("/favicon.ico", 302)])
def test_a_body_that_nobody_wanted_leaves_the_connection_usable(server, event, path, status, chunked):
    body = [b" " * 100_000] * 5
    with connect(server) as connection:
        connection.request("GET", path, iter(body) if chunked else b"".join(body))
        response = connection.getresponse()
        response.read()
        assert (response.status, response.getheader("Connection")) == (status, "keep-alive")
        assert post(connection, json.dumps(event))[0] == 201


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/healthz", 200), ("POST", "/ingest", 413)])
def test_the_response_to_a_body_over_the_limit_says_that_the_connection_closes(server, method, path, status):
    with connect(server) as connection:
        connection.request(method, path, b"", {"Content-Type": "application/json", "Content-Length": "99999999"})
        response = connection.getresponse()

        assert (response.status, response.getheader("Connection")) == (status, "close")
