"""Receive the traces and error reports that a service sends, instead of a collector and Sentry."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver(ThreadingHTTPServer):
    """A server on a free port of this machine. `bodies` are (path, uncompressed body)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[tuple[str, bytes]] = []

    def spans(self) -> list[Span]:
        """Return the spans received so far."""
        requests = [ExportTraceServiceRequest.FromString(body) for path, body in self.bodies if path == "/v1/traces"]
        return [span for r in requests for rs in r.resource_spans for ss in rs.scope_spans for span in ss.spans]

    def events(self) -> list[dict[str, Any]]:
        """Return the events of Sentry received so far. An envelope has a header, and a header before each item."""
        envelopes = [body.splitlines() for path, body in self.bodies if path.endswith("/envelope/")]
        items = [(json.loads(lines[1]), lines[2]) for lines in envelopes]
        return [json.loads(item) for header, item in items if header["type"] == "event"]


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.bodies.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = Thread(target=receiver.serve_forever, args=[0.05])
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()
