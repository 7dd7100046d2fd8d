"""Receive sales, store each one once, and answer questions about them.

Requests and files go in; rows in the table `sales`, API responses and pages of the back office come out. It may import
`countries` and `salesengine` but not `analytics`; start in `api/views.py` and follow a sale through `ingest` and
`totals` to `models.py`.
"""
