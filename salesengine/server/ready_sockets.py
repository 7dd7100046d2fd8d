"""Wait for many sockets in many threads. The kernel wakes one thread for each socket that is ready.

The module `selectors` uses the same system calls. But only one thread at a time can use a selector, and would have to
hand each socket to another thread.
"""

import os
import select
import sys

if sys.platform == "linux":

    class _Kernel:
        def __init__(self) -> None:
            self._epoll = select.epoll()

        def watch(self, descriptor: int, *, until_writable: bool = False) -> None:
            """Report the descriptor once, when it is ready to be read or written. It may be ready already."""
            event = select.EPOLLONESHOT | (select.EPOLLOUT if until_writable else select.EPOLLIN)
            try:
                self._epoll.modify(descriptor, event)
            except FileNotFoundError:
                self._epoll.register(descriptor, event)

        def watch_always(self, descriptor: int) -> None:
            """Report the descriptor to every thread while it is ready to be read."""
            self._epoll.register(descriptor, select.EPOLLIN)

        def wait(self, seconds: float | None = None, most: int = 1) -> list[int]:
            """Return ready descriptors, `most` at most. Wait for the first one, forever if `seconds` is None."""
            return [descriptor for descriptor, _ in self._epoll.poll(seconds, most)]

else:  # macOS and BSD

    class _Kernel:
        def __init__(self) -> None:
            self._queue = select.kqueue()

        def watch(self, descriptor: int, *, until_writable: bool = False) -> None:
            kind = select.KQ_FILTER_WRITE if until_writable else select.KQ_FILTER_READ
            self._queue.control([select.kevent(descriptor, kind, select.KQ_EV_ADD | select.KQ_EV_ONESHOT)], 0)

        def watch_always(self, descriptor: int) -> None:
            self._queue.control([select.kevent(descriptor, select.KQ_FILTER_READ, select.KQ_EV_ADD)], 0)

        def wait(self, seconds: float | None = None, most: int = 1) -> list[int]:
            return [event.ident for event in self._queue.control(None, most, seconds)]


class ReadySockets(_Kernel):
    """The sockets that threads wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._wakes, self._wake = os.pipe()
        self.watch_always(self._wakes)

    def wake_all(self) -> None:
        """Let `wait` return in all threads, now and from now on."""
        os.write(self._wake, b"\0")
