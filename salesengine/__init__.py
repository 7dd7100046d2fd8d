"""Hold the project together: its settings, its URLs, and the parts that every app shares.

Environment variables and `.env` go in; the WSGI application that gunicorn serves comes out. Its packages import no app;
start in `settings.py`, then `urls.py`.
"""
