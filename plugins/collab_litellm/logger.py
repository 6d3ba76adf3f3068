"""The callback that records what LiteLLM does, as an SDK or as a proxy."""

import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from collab_sdk.harvest import (
    IGNORE_TAG,
    Answer,
    Recorder,
    completion_answer,
    conversation_id_in,
    current_conversation,
    error_text,
    kept_parameters,
    suppressed,
)
from collab_sdk.logs import LoggedCall

CHAT = ("completion", "acompletion")
LIMIT = 10_000
"""Calls that are cancelled never end: of more than this, the oldest are forgotten."""


class CollabLogger(CustomLogger):  # type: ignore[misc]  # LiteLLM comes without types
    """Records chat completions, sync, async and streamed; of the same call, whichever hooks fire, one record.

    Not recorded are calls inside `suppress()` and those with the tag `collab:ignore` in `metadata["tags"]`. LiteLLM
    tells nobody of calls that are cancelled and streams that are broken off.
    """

    def __init__(self, store: Recorder | str | os.PathLike[str]) -> None:
        super().__init__()
        self.recorder = store if isinstance(store, Recorder) else Recorder(store)
        self._begun = _BegunCalls()

    def log_pre_api_call(self, model: str, messages: Any, kwargs: Mapping[str, Any]) -> None:
        with self.recorder.quietly():
            self._begun.note(kwargs.get("litellm_call_id"))

    def log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        with self.recorder.quietly():
            self._record(kwargs, response_obj, start_time, end_time)

    def log_failure_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        with self.recorder.quietly():
            self._record(kwargs, None, start_time, end_time)

    async def async_log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        self.log_success_event(kwargs, response_obj, start_time, end_time)

    async def async_log_failure_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        self.log_failure_event(kwargs, response_obj, start_time, end_time)

    def _record(self, kwargs: Mapping[str, Any], completion: Any, started: datetime, ended: datetime) -> None:
        if kwargs.get("call_type") not in CHAT:
            return
        call_id = str(kwargs["litellm_call_id"])
        begun = self._begun.end(call_id)
        metadata = _metadata(kwargs)
        if begun.suppressed or IGNORE_TAG in (metadata.get("tags") or ()):
            return
        answer = Answer() if completion is None else completion_answer(completion)
        arguments = kwargs.get("optional_params") or {}
        error = kwargs.get("exception") if completion is None else None
        self.recorder.record(
            LoggedCall(
                run_id=call_id,
                conversation_id=conversation_id_in(metadata, begun.conversation),
                messages=tuple(kwargs.get("messages") or ()),
                replies=answer.replies,
                status="failed" if completion is None else "ok",
                error=None if error is None else error_text(error),
                source="litellm",
                model=kwargs.get("model"),
                parameters=kept_parameters(arguments),
                tools=tuple(arguments.get("tools") or ()),
                user=_user(kwargs),
                usage=answer.usage,
                started=started.timestamp(),
                ended=ended.timestamp(),
                cached=kwargs.get("cache_hit") is True,
                metadata=answer.metadata,
            )
        )


def _metadata(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What the caller said about the call; through a proxy, also what its client said in the request's headers."""
    parameters = kwargs.get("litellm_params") or {}
    session = parameters.get("litellm_session_id")
    given = {**(parameters.get("litellm_metadata") or {}), **(parameters.get("metadata") or {})}
    return {**given, "session_id": session} if session else given


def _user(kwargs: Mapping[str, Any]) -> str | None:
    logged = kwargs.get("standard_logging_object") or {}
    return kwargs.get("user") or logged.get("end_user") or None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Begun:
    conversation: str | None
    suppressed: bool

    @classmethod
    def now(cls) -> "_Begun":
        return cls(conversation=current_conversation(), suppressed=suppressed())


class _BegunCalls:
    """The surroundings of calls by their id. A stream ends in another context than it began in."""

    def __init__(self) -> None:
        # Without a lock, which a fork could leave held: each step is one of the interpreter's own.
        self._calls: OrderedDict[str, _Begun] = OrderedDict()

    def note(self, call_id: str | None) -> None:
        begun = _Begun.now()
        if call_id is None or begun == _Begun(conversation=None, suppressed=False):
            return
        self._calls[call_id] = begun
        if len(self._calls) > LIMIT:
            self._calls.popitem(last=False)

    def end(self, call_id: str) -> _Begun:
        """What was noted; for a call that reached no endpoint, what holds now."""
        return self._calls.get(call_id) or _Begun.now()
