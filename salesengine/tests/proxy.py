"""A TCP proxy in front of PostgreSQL, which breaks connections in ways that a network can."""

import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from salesengine.embedded import server as embedded
from salesengine.tests.servers import empty_folder, serve


class Proxy:
    """Pass connections on to a Unix socket. Its other methods break them."""

    def __init__(self, target: Path) -> None:
        self._target = str(target / f".s.PGSQL.{embedded.PORT}")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._servers: dict[int, socket.socket] = {}  # the connections that exist now
        self._silent: set[int] = set()
        self._reset: set[int] = set()
        self._marker: bytes | None = None
        self._first = b""
        self._action = "cut"
        self._number = 0
        self.is_silent = False  # also towards new connections
        self.delay = 0.0  # seconds before anything is passed on
        self.cuts = 0
        self.url = f"postgres://{embedded.DATABASE}@127.0.0.1:{self._listener.getsockname()[1]}/{embedded.DATABASE}"
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """Pass nothing on any more on the connections that exist now, and do not close them."""
        self._silent = set(range(self._number + 1))

    def reset(self) -> None:
        """End the connections that exist now with a TCP reset."""
        for number, server in list(self._servers.items()):
            self._reset.add(number)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # wakes its thread

    def cut_after(self, marker: bytes, *, first: bytes = b"") -> None:
        """Close the next connection on which a client sends `first` and then `marker`, instead of the response."""
        self._marker, self._first, self._action = marker, first, "cut"

    def truncate_after(self, marker: bytes) -> None:
        """Close the next connection on which a client sends `marker`, in the middle of the response."""
        self._marker, self._first, self._action = marker, b"", "truncate"

    def silence_after(self, marker: bytes) -> None:
        """Pass nothing on any more on the next connection on which a client sends `marker`."""
        self._marker, self._first, self._action = marker, b"", "silence"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._number += 1
                threading.Thread(target=self._serve, args=(client, self._number), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self._target)
            self._servers[number] = server
            try:
                self._pass_on(client, server, number)
            finally:
                del self._servers[number]
                if number in self._reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _pass_on(self, client: socket.socket, server: socket.socket, number: int) -> None:
        action = ""
        has_begun = False  # what the client sends is marked by `first`
        for source, other in self._readable(client, server):
            data = source.recv(65_536)
            if not data:
                return
            if source is server and action in {"cut", "truncate"}:
                self.cuts += 1
                if action == "truncate":
                    client.sendall(data[: len(data) // 2])
                return
            if self.delay:
                time.sleep(self.delay)
            if self.is_silent:  # what is dropped leaves a gap, so nothing may follow it
                self._silent.add(number)
            if number not in self._silent:
                other.sendall(data)
            if source is client and self._marker is not None:
                has_begun = has_begun or self._first in data
            if source is client and self._marker is not None and has_begun and self._marker in data:
                self._marker, self._first, action = None, b"", self._action
                if action == "silence":
                    self._silent.add(number)

    @staticmethod
    def _readable(client: socket.socket, server: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
        """Yield, without end, the side that has sent something, and the other side."""
        with selectors.DefaultSelector() as selector:  # not select(), which fails from file descriptor 1024 on
            selector.register(client, selectors.EVENT_READ, (client, server))
            selector.register(server, selectors.EVENT_READ, (server, client))
            while True:
                yield from (key.data for key, _ in selector.select())


def production(url: str) -> dict[str, str]:
    """Return the settings of a service on this database, whose API needs no key."""
    settings = {"SECRET_KEY": "s" * 50, "ALLOWED_HOSTS": "127.0.0.1", "API_KEY_REQUIRED": "false"}
    return settings | {"DATABASE_URL": url}


@contextmanager
def serve_through_proxy(socket_dir: Path, **settings: str) -> Iterator[tuple[str, Proxy]]:
    """Run the service on a database that runs already, through a proxy. Yields its address and the proxy."""
    with ExitStack() as stack:
        proxy = Proxy(socket_dir)
        stack.callback(proxy.close)
        folder = stack.enter_context(empty_folder())
        address = stack.enter_context(serve(folder, **production(proxy.url), **settings))
        yield address, proxy
