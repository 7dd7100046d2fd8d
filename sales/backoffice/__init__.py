"""Show sales, rejected events, countries, buyers and sellers to staff.

Filters and ids from a URL go in; lists, figures and links to the sales behind them come out. Of `sales` it may
import everything except `api`; start in `sales.py`.
"""

# The modules:
# - sales.py: the pages of sales and voided sales
# - sale_list.py: the list of sales, with its totals and exports
# - sale_search.py: find one page of the sales that match
# - filters.py: the filters of that list
# - distinct_values.py: the values that a filter offers
# - origins.py: who sent a sale
# - corrections.py: the page that voids or replaces a sale
# - rejected_events.py: the pages of rejected events
# - rejected_display.py: the texts on these pages
# - countries.py: the list of countries
# - trader_pages.py: the pages of buyers and sellers
# - trader_history.py: the figures on these pages
# - links.py: the URLs of sales, buyers and sellers
# - command_search.py: what the search box (Ctrl-K) finds
