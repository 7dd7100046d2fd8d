"""The project's settings with the benchmarks' endpoints added."""

from salesengine.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.urls"
