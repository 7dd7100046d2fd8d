"""Let requests that wait know that their process is ending."""

from threading import Event

is_stopping = Event()
