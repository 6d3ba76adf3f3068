"""Connecting to Redis, and whether it can hold a cache at all."""

import os
import re
from collections.abc import Iterator
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from collab_redis.redis_errors import check_eviction, explained, load_redis
from collab_redis.redis_rows import RedisRows
from collab_redis.replicas import Replicas
from collab_sdk.cache import SharedCache, is_local, server_address, signer_of
from collab_sdk.errors import CacheError, LostConnectionError, UsageError

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 25.0
TELLS_SYNCED = (7, 2)
"""From here on Redis has WAITAOF."""
EXAMPLE = "redis://:PASSWORD@localhost:6379/0"
OPTIONS = re.compile(r"db|(?:sentinel_)?(?:username|password)|ssl_\w+")
"""What may stand in the query: others of redis-py's change what it returns, or how often it tries."""
SENTINEL, SENTINEL_PORT = "+sentinel", 26379
SENTINEL_EXAMPLE = "redis+sentinel://:PASSWORD@sentinel-1:26379,sentinel-2:26379/SERVICE/0"


def open_cache(url: str, *, any_key: bool = False) -> SharedCache:
    """The shared cache at `redis://`, or `rediss://` for TLS; with `+sentinel`, at the primary that Sentinels name.

    Raises UsageError for what is no URL or has no HMAC key beside it, CacheError where Redis cannot hold a cache.
    """
    server = RedisServer(url)
    return SharedCache(server, signer_of(os.environ, server.where), any_key=any_key)


class RedisServer:
    def __init__(self, url: str) -> None:
        self._asks_sentinels = url.partition("://")[0].lower().endswith(SENTINEL)
        self._example = SENTINEL_EXAMPLE if self._asks_sentinels else EXAMPLE
        self._address = server_address(url, os.environ, example=self._example)
        self.where = self._address.shown
        database = urlsplit(self._address.url).path.strip("/")
        if self._asks_sentinels:
            database = database.partition("/")[2]
        if database and not (
            database.isascii() and database.isdigit()
        ):  # which redis-py takes for 0, or for some other
            raise UsageError(f"The database in {self.where} is not a number: write it like {self._example}.")
        asked = {name for name, _ in parse_qsl(urlsplit(self._address.url).query, keep_blank_values=True)}
        if unknown := sorted(name for name in asked if not OPTIONS.fullmatch(name)):
            raise UsageError(
                f"The address {self.where} has the option {unknown[0]}, which a cache does not take: write it like "
                f"{self._example}, with nothing in its query but db, username, password, sentinel_… and ssl_…."
            )
        self._replicas = Replicas(self.where)
        self._scanned: set[int] = set()

    def connect(self) -> RedisRows:
        with explained(self._address):
            client = self._client()
            try:
                info = client.info()
                self._check(info)
                self._replicas.counted(info["connected_slaves"])
            except BaseException:
                client.close()
                raise
        version = tuple(int(part) for part in info["redis_version"].split(".")[:2])
        return RedisRows(
            client,
            self._address,
            run_id=info.get("run_id") or token_hex(),  # of a server that tells none, each connection counts as new
            scanned=self._scanned,
            syncs=version >= TELLS_SYNCED and bool(info.get("aof_enabled")),
            replicas=self._replicas,
            warnings=[*self._warnings(info)],
        )

    def _client(self) -> Any:
        redis = load_redis()
        try:
            return redis.Redis.from_url(
                self._primary_of_sentinels() if self._asks_sentinels else self._address.url,
                single_connection_client=True,
                client_name="collab-sdk",
                protocol=2,  # the other begins with a HELLO, whose refusal says nothing of passwords
                **_patience(),
            )
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise UsageError(
                f"{self.where!r} is not the address of a Redis server ({self._address.said(error)}): "
                f"write it like {self._example}."
            ) from None

    def _primary_of_sentinels(self) -> str:
        """The URL of the primary, by what the Sentinels say now. Raises LostConnectionError if none says one."""
        redis = load_redis()
        parts = urlsplit(self._address.url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        service, _, database = parts.path.strip("/").partition("/")
        asked = dict(parse_qsl(parts.query))
        own = {name: asked.pop(f"sentinel_{name}", None) for name in ("username", "password")}
        plain = parts._replace(scheme=parts.scheme.removesuffix(SENTINEL), path=f"/{database}", query=urlencode(asked))
        options = redis.connection.parse_url(urlunsplit(plain._replace(netloc="localhost")))
        options["ssl"] = options.pop("connection_class", None) is redis.SSLConnection
        options = {name: value for name, value in options.items() if name not in ("host", "db")}
        host, port = self._asked(_pairs(hosts), unquote(service), {**options, **own, **_patience(), "protocol": 2})
        host = f"[{host}]" if ":" in host else host
        return urlunsplit(plain._replace(netloc=f"{credentials}@{host}:{port}" if credentials else f"{host}:{port}"))

    def _asked(self, sentinels: list[tuple[str, int]], service: str, options: dict[str, Any]) -> tuple[str, int]:
        """The address of the primary, by the first Sentinel that answers; the others are for when it does not."""
        redis = load_redis()
        said = "they know of no such service"
        for host, port in sentinels:
            try:
                with redis.Redis(host, port, **options) as sentinel:
                    # In a failover this names the new one before `SENTINEL MASTERS` does.
                    if found := sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service):
                        return found[0].decode(), int(found[1])
            except redis.AuthenticationError as error:
                raise CacheError(
                    f"The Sentinels of the cache at {self.where} ask for a password of their own, or refuse it "
                    f"({self._address.said(error)}): write it into the URL, ?sentinel_password=PASSWORD."
                ) from None
            except (redis.RedisError, OSError) as error:
                said = self._address.said(error)
        raise LostConnectionError(
            f"The cache at {self.where} has no primary now by its Sentinels ({said}): see that they run, and that "
            f"{service!r} is what they call it."
        )

    def _check(self, info: dict[str, Any]) -> None:
        if "server_time_usec" not in info:
            raise CacheError(
                f"The cache at {self.where} is an older Redis, {info.get('redis_version')}: this takes 7.0 or later."
            )
        check_eviction(info, self.where)
        if info.get("role") == "slave":  # lost, and not refused, since in a failover this goes by
            raise LostConnectionError(
                f"The cache at {self.where} is a replica that takes no writes: give the URL of its primary."
            )

    def _warnings(self, info: dict[str, Any]) -> Iterator[str]:
        if not info.get("aof_enabled"):
            yield (
                "keeps replies in memory: what was paid for since its last snapshot, or all of it, is lost when it "
                "restarts. Turn its file on: `redis-cli CONFIG SET appendonly yes`, and in redis.conf"
            )
        parts = urlsplit(self._address.url)
        others = [host for host, _ in _pairs(parts.netloc.rpartition("@")[2]) if not is_local(host)]
        if others and not parts.scheme.startswith("rediss"):
            yield (
                f"is sent password and chats in clear text, to {', '.join(others)}: use rediss:// where others share "
                "the network"
            )


def _patience() -> dict[str, Any]:
    retry = load_redis().retry.Retry(load_redis().backoff.NoBackoff(), 0)  # another try is the cache's to make
    return {"socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": ANSWER_SECONDS, "retry": retry}


def _pairs(hosts: str) -> list[tuple[str, int]]:
    """`a,b:26380` as hosts with ports."""
    split = [urlsplit(f"//{host}") for host in hosts.split(",")]
    return [(unquote(part.hostname or "localhost"), part.port or SENTINEL_PORT) for part in split]
