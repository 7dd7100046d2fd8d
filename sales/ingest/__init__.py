"""Turn sale events into stored sales, each one once.

The body of a request goes in; committed sales, and a response with ids or counts, come out. Of `sales` it may import
only `totals` and `models`; start in `service.py`, and find the one writer of sales in `writer.py`.
"""
