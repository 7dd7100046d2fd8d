"""Frame the pages of the back office: site, sidebar, base classes, number and date formats, and the pages on users, API
keys and logs.

Models and figures go in; pages with one look come out. It may import `accounts`, `http` and `operations` but no app;
start in `base.py` for lists and in `numbers.py` for formats.
"""
