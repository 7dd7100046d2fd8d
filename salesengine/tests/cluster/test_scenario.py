"""The service answers the same on a cluster as on its private PostgreSQL."""

from itertools import zip_longest
from pathlib import Path

import pytest

from salesengine.tests.cluster import scenario
from salesengine.tests.cluster.installations import Installation, on_cluster, on_private_database

pytestmark = pytest.mark.citus

PREPARE = (("prepare",), ("load_demo", "--sales", "20000", "--until", "2021-06-30"))


def answers(installation: Installation, folder: Path) -> list[scenario.Answer]:
    folder.mkdir()
    with installation.serve() as url:
        return list(scenario.run(installation, url, folder))


def first_difference(expected: bytes, found: bytes) -> tuple[bytes, bytes]:
    """Return where two answers begin to differ."""
    at = next(at for at, pair in enumerate(zip_longest(expected, found)) if pair[0] != pair[1])
    return expected[max(at - 100, 0) : at + 100], found[max(at - 100, 0) : at + 100]


def test_every_answer_is_the_same_byte_for_byte(tmp_path):
    with on_private_database() as private, on_cluster() as cluster:
        for command in PREPARE:
            for installation in (private, cluster):
                assert installation.manage(*command).endswith("exit code 0\n")
        assert cluster.manage("distribute", "--shards", "8").endswith("exit code 0\n")
        expected, found = (
            answers(each, tmp_path / name) for each, name in ((private, "private"), (cluster, "cluster"))
        )

    assert [name for name, _ in found] == [name for name, _ in expected]
    pairs = [(name, answer, other) for (name, answer), (_, other) in zip(expected, found, strict=True)]
    assert {name: first_difference(*answers) for name, *answers in pairs if answers[0] != answers[1]} == {}
