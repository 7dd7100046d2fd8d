"""Measure how fast the service is.

Demo sales and load go in; medians and ratios come out on standard output. It may import everything, and nothing imports
it; start with `python -m benchmarks.ingest --help`.
"""
