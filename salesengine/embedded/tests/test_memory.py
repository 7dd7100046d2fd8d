"""How much memory the private PostgreSQL uses for its buffers."""

import psutil
import pytest

from salesengine.embedded import server as embedded

MACHINE = psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("limit", "memory"), [("max\n", MACHINE), ("1073741824\n", min(2**30, MACHINE)), (f"{2**60}\n", MACHINE)]
)
def test_a_container_may_use_less_memory_than_its_machine_has(monkeypatch, tmp_path, limit, memory):
    (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(embedded, "CONTAINER_LIMITS", [tmp_path / "memory.max", tmp_path / "missing"])

    assert embedded.memory() == memory


def test_outside_of_a_container_it_is_that_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(embedded, "CONTAINER_LIMITS", [tmp_path / "memory.max", tmp_path / "missing"])

    assert embedded.memory() == MACHINE
