"""Break a running service on purpose while clients send sales, and check that no sale is lost, doubled or cut in half.

    python -m salesengine.tests.faults --injections 100 --seed 1 --minutes 7
    python -m salesengine.tests.faults --kinds kill_postmaster disk_full --injections 4
    python -m salesengine.tests.faults --minutes 600 --injections 1000000

A round has a new database (a real PostgreSQL), the service as gunicorn serves it, and a TCP proxy between them. For
each injection, clients send requests of all kinds, one fault is injected, the service has to come back by itself, and
the checker counts every sale and every total again. `kinds_*.py` hold the faults, one function each, `load.py` and
`correctors.py` the clients, `checker.py` what must hold. The seed decides the order of the faults and every random
choice, but not the timing of the processes. Exits with 1 after any violation.
"""
