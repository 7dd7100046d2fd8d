"""Run reports in read-only transactions, and log every run.

A report and its bound parameters go in; columns, rows and failed assertions, all from one snapshot, come out. Of
`analytics` it may import `definitions` and `models`; start in `runner.py`.
"""
