"""Generate a demo marketplace: its countries and a year of sales, the same for the same arguments.

`data` holds the tables that describe the marketplace, `generator` draws countries and sales events from them, and
`manage.py load_demo` stores them.
"""

from sales.demo.generator import countries, generate_events

__all__ = ["countries", "generate_events"]
