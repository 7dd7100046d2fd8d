"""Clients that correct sales while the service and PostgreSQL die."""

from salesengine.tests.faults.correctors import correcting
from salesengine.tests.faults.kinds_network import COMMIT, repeat
from salesengine.tests.faults.kinds_processes import kill_all_workers, kill_backend, kill_postmaster, kill_worker
from salesengine.tests.faults.lane import Lane, injection, rare


def lose_commits(lane: Lane) -> None:
    repeat(lane, lambda: lane.proxy.cut_after(COMMIT))


@rare
@injection
def interrupted_corrections(lane: Lane) -> None:
    """Clients void and replace sales while workers, backends and the postmaster are killed and COMMITs are cut off."""
    with correcting(lane) as correctors:
        for harm in (lose_commits, kill_worker, kill_backend, lose_commits, kill_all_workers, kill_postmaster):
            correctors.wait(5)
            harm(lane)
