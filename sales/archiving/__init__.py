"""Move the sales of old months to Parquet files, and bring them back.

A month goes in; a verified file with its manifest, and a record with which the totals stay exact, come out. Of `sales`
it may import `totals`, `partitions` and `models`; start in `moving.py`.
"""
