"""Let staff edit and replay the events that were rejected.

Rows in the table `rejected_events` go in; sales of the original senders, or the errors that remain, come out. Of
`sales` it may import `ingest`, `totals` and `models`; start in `replay.py`.
"""
