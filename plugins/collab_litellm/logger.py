"""The callback that records what LiteLLM does, as an SDK or as a proxy."""

import atexit
import os
import sys
import time
import weakref
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger
from litellm.litellm_core_utils.redact_messages import should_redact_message_logging

from collab_litellm.begun import BegunCall, BegunCalls
from collab_litellm.forms import (
    BESIDE,
    CHAT,
    LIKE_CHAT,
    answer_of,
    interface_of,
    messages_sent,
    provider_id,
    streamed_answer,
    tools_sent,
)
from collab_litellm.streams import watch_streams
from collab_sdk.harvest import (
    IGNORE_TAG,
    NOT_UNDERSTOOD,
    Answer,
    PartialResponse,
    Recorder,
    conversation_id_in,
    error_text,
    kept_parameters,
)
from collab_sdk.logs import LoggedCall

CLIENT_GONE = "499"
"""The code that LiteLLM's proxy gives a call whose client left."""


class CollabLogger(CustomLogger):  # type: ignore[misc]  # LiteLLM comes without types
    """Records chat completions, responses and messages, sync, async and streamed; whichever hooks fire, one record.

    An answer is recorded before the app has it: what LiteLLM tells later is lost with the event loop of a request. Not
    recorded are calls inside `suppress()` and those with the tag `collab:ignore` in `metadata["tags"]`.
    """

    def __init__(self, store: Recorder | str | os.PathLike[str]) -> None:
        super().__init__()
        self.recorder = store if isinstance(store, Recorder) else Recorder(store)
        self._begun = BegunCalls(self._given_up)
        watch_streams(_tell)
        atexit.register(_finish, weakref.ref(self))

    def log_pre_api_call(self, model: str, messages: Any, kwargs: Mapping[str, Any]) -> None:
        with self.recorder.quietly():
            if interface_of(kwargs.get("call_type")) in CHAT and not _is_internal():
                self._begun.begin(str(kwargs.get("litellm_call_id")), kwargs).sent = True

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> None:
        with self.recorder.quietly():
            log = kwargs.get("litellm_logging_obj")
            if log is None or interface_of(call_type) not in CHAT or _is_internal():
                return
            call_id = str(log.litellm_call_id)
            self._begun.begin(call_id, log.model_call_details).is_told = self._is_told(log)
            self._begun.watch(call_id, log)
            if not kwargs.get("stream"):
                self._begun.watch_task(call_id)

    async def async_post_call_success_deployment_hook(
        self, request_data: dict[str, Any], response: Any, call_type: Any
    ) -> None:
        with self.recorder.quietly():
            log = request_data.get("litellm_logging_obj")
            if log is None or not self._is_told(log):
                return
            details = log.model_call_details
            if interface_of(call_type) in CHAT and interface_of(call_type) == interface_of(details.get("call_type")):
                beside = {name: request_data[name] for name in BESIDE if request_data.get(name)}
                self._record({**beside, **details}, response, details.get("start_time"), datetime.now())

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

    def _record(self, kwargs: Mapping[str, Any], result: Any, started: Any, ended: Any) -> None:
        """Record a call that LiteLLM tells of; None is the result of one that failed."""
        interface = interface_of(kwargs.get("call_type"))
        call_id = str(kwargs.get("litellm_call_id"))
        if interface in LIKE_CHAT and result is not None and self._begun.end(call_id, "ok"):
            self.recorder.count_unrecorded(f"LiteLLM's {interface} is not recorded")
        if interface not in CHAT:
            return
        begun = self._begun.find(call_id) or BegunCall(details=kwargs)
        error = kwargs.get("exception") if result is None else None
        try:
            answer = self._answer(begun, result)
        except Exception:
            self._not_understood(call_id)
            return
        status = "ok" if result is not None else "partial" if answer.replies else "failed"
        if status == "ok" and _client_left(kwargs):
            status = "partial"
        self._keep(call_id, begun, kwargs, answer, status, None if error is None else error_text(error), started, ended)

    def _answer(self, begun: BegunCall, result: Any) -> Answer:
        said = Answer() if result is None else answer_of(result)
        if not begun.chunks or _is_silent(begun.details):
            return said
        streamed = streamed_answer(begun.chunks)
        if not streamed.replies:
            return said
        usage = said.usage or streamed.usage
        return Answer(id=streamed.id, replies=streamed.replies, usage=usage, finish_reason=streamed.finish_reason)

    def _stream(self, what: str, stream: Any, event: Any) -> None:
        """What happens to a stream that LiteLLM gave the app."""
        log = stream.logging_obj
        call_id = str(log.litellm_call_id)
        if what == "began" and interface_of(log.call_type) in CHAT and not _is_internal():
            details = dict(log.model_call_details)
            details.pop("original_response", None)  # the stream itself, which would never be gone
            begun = self._begun.begin(call_id, details)
            begun.details = details
            begun.sent, begun.is_told = True, self._is_told(log)
            begun.cached = getattr(stream, "custom_llm_provider", None) == "cached_response"
            begun.chunks = getattr(stream, "chunks", None)
            begun.response = PartialResponse() if begun.chunks is None else None
            self._begun.watch(call_id, stream)
        elif (begun_before := self._begun.find(call_id)) is None:
            return
        elif what == "read" and begun_before.response is not None and event is not begun_before.last_event:
            begun_before.last_event = event  # one kind of stream may read from another
            try:
                begun_before.response.add(event)
            except Exception:
                begun_before.has_unreadable = True
        elif what == "failed":
            begun_before.error = error_text(event)
        elif what == "closed":
            self._begun.gone(call_id)

    def _given_up(self, call_id: str, begun: BegunCall) -> None:
        """Record a call of which LiteLLM will not tell: it was cancelled, or its stream was broken off."""
        with self.recorder.quietly():
            if begun.suppressed:
                self._begun.end(call_id, "ok")
                return
            if not begun.is_told or _is_silent(begun.details):
                return
            if not begun.watched or not begun.sent:
                if self._begun.end(call_id, "cancelled"):
                    self.recorder.count_unrecorded("LiteLLM told nobody how the call ended")
                return
            answer = Answer(complete=False)
            try:
                if begun.chunks is not None:
                    answer = streamed_answer(begun.chunks)
                elif begun.response is not None:
                    answer = begun.response.answer()
            except Exception:
                begun.has_unreadable = True
            if begun.has_unreadable and not answer.replies:
                self._not_understood(call_id)
                return
            without = "cancelled" if begun.error is None else "failed"
            status = without if not answer.replies else "ok" if answer.complete else "partial"
            started = begun.details.get("start_time")
            self._keep(call_id, begun, begun.details, answer, status, begun.error, started, None)

    def _not_understood(self, call_id: str) -> None:
        if self._begun.end(call_id, "ok"):
            self.recorder.count_unrecorded(NOT_UNDERSTOOD)
        self._begun.close(call_id)

    def _keep(
        self,
        call_id: str,
        begun: BegunCall,
        details: Mapping[str, Any],
        answer: Answer,
        status: str,
        error: str | None,
        started: Any,
        ended: Any,
    ) -> None:
        is_first = self._begun.end(call_id, status)
        self._begun.close(call_id)
        metadata = _metadata(details)
        if not is_first or begun.suppressed or IGNORE_TAG in (metadata.get("tags") or ()):
            return
        options = details.get("optional_params") or {}
        self.recorder.record(
            LoggedCall(
                run_id=call_id,
                conversation_id=conversation_id_in(metadata, begun.conversation),
                messages=messages_sent(details),
                replies=answer.replies,
                response_id=answer.id,
                previous_response=provider_id(options.get("previous_response_id")),
                status=status,
                error=error,
                source="litellm",
                model=details.get("model"),
                parameters=kept_parameters(options),
                tools=tools_sent(details),
                user=_user(details, metadata),
                usage=answer.usage,
                started=_seconds(started),
                ended=_seconds(ended),
                cached=begun.cached or details.get("cache_hit") is True,
                metadata=answer.metadata,
            )
        )

    def _is_told(self, log: Any) -> bool:
        """Whether LiteLLM would tell this logger of the call, and of what it says."""
        parameters = log.model_call_details.get("litellm_params") or {}
        should_run = getattr(log, "should_run_callback", None)
        if should_run is not None and not should_run(self, parameters, "async_success_handler"):
            return False
        return not _is_silent(log.model_call_details) and not _is_internal()


def _tell(what: str, stream: Any, event: Any) -> None:
    """Hand what happens to a stream to the loggers that LiteLLM has."""
    for logger in litellm.callbacks:
        if isinstance(logger, CollabLogger):
            with logger.recorder.quietly():
                logger._stream(what, stream, event)


def _finish(logger: "weakref.ref[CollabLogger]") -> None:
    if (living := logger()) is not None:
        living._begun.finish()


def _is_silent(details: Mapping[str, Any]) -> bool:
    """Whether the call is to be told to nobody, or not with what was said."""
    parameters = details.get("litellm_params") or {}
    unlogged = parameters.get("no-log") is True and not litellm.global_disable_no_log_param
    return unlogged or bool(should_redact_message_logging(dict(details)))


def _is_internal() -> bool:
    """Whether LiteLLM calls a model for purposes of its own, of which it tells nobody."""
    context = sys.modules.get("litellm._internal_context")  # not in the first versions
    return context is not None and bool(context.is_internal_call.get())


def _client_left(kwargs: Mapping[str, Any]) -> bool:
    """Whether the proxy's client went away before the answer had come to its end."""
    logged = kwargs.get("standard_logging_object") or {}
    told = (_metadata(kwargs), logged.get("metadata") or {})
    errors = (logged.get("error_information"), *(one.get("error_information") for one in told))
    codes = (error.get("error_code") for error in errors if isinstance(error, Mapping))
    return any(one.get("client_disconnected") for one in told) or any(str(code) == CLIENT_GONE for code in codes)


def _metadata(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What the caller said about the call; through a proxy, also what its client said in the request's headers."""
    parameters = kwargs.get("litellm_params") or {}
    session = parameters.get("litellm_session_id")
    given = {**(parameters.get("litellm_metadata") or {}), **(parameters.get("metadata") or {})}
    return {**given, "session_id": session} if session else given


def _user(details: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    logged = details.get("standard_logging_object") or {}
    of_proxy = logged.get("end_user") or metadata.get("user_api_key_end_user_id")
    of_anthropic = metadata.get("user_id") if interface_of(details.get("call_type")) == "anthropic_messages" else None
    return details.get("user") or of_proxy or of_anthropic or None


def _seconds(when: Any) -> float:
    return when.timestamp() if isinstance(when, datetime) else time.time()
