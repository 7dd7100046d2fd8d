"""Fail at once while PostgreSQL is away, instead of letting every thread wait for a connection.

A request for a connection goes in; a connection from the pool comes out, or during an outage an error at once. It
imports nothing of the project; start in `base.py`, which is the Django database backend of every connection.
"""
