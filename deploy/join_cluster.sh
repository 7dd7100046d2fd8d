#!/bin/sh
# Add the workers to the cluster of Docker Compose. It is safe to run this again.
# The nodes find each other by the folder of their sockets, and their ports.
set -eu
psql --set ON_ERROR_STOP=1 --port 5432 --username postgres --dbname salesengine <<'SQL'
CREATE EXTENSION IF NOT EXISTS citus;
SELECT citus_set_coordinator_host('/run/postgresql', 5432);
SELECT citus_add_node('/run/postgresql', 5433);
SELECT citus_add_node('/run/postgresql', 5434);
SQL
