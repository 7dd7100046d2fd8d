"""Tests that need a Citus cluster, whose coordinator CITUS_URL names. They have the mark `citus`."""
