"""Let gunicorn's threads work only on requests that have arrived, so that slow clients stop nobody.

Sockets that are ready go in; complete requests, within limits on their bytes and their time, come out. It imports no
other package of `salesengine`; start in `worker.py`.
"""
