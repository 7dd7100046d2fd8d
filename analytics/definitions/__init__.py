"""Read report files and check them.

A `.sql` file with a TOML header goes in; a report with typed parameters and one SELECT, or an error with its line,
comes out. It imports no other package of `analytics`; start in `reports.py`.
"""
