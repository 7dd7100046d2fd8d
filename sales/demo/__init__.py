"""Generate a demo marketplace for trying things out.

The number of sales and a seed go in; countries and a year of sales events come out, the same for the same arguments.
Only the command `load_demo` and the benchmarks import it; start in `generator.py`.
"""

from sales.demo.generator import countries, generate_events

__all__ = ["countries", "generate_events"]
