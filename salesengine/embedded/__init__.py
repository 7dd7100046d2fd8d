"""Run a private PostgreSQL when `DATABASE_URL` is not set.

The folder `LOCAL_DIR` goes in; a running server on a Unix socket comes out, shared by all processes that use the folder
and stopped by the last one. It imports `postgresql`; start in `server.py`, which `base.py` turns into a Django database
backend.
"""
