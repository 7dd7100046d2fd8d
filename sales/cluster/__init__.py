"""Distribute the tables over the nodes of a Citus cluster, and bring them back.

The tables of a coordinator go in; shards on its workers, or the same tables as before, come out, one step at a time. Of
`sales` it may import only `partitions` and `models`; start in `steps.py`.
"""
