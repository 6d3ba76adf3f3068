"""Connecting to Redis, and whether it can hold a cache at all."""

import os
from typing import Any

from collab_redis.redis_errors import explained, load_redis
from collab_redis.redis_rows import RedisRows
from collab_sdk.cache import SharedCache, signer_of
from collab_sdk.errors import CacheError, UsageError
from collab_sdk.secrets import Address

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 25.0
TELLS_SYNCED = (7, 2)
"""From here on Redis has WAITAOF."""


def open_cache(url: str) -> SharedCache:
    """The shared cache at `redis://`, or `rediss://` for TLS.

    Raises UsageError for what is no URL or has no HMAC key beside it, CacheError where Redis cannot hold a cache.
    """
    server = RedisServer(url)
    return SharedCache(server, signer_of(os.environ, server.where))


class RedisServer:
    def __init__(self, url: str) -> None:
        self._address = Address(url)
        self.where = self._address.shown

    def connect(self) -> RedisRows:
        with explained(self._address):
            client = self._client()
            try:
                info = client.info()
                self._check(info)
            except BaseException:
                client.close()
                raise
        version = tuple(int(part) for part in info["redis_version"].split(".")[:2])
        return RedisRows(client, self._address, syncs=version >= TELLS_SYNCED and bool(info.get("aof_enabled")))

    def _client(self) -> Any:
        redis = load_redis()
        try:
            return redis.Redis.from_url(
                self._address.url,
                single_connection_client=True,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=ANSWER_SECONDS,
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),  # another try is the cache's to make
                client_name="collab-sdk",
                protocol=2,  # the other begins with a HELLO, whose refusal says nothing of passwords
            )
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"{self.where!r} is no address of a Redis ({self._address.said(error)}): write it like "
                "redis://:PASSWORD@localhost:6379/0."
            ) from None

    def _check(self, info: dict[str, Any]) -> None:
        if (policy := info.get("maxmemory_policy")) != "noeviction":
            raise CacheError(
                f"The cache at {self.where} would throw away what was paid for: its maxmemory-policy is {policy}. Set "
                "it with `redis-cli CONFIG SET maxmemory-policy noeviction`, and in redis.conf."
            )
        if info.get("role") == "slave":
            raise CacheError(
                f"The cache at {self.where} is a replica that takes no writes: give the URL of its primary."
            )
