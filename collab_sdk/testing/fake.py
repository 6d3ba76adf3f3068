"""Chat models that answer what a test tells them to."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from collab_sdk.errors import UsageError
from collab_sdk.models.base import ChatReply, ChatRequest
from collab_sdk.spec import Price

__all__ = ["Answer", "FakeChatModel"]

Answer = str | ChatReply | Exception


class FakeChatModel:
    """Answers from a queue, or by a function of the request, and keeps every request it was sent in `requests`.

    An exception in place of an answer is raised. An empty queue is an error of the test: UsageError.
    """

    def __init__(self, answers: Iterable[Answer] | Callable[[ChatRequest], Answer], *, name: str = "fake") -> None:
        self._answer = answers if callable(answers) else None
        self._queue = [] if callable(answers) else list(answers)
        self._name = name
        self.requests: list[ChatRequest] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"fake": self._name}

    @property
    def price(self) -> Price | None:
        return None

    async def achat(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        if self._answer is not None:
            answer = self._answer(request)
        elif self._queue:
            answer = self._queue.pop(0)
        else:
            raise UsageError(f"FakeChatModel {self._name!r} has no answer left for: {request.messages[-1].content}")
        if isinstance(answer, Exception):
            raise answer
        return ChatReply(content=answer) if isinstance(answer, str) else answer
