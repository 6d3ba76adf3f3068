"""What Redis and its client say, in one line, and what to do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from collab_sdk.errors import CacheError, LostConnectionError, MissingExtraError
from collab_sdk.secrets import Address

LEAST_RIGHTS = (
    "resetkeys ~collab:* resetchannels -@all +eval +evalsha +script|load +hmget +hget +hset +hsetnx +hdel +hlen +hscan "
    "+get +set +del +unlink +info +memory|usage +client|setname +select +ping +wait"
)
"""What `ACL SETUSER` gives a user of a cache, and nothing besides; from Redis 7.2 on, +waitaof too."""
REFUSALS = {
    "Authentication required": "asks for a password: name a file that holds it in COLLAB_CACHE_PASSWORD_FILE, or "
    "write it into the URL, redis://:PASSWORD@HOST:PORT",
    "AuthenticationError": "refuses the user or password of its URL",
    "OutOfMemoryError": "is full, and keeps what it has: raise its maxmemory, or delete with `collab cache prune`",
    "MISCONF": "cannot write to its disk: free space there, or see its log",
    "NoPermissionError": f"does not let this user do what a cache needs: ACL SETUSER NAME {LEAST_RIGHTS}",
    "WRONGTYPE": "holds something else under names that begin with collab: give another database, as redis://HOST/1",
    "MOVED": "is one node of a cluster: give a Redis that stands for itself",
    "CERTIFICATE_VERIFY_FAILED": "has a certificate not trusted here: name who signed it with ?ssl_ca_certs=FILE",
    "out of range": "has no database of that number: give a smaller one, such as redis://HOST/0",
}
"""By the name of the client's error, or a word in what it says."""
FULL = "max number of clients reached"
PASSING = {
    FULL: "has no connection left for this process, which needs three: raise its maxclients, or run fewer processes",
    "ReadOnlyError": "is a replica that takes no writes: give the URL of its primary",
    "NOREPLICAS": "takes no writes while it has too few replicas (min-replicas-to-write): see that they run",
    "UNBLOCKED": "was the primary, and is a replica now",
    "MASTERDOWN": "is a replica whose primary is gone",
}
"""Errors that pass by themselves, in a failover or when other processes end: they are waited for."""


def check_eviction(memory: Mapping[str, Any], where: str) -> None:
    """Raises CacheError where a server throws rows away, by what it says of its memory."""
    if (policy := memory.get("maxmemory_policy")) != "noeviction":
        raise CacheError(
            f"The cache at {where} would throw away what was paid for: its maxmemory-policy is {policy}. Set it with "
            "`redis-cli CONFIG SET maxmemory-policy noeviction`, and in redis.conf."
        )


def load_redis() -> Any:
    """Redis's client, imported on first use. Raises MissingExtraError where it is not installed."""
    try:
        import redis
    except ImportError:
        raise MissingExtraError.of("A cache in Redis needs its client", "redis") from None
    return redis


@contextmanager
def explained(address: Address) -> Iterator[None]:
    """Raise LostConnectionError where another try may help, and CacheError elsewhere."""
    redis = load_redis()
    try:
        yield
    except (redis.RedisError, OSError) as error:
        said, known = address.said(error), f"{type(error).__name__} {error}"
        if (passing := next((text for word, text in PASSING.items() if word in known), None)) is not None:
            raise LostConnectionError(
                f"The cache at {address.shown} {passing}. It said: {said}.", is_full=FULL in known
            ) from None
        if (refusal := next((text for word, text in REFUSALS.items() if word in known), None)) is not None:
            raise CacheError(f"The cache at {address.shown} {refusal}. It said: {said}.") from None
        if isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError):
            raise LostConnectionError(
                f"The cache at {address.shown} does not answer: {said}. See that Redis runs there."
            ) from None
        raise CacheError(f"The cache at {address.shown} cannot be used: {said}.") from None
