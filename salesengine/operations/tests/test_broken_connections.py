"""The service recovers when connections to the database go silent, and says what was stored when they break."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from salesengine.embedded import server as embedded
from salesengine.tests.proxy import serve_through_proxy
from salesengine.tests.servers import connect_database

pytestmark = pytest.mark.slow
THREADS = 32


@pytest.fixture(scope="module")
def proxied(server, server_dir):
    """Yield the address of a service and the proxy between it and the database."""
    with serve_through_proxy(embedded.socket_dir(server_dir), STATEMENT_TIMEOUT="3") as address_and_proxy:
        yield address_and_proxy


@pytest.fixture
def cluster(server, server_dir):
    """Yield the same for a service that takes its database for a cluster, and so stores single events by COPY."""
    with connect_database(server_dir) as connection:
        connection.execute("SET allow_system_table_mods = on")
        connection.execute("CREATE TABLE pg_catalog.pg_dist_partition (partmethod) AS SELECT 'h'::\"char\"")
        connection.commit()
        try:
            with serve_through_proxy(embedded.socket_dir(server_dir)) as address_and_proxy:
                yield address_and_proxy
        finally:
            connection.execute("DROP TABLE pg_catalog.pg_dist_partition")


def post(address, body, **headers):
    return httpx.post(f"{address}/ingest", json=body, headers=headers, timeout=120)


def count_stored(server_dir, order):
    with connect_database(server_dir) as connection:
        return connection.execute("SELECT count(*) FROM sales WHERE id_order = %s", [order]).fetchone()[0]


def fill_pools(address, event):
    with ThreadPoolExecutor(THREADS) as clients:
        list(clients.map(lambda _: post(address, [event]), range(4 * THREADS)))
        list(clients.map(lambda _: post(address, event), range(THREADS)))


def seconds_until_stored(address, event):
    start = time.monotonic()
    while post(address, event).status_code != 201:
        assert time.monotonic() - start < 60
        time.sleep(0.1)
    return time.monotonic() - start


def test_connections_that_go_silent_are_replaced(proxied, event):
    address, proxy = proxied
    fill_pools(address, event)
    proxy.silence()

    with ThreadPoolExecutor(2 * THREADS) as clients:
        start = time.monotonic()
        statuses = list(clients.map(lambda _: post(address, [event]).status_code, range(2 * THREADS)))

    assert set(statuses) <= {201, 503}
    assert time.monotonic() - start < 60
    assert seconds_until_stored(address, event) < 30
    assert httpx.get(f"{address}/healthz", timeout=30).status_code == 200


def test_the_service_is_back_soon_after_a_silent_network(proxied, event):
    address, proxy = proxied
    fill_pools(address, event)
    proxy.silence()
    proxy.is_silent = True

    with ThreadPoolExecutor(2 * THREADS) as clients:  # half of them wait for a thread, but none is cut off
        responses = [clients.submit(post, address, event) for _ in range(2 * THREADS)]
        time.sleep(15)
        proxy.is_silent = False
        assert seconds_until_stored(address, event) < 30
        assert {response.result().status_code for response in responses} <= {201, 503}


@pytest.mark.parametrize(
    ("kind", "marker", "headers"),
    [
        ("single", b'"cut single"', {}),
        ("list", b"COMMIT", {}),
        ("event_id", b"COMMIT", {}),
        ("key", b"COMMIT", {"Idempotency-Key": "cut-key"}),
    ],
)
def test_a_connection_that_breaks_after_the_commit_leaves_the_outcome_unknown(
    proxied, server_dir, event, kind, marker, headers
):
    address, proxy = proxied
    order = f"cut {kind}"
    sale = event | {"ID_ORDER": order} | ({"EVENT_ID": order} if kind == "event_id" else {})
    cuts = proxy.cuts
    proxy.cut_after(marker)

    response = post(address, [sale] if kind == "list" else sale, **headers)

    assert (response.status_code, response.json()["type"]) == (503, "/docs/problems#outcome-unknown")
    assert response.headers["Retry-After"] == "5"
    assert proxy.cuts == cuts + 1
    assert count_stored(server_dir, order) == 1
    if kind in {"event_id", "key"}:  # as the problem says, the retry is safe
        assert post(address, sale, **headers).status_code in {200, 201}
        assert count_stored(server_dir, order) == 1


@pytest.mark.parametrize("count", [1, 300])
def test_a_connection_that_breaks_before_the_commit_stores_nothing(proxied, server_dir, event, count):
    address, proxy = proxied
    order = f"early {count}"
    cuts = proxy.cuts
    proxy.cut_after(b"EXECUTE store_few" if count == 1 else b"COPY sales")

    response = post(address, [event | {"ID_ORDER": order}] * count)

    assert (response.status_code, response.json()["type"]) == (503, "/docs/problems#database-unavailable")
    assert proxy.cuts == cuts + 1
    assert count_stored(server_dir, order) == 0


@pytest.mark.parametrize(
    ("marker", "problem", "stored"), [(b"COPY sales", "database-unavailable", 0), (b"COMMIT", "outcome-unknown", 1)]
)
def test_a_single_event_on_a_cluster_whose_connection_breaks(cluster, server_dir, event, marker, problem, stored):
    address, proxy = cluster
    order = f"cluster {problem}"
    assert post(address, event).status_code == 201
    proxy.cut_after(marker, first=b"COPY sales")  # folds commit too

    response = post(address, event | {"ID_ORDER": order})

    assert (response.status_code, response.json()["type"]) == (503, f"/docs/problems#{problem}")
    assert (proxy.cuts, count_stored(server_dir, order)) == (1, stored)
