"""Leases of a shared cache when another's cannot be taken."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from support.caches import HMAC_KEY, MemoryServer, key_of

from collab_sdk.cache import SharedCache
from collab_sdk.cache.signing import Signer
from collab_sdk.errors import CacheError

FIRST, SECOND, THIRD = (key_of(name) for name in "abc")


class AwayForAMoment(MemoryServer):
    """Takes its time to lock SECOND, and cannot lock THIRD the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.is_away = True

    def lock(self, keys: Sequence[str], owner: str) -> list[bool]:
        if SECOND in keys:
            self.asked.set()
            assert self.may_answer.wait(30)
        if THIRD in keys and self.is_away:
            self.is_away = False
            raise CacheError("The server is away.")
        return super().lock(keys, owner)


async def hold(cache: SharedCache, key: str) -> None:
    async with cache.lease(key):
        pass


def test_a_lease_is_given_up_although_one_that_is_asked_for_meanwhile_cannot_be_taken():
    server = AwayForAMoment()
    cache, other = (SharedCache(server, Signer(HMAC_KEY)) for _ in range(2))

    async def main() -> None:
        async with cache.lease(FIRST):
            second = asyncio.create_task(hold(cache, SECOND))
            await asyncio.to_thread(server.asked.wait, 30)
            third = asyncio.create_task(hold(cache, THIRD))
            await asyncio.sleep(0)
        server.may_answer.set()  # only now, so that what was said since goes in one trip
        await second
        with pytest.raises(CacheError, match="away"):
            await third
        async with asyncio.timeout(30):
            for one in (cache, other):
                for key in (FIRST, SECOND, THIRD):
                    await hold(one, key)

    asyncio.run(main())
    for one in (cache, other):
        one.close()
    assert server.leases == {}
