"""The memory of a worker stays small, however many threads have worked in it."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from salesengine.operations.tests.helpers import Workers

HEAP = 64 * 2**20  # the address space that glibc reserves for each further arena, aligned to its size
CLIENTS = 12


def further_arenas(pid):
    """Return how many arenas malloc has in a process besides the main one."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    found = re.findall(r"^(\w+)-(\w+) rw-p 00000000 00:00 0 *\n(\w+)-(\w+) ---p", maps, re.MULTILINE)
    spans = [[int(address, 16) for address in addresses] for addresses in found]
    return sum(middle == rest and end - start == HEAP for start, middle, rest, end in spans)


def test_the_threads_of_a_worker_share_the_memory_that_they_have_freed(server, event):
    with ThreadPoolExecutor(CLIENTS) as clients:
        responses = clients.map(lambda _: httpx.post(f"{server}/ingest", json=[event] * 50, timeout=60), range(48))
        assert {response.status_code for response in responses} == {201}

    assert max(map(further_arenas, Workers(server).pids())) <= 1
