"""A shared cache in Redis: `collab_sdk.cache.open.open_cache("redis://host:6379/0")`."""

from collab_redis.server import open_cache

__all__ = ["open_cache"]
