"""Send random requests to a running service. Fail on a 5xx, a traceback, a slow response or a hanging connection.

    python -m salesengine.tests.fuzz --requests 50000 --seed 1
    python -m salesengine.tests.fuzz --only 4711

A request depends only on the seed and its number, so a failure can be repeated with --only.
"""

import argparse
import http.client
import json
import math
import os
import re
import socket
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from salesengine.tests.servers import manage, new_folder, serve

if TYPE_CHECKING:  # it needs Django's settings
    from salesengine.tests.fuzz_requests import FuzzRequest, RequestMaker

HANGING = 20  # seconds; the server waits 10 s for the rest of a request
CLIENTS = 6
USER = "fuzz"
RAW_EVERY = 500
SLOW = "a slow response, also when it was sent alone"
RAW = (
    *(
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\n",
    ),
    *(b"GET /feedback\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    b"GET http://elsewhere.example/feedback HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /\xff\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n no colon\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5_000 + b"\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    *(
        b"POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + end
        for end in (
            *(b"Content-Length: 100\r\n\r\n{", b"Content-Length: -1\r\n\r\n", b"Content-Length: x\r\n\r\n"),
            *(b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
            *(b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{"),
            *(b"Transfer-Encoding: gzip\r\n\r\n{}", b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
            *(
                b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
                b"Content-Length: 9999999999999\r\n\r\n",
            ),
        )
    ),
)


class Service:
    """A running service, and a session of a superuser, which is renewed whenever a random request ends it."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url).netloc
        self.lock = threading.Lock()
        self.cookie = ""
        self.renew("")

    def renew(self, ended: str) -> None:
        """Replace the session with this cookie, unless another thread did."""
        from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
        from django.contrib.auth.models import User
        from django.contrib.sessions.backends.db import SessionStore

        from salesengine.tests.fuzz_requests import CSRF_TOKEN

        with self.lock:
            if self.cookie != ended:
                return
            rights = {"is_superuser": True, "is_staff": True, "is_active": True}
            user, _ = User.objects.update_or_create(username=USER, defaults=rights)
            session = SessionStore()
            session[SESSION_KEY] = str(user.pk)
            session[BACKEND_SESSION_KEY] = "salesengine.accounts.login.StaffBackend"
            session[HASH_SESSION_KEY] = user.get_session_auth_hash()
            session.save()
            self.cookie = f"sessionid={session.session_key}; csrftoken={CSRF_TOKEN}"

    def send(
        self, connection: http.client.HTTPConnection, request: "FuzzRequest"
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request on a connection, and read the whole response."""
        connection.putrequest(request.method, request.target, skip_host="Host" in request.headers)
        cookie = self.cookie
        headers = dict(request.headers)
        if request.is_staff:
            headers["Cookie"] = cookie.encode()
        if request.body:
            headers["Content-Length"] = str(len(request.body)).encode()
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(request.body or None)
        response = connection.getresponse()
        body = response.read()
        if request.is_staff and "/admin/login/" in response.headers.get("Location", ""):
            self.renew(cookie)
        return response, body


class Fuzzer:
    """Send numbered requests, and note every failure."""

    def __init__(self, service: Service, maker: "RequestMaker", seed: str, slowest: float) -> None:
        self.service, self.maker, self.seed, self.slowest = service, maker, seed, slowest
        self.failures: list[str] = []
        self.slow: dict[int, FuzzRequest] = {}
        self.statuses: Counter[int] = Counter()
        self.deadline = math.inf
        self.connections = threading.local()

    def connection(self) -> http.client.HTTPConnection:
        if not hasattr(self.connections, "own"):
            self.connections.own = http.client.HTTPConnection(self.service.address, timeout=HANGING)
        return self.connections.own

    def request(self, number: int) -> None:
        if time.monotonic() > self.deadline:
            return
        if number % RAW_EVERY == 0:
            self.raw(number)
        request = self.maker.request(Random(f"{self.seed} {number}"))
        reason = self.reason_to_fail(request)
        if reason == SLOW:
            self.slow[number] = request
        elif reason:
            self.failures.append(f"{number}: {reason}: {request}")

    def repeat_slow_requests(self) -> None:
        """Send the slow requests again, one at a time, because the machine may have been busy with the others."""
        for number, request in self.slow.items():
            if reason := self.reason_to_fail(request):
                self.failures.append(f"{number}: {reason}: {request}")

    def reason_to_fail(self, request: "FuzzRequest") -> str:
        """Send a request. Return why the response is a failure, or an empty string."""
        start = time.monotonic()
        try:
            response, _ = self.service.send(self.connection(), request)
        except (OSError, http.client.HTTPException) as error:
            self.connection().close()
            return f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - start
        self.statuses[response.status] += 1
        if response.status >= 500:
            return f"{response.status}, {response.headers['X-Request-ID']}"
        return SLOW if seconds > self.slowest and "Content-Disposition" not in response.headers else ""

    def raw(self, number: int) -> None:
        """Send an incomplete or invalid request. The server must respond or close the connection."""
        data = RAW[number // RAW_EVERY % len(RAW)]
        host, port = self.service.address.split(":")
        with socket.create_connection((host, int(port)), timeout=HANGING) as connection:
            with suppress(ConnectionError):
                connection.sendall(data)
            try:
                connection.recv(65_536)
            except TimeoutError:
                self.failures.append(f"{number}: a connection hangs after {data[:200]!r}")
            except ConnectionError:
                pass  # closed


def crawl(service: Service, start: tuple[str, ...], limit: int = 400) -> dict:
    """Read pages as a superuser, starting from these, and return each one's links and fields by its URL."""
    from salesengine.tests.fuzz_requests import FuzzRequest, own_links, read_page

    connection = http.client.HTTPConnection(service.address, timeout=HANGING)
    pages: dict = {}
    shapes: Counter[str] = Counter()
    queue = list(start)
    for url in queue:
        shape = re.sub(r"[0-9]+", "0", re.sub(r"=[^&]*", "=", url))
        shapes[shape] += 1
        if url in pages or shapes[shape] > 3 or len(pages) >= limit or "logout" in url:
            continue
        response, body = service.send(connection, FuzzRequest("GET", url, {}, b"", is_staff=True))
        is_html = response.headers.get("Content-Type", "").startswith("text/html")
        pages[url] = read_page(body.decode() if is_html else "")
        queue += sorted(own_links(url, pages[url]))
    return pages


def fuzz(folder: Path, options: argparse.Namespace) -> list[str]:
    """Run the requests against a new service with demo data, and return the failures."""
    import django

    with serve(folder) as url:
        django.setup()
        from salesengine.tests.fuzz_requests import FuzzRequest, RequestMaker

        service = Service(url)
        openapi = FuzzRequest("GET", "/openapi.json", {}, b"", is_staff=True)
        document = json.loads(service.send(http.client.HTTPConnection(service.address), openapi)[1])
        maker = RequestMaker(crawl(service, ("/admin/", "/docs/problems")), document)
        sys.stdout.write(f"{len(maker.urls)} pages, {len(maker.patterns)} patterns, {len(maker.names)} parameters\n")
        fuzzer = Fuzzer(service, maker, options.seed, options.slowest)
        start = time.monotonic()
        fuzzer.deadline = start + options.seconds
        numbers = options.only or range(1, options.requests + 1)
        with ThreadPoolExecutor(CLIENTS) as clients:
            for _ in clients.map(fuzzer.request, numbers):
                pass
        fuzzer.repeat_slow_requests()
        seconds = time.monotonic() - start
    sent = fuzzer.statuses.total()
    sys.stdout.write(
        f"{sent:,} of {len(numbers):,} requests in {seconds:.0f} s: {dict(sorted(fuzzer.statuses.items()))}\n"
    )
    return [*fuzzer.failures, *tracebacks((folder / "log").read_text())]


def tracebacks(log: str) -> list[str]:
    """Return each kind of traceback in a log once: how often, the message with the request id, and the traceback."""
    found = re.findall(r"^(.*)\n(Traceback .*\n(?:\s.*\n)*)(\S.*)", log, re.MULTILINE)
    # gunicorn logs the end of its patience with an incomplete request in this way.
    found = [parts for parts in found if "Socket error processing request" not in parts[0]]
    kinds = {f"{stack.splitlines()[-2:]}": (message, stack, error) for message, stack, error in found}
    counts = Counter(f"{stack.splitlines()[-2:]}" for _, stack, _ in found)
    return [f"{counts[kind]} times: {message}\n{stack}{error}" for kind, (message, stack, error) in kinds.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000, metavar="N")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--slowest", type=float, default=2, metavar="SECONDS", help="downloads may take longer")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after this time (default: no limit)")
    parser.add_argument(
        "--only", type=int, nargs="+", metavar="NUMBER", help="send only the requests with these numbers"
    )
    options = parser.parse_args()
    with new_folder() as folder:
        os.environ |= {
            "LOCAL_DIR": str(folder),
            "ENV_FILE": os.devnull,
            "DJANGO_SETTINGS_MODULE": "salesengine.settings",
        }
        manage(folder, "load_demo", "--sales", "3000")
        failures = fuzz(folder, options)
    if failures:
        sys.exit("\n".join([*failures, f"{len(failures)} failures"]))


if __name__ == "__main__":
    main()
