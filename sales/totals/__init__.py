"""Keep totals beside the sales, so that responses do not get slower as sales grow.

The ledger entry of each write goes in; feedback, figures by day and country, and the counts of the last hour come out.
Of `sales` it may import only `partitions` and `models`; start in `feedback.py`.
"""
