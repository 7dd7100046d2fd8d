"""Show the home page, the reports and the log of runs to staff.

Forms and URLs go in; charts, tables, downloads and links to the sales behind a number come out. Of `analytics` it
may import everything except `api`; start in `reports.py`.
"""
