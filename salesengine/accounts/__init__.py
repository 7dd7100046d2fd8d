"""Decide who may use the API and the back office, and log who changed what.

Keys, passwords and codes go in; a client name or a user comes out. It imports no app; start in `api_keys.py` for
programs and in `login.py` for staff.
"""
