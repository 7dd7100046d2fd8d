"""Show sales, rejected events, countries, buyers and sellers to staff.

Filters and ids from a URL go in; lists, figures and links to the sales behind them come out. Of `sales` it may
import everything except `api`; start in `sales.py`.
"""
