"""Check the service, and say for each problem what to do.

The settings and the database go in; findings with ids, or a support bundle without secrets, come out. Only the command
`doctor` imports it; start in `diagnosis.py`.
"""
