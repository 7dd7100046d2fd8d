"""Let programs follow the sales: every sale and every void exactly once, in one order that never changes.

A position goes in; the changes after it, and the position to continue from, come out. Of `sales` it may import
`ingest`, `totals` and `models`; start in `feed.py`.
"""
