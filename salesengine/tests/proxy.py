"""A TCP proxy in front of PostgreSQL, which breaks connections in ways that a network can."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from salesengine.embedded import server as embedded
from salesengine.tests.servers import empty_folder, serve


class Proxy:
    """Pass connections on to a Unix socket. its other methods break them."""

    def __init__(self, target: Path) -> None:
        self._target = str(target / f".s.PGSQL.{embedded.PORT}")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._silent: set[int] = set()
        self._marker: bytes | None = None
        self._cuts = True
        self._number = 0
        self.is_silent = False  # also towards new connections
        self.cuts = 0
        self.url = f"postgres://{embedded.DATABASE}@127.0.0.1:{self._listener.getsockname()[1]}/{embedded.DATABASE}"
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """Pass nothing on any more on the connections that exist now, and do not close them."""
        self._silent = set(range(self._number + 1))

    def cut_after(self, marker: bytes) -> None:
        """Close the next connection on which a client sends `marker`, instead of passing on the response."""
        self._marker, self._cuts = marker, True

    def silence_after(self, marker: bytes) -> None:
        """Pass nothing on any more on the next connection on which a client sends `marker`."""
        self._marker, self._cuts = marker, False

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
            is_cut = False
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(65_536)
                    if not data:
                        return
                    if source is server and is_cut:
                        self.cuts += 1
                        return
                    if not self.is_silent and number not in self._silent:
                        (server if source is client else client).sendall(data)
                    if source is client and self._marker is not None and self._marker in data:
                        self._marker, is_cut = None, self._cuts
                        if not is_cut:
                            self._silent.add(number)


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
