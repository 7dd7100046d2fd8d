"""Turn files into stored sales, and continue an interrupted import where it stopped.

CSV, NDJSON and Parquet files go in; batches of 5,000 events go to `ingest`, each in one transaction with the checkpoint
of its file. Of `sales` it may import `ingest`, `totals`, `partitions` and `models`; start in `importer.py`.
"""
