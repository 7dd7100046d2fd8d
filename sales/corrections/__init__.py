"""Void sales that were wrong, and replace them.

Corrections by id or EVENT_ID go in; voided sales, their replacements and ledger entries for both come out, in one
transaction. Of `sales` it may import `ingest`, `totals` and `models`; start in `service.py`.
"""
