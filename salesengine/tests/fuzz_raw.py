"""Raw bytes instead of requests: damaged requests, and those that never end."""

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from salesengine.tests.fuzz_requests import FuzzRequest

PIECES = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\t", b"\r\n\r\n", b"\xff", b"\r\n folded", b"\r\n: empty", b"%00"),
    *(b"\r\nContent-Length: 5", b"\r\nContent-Length: -1", b"\r\nContent-Length: 1e3", b"\r\nContent-Length: \xb2"),
    *(b"\r\nTransfer-Encoding: chunked", b"\r\nTransfer-Encoding: gzip, chunked", b"\r\nTransfer-Encoding: x"),
    *(b"\r\nHost: a", b"\r\nConnection: close, x", b"\r\nUpgrade: h2c", b"\r\nExpect: 100-continue", b"\r\nExpect: x"),
    *(b"\r\nContent-Encoding: gzip", b"\r\nCookie: " + b"a=b;" * 2_000, b"\r\nA: " + b"a" * 9_000, b"\r\nA: b" * 150),
)
START = b"POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
UNFINISHED = (
    *(b"", b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"),
    *(b"PRI * HTTP/2.0\r\n\r\n", b"GET /feedback\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    *(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 100_000),
    *(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5_000, b"GET /" + b"a" * 100_000, START, START + b"Content-"),
    *(START + b"Content-Length: 100\r\n\r\n{", START + b"Content-Length: 9999999999999\r\n\r\n"),
    *(
        START + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        START + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n{",
    ),
    START + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
)


def damaged(random: Random, request: "FuzzRequest", headers: dict[str, bytes]) -> bytes:
    """Return the bytes of a request with up to three mistakes."""
    if random.random() < 0.03:
        return random.randbytes(random.randrange(2_000))
    headers = {"Host": b"localhost", **headers}
    body = request.body
    if random.random() < 0.3:
        headers.pop("Content-Length", None)
        headers["Transfer-Encoding"] = b"chunked"
        body = _chunks(random, body)
    version = random.choice((b"1.1", b"1.1", b"1.1", b"1.0", b"0.9", b"2.0", b"1.1.1", b"x"))
    data = b"%s %s HTTP/%s\r\n" % (request.method.encode(), request.target.encode(), version)
    data += b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in headers.items()) + b"\r\n" + body
    for _ in range(random.randrange(4)):
        data = random.choice((_flip, _cut, _insert, _repeat))(random, data)
    return data


def _chunks(random: Random, body: bytes) -> bytes:
    """Encode a body in chunks, some of which have a wrong size, and which may not end."""
    parts = b""
    while body:
        size = random.randrange(1, 200)
        written = random.choice((b"%x" % len(body[:size]),) * 20 + (b"zz", b"-1", b"%x;a=b" % size, b"", b"f" * 20))
        parts += b"%s\r\n%s\r\n" % (written, body[:size])
        body = body[size:]
    return parts + random.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"0\r\n", b""))


def _flip(random: Random, data: bytes) -> bytes:
    position = random.randrange(len(data) + 1)
    return data[:position] + random.randbytes(random.randrange(1, 4)) + data[position + 1 :]


def _cut(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _insert(random: Random, data: bytes) -> bytes:
    position = random.randrange(len(data) + 1)
    if random.random() < 0.6:  # where a header ends, so that the request may stay valid
        position = max(data.find(b"\r\n", position), 0)
    return data[:position] + random.choice(PIECES) + data[position:]


def _repeat(random: Random, data: bytes) -> bytes:
    start = random.randrange(len(data) + 1)
    piece = data[start : start + random.randrange(1, 50)]
    return data[:start] + piece * random.choice((2, 2, 20, 500)) + data[start:]
