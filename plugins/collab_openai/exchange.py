"""One request to an OpenAI-compatible endpoint, and what has come back of it."""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from collab_openai.chat import PartialCompletion
from collab_openai.responses import PartialResponse, request_messages, response_answer, tools_of
from collab_openai.threads import Threads
from collab_sdk.harvest import Answer, Recorder, completion_answer, conversation_id_in, error_text, kept_parameters
from collab_sdk.logs import LoggedCall

STOPPED = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)


class Partial(Protocol):
    """An answer that is being streamed."""

    def add(self, chunk: Any) -> None: ...

    def answer(self) -> Answer: ...


class Exchange:
    """Collects what a call is recorded as. It is recorded once, however it ends; nothing here raises."""

    def __init__(self, recorder: Recorder, body: Mapping[str, Any], partial: Partial, threads: Threads | None) -> None:
        self.recorder = recorder
        self._body = body
        self._partial = partial
        self._threads = threads
        self._conversation = conversation_id_in(body.get("metadata"))
        self._messages: Sequence[Any] = tuple(body.get("messages") or ())
        if threads is not None:
            earlier = threads.before(body)
            self._conversation = self._conversation or earlier.conversation
            self._messages = request_messages(body, earlier.messages)
        self._run = uuid.uuid4().hex
        self._started = time.time()
        self._done = False

    @classmethod
    def of(cls, recorder: Recorder, threads: Threads, options: Any) -> Self | None:
        """The exchange that a request begins; None for requests that are no chat."""
        if str(options.method).lower() != "post":
            return None
        path = str(options.url).partition("?")[0]
        body = {**(options.json_data or {}), **(options.extra_json or {})}
        if path == "/chat/completions":
            return cls(recorder, body, PartialCompletion(), None)
        if path == "/responses":
            return cls(recorder, body, PartialResponse(), threads)
        return None

    def answered(self, result: Any) -> None:
        """The whole answer is here."""
        answer = completion_answer(result) if self._threads is None else response_answer(result)
        self._record(answer, "failed" if answer.error else "ok", answer.error)

    def streamed(self, chunk: Any) -> None:
        """A piece of a stream is here."""
        with self.recorder.quietly():
            self._partial.add(chunk)

    def ended(self) -> None:
        """The stream is at its end, or the app reads no further."""
        with self.recorder.quietly():
            answer = self._partial.answer()
            status = "failed" if answer.error else "ok" if answer.complete else "partial"
            if answer.complete or answer.replies:
                self._record(answer, status, answer.error)

    def failed(self, error: BaseException) -> None:
        """The request or the stream raised."""
        with self.recorder.quietly():
            # A completion that could not be parsed as the app wished is on the error.
            completion = getattr(error, "completion", None)
            answer = completion_answer(completion) if completion is not None else self._partial.answer()
            stopped = isinstance(error, STOPPED)
            status = "cancelled" if stopped else "partial" if answer.replies else "failed"
            self._record(answer, status, error_text(error))

    def _record(self, answer: Answer, status: str, error: str | None) -> None:
        if self._done:
            return
        self._done = True
        body, conversation = self._body, self._conversation
        if self._threads is not None:
            conversation = conversation or self._new_conversation(answer)
            if status == "ok":
                self._threads.remember(body, answer, conversation, self._messages)
        self.recorder.record(
            LoggedCall(
                run_id=self._run,
                conversation_id=conversation,
                messages=tuple(self._messages),
                replies=answer.replies,
                status=status,
                error=error,
                source="openai",
                model=answer.model or body.get("model"),
                parameters=kept_parameters(body),
                tools=tools_of(body),
                user=body.get("safety_identifier") or body.get("user"),
                usage=answer.usage,
                started=self._started,
                ended=time.time(),
                metadata=answer.metadata,
            )
        )

    def _new_conversation(self, answer: Answer) -> str | None:
        """Instructions hold for one request, so that histories alone would not show what goes on from what.

        An app that sends the whole history itself needs no name for it.
        """
        sent_whole = any(message.get("role") == "assistant" for message in self._messages)
        return None if sent_whole else answer.id or self._run
