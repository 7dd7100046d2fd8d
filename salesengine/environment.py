"""What the settings RATE_LIMIT and CACHE_URL say."""

import re
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

SECONDS = {"second": 1, "minute": 60, "hour": 60 * 60, "day": 24 * 60 * 60}
RATE = re.compile(rf"([0-9]+)/({'|'.join(SECONDS)})")
LOCAL_MEMORY = "django.core.cache.backends.locmem.LocMemCache"
REDIS = "django.core.cache.backends.redis.RedisCache"
PATIENCE = 0.5  # seconds for an answer of the cache, which requests wait for


def parse_rate(text: str) -> tuple[int, int] | None:
    """600/minute -> (600, 60), requests and seconds; nothing -> None, no limit. Raises ImproperlyConfigured."""
    if not text.strip():
        return None
    match = RATE.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise ImproperlyConfigured(
            f"RATE_LIMIT is {text!r}: write a number from 1 up, a slash, and second, minute, hour or day, such as"
            " 600/minute; or nothing, for no limit"
        )
    return int(match[1]), SECONDS[match[2]]


def cache_config(url: str) -> dict[str, Any]:
    """One entry of CACHES: the Redis at `url`, or without one the memory of each process."""
    if not url:
        # As many senders can be counted at once; Django's default is 300 entries.
        return {"BACKEND": LOCAL_MEMORY, "OPTIONS": {"MAX_ENTRIES": 10_000}}
    if not url.startswith(("redis://", "rediss://")):
        raise ImproperlyConfigured("CACHE_URL must name a Redis: redis://host:6379/0, or rediss:// for TLS")
    config: dict[str, Any] = environ.Env.cache_url_config(url)
    quick = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
    return {"KEY_PREFIX": "salesengine"} | config | {"BACKEND": REDIS, "OPTIONS": quick | config.get("OPTIONS", {})}
