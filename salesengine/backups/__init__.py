"""Back up the database, restore it to any second, and verify that a backup restores with the same figures.

A folder goes in; complete backups with manifests, or a new `LOCAL_DIR`, come out. It may import `operations` and
`embedded` but no app; start in `taking.py`, then `restoring.py`.
"""
