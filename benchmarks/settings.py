"""The project's settings, with an endpoint that does nothing beside its own."""

from salesengine.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.urls"
