"""One call that any number of callers wait for."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from collab_sdk.models.base import ChatReply


class SharedCall:
    """A call in a task of its own, so that a caller who is cancelled does not take down the others.

    When the last of them is cancelled, a call that was not sent yet is cancelled too; one that was `sent` goes on until
    its reply is kept, since it is paid for.
    """

    task: asyncio.Task[ChatReply]

    def __init__(self) -> None:
        self.sent = False
        self._waiting = 0

    def start(self, call: Coroutine[Any, Any, ChatReply]) -> None:
        self.task = asyncio.create_task(call)
        self.task.add_done_callback(_seen)

    async def result(self) -> ChatReply:
        self._waiting += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiting -= 1
            if self._waiting == 0 and not self.sent:
                self.task.cancel()


def _seen(task: asyncio.Task[ChatReply]) -> None:
    if not task.cancelled():
        task.exception()  # whoever waited has seen it; if nobody waits any more, nobody needs to
