"""One call of a model: what is known when it starts, and the record of it when it has ended."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from collab_langchain.identity import Identity
from collab_langchain.snapshot import broken_off_dict, openai_dict
from collab_langchain.transcripts import marks_of
from collab_sdk.harvest import error_text, kept_parameters
from collab_sdk.logs import LoggedCall


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedCall:
    run_id: UUID
    identity: Identity
    user: str | None
    messages: tuple[Mapping[str, Any], ...]
    ids: tuple[str | None, ...]
    """LangChain's ids of the messages."""
    parameters: Mapping[str, Any]
    tools: tuple[Mapping[str, Any], ...]
    model: str | None
    node: str | None
    """The LangGraph node it was made in."""
    previous_response: str | None
    is_internal: bool
    """A middleware's own."""
    is_hidden: bool
    """The app keeps its tokens from the stream, so nobody sees it as it comes."""
    started: float
    pieces: list[ChatGenerationChunk | str] = field(default_factory=list)
    """Of its reply, as far as that has been streamed."""

    @property
    def streamed(self) -> str:
        return "".join(piece if isinstance(piece, str) else str(piece.text) for piece in self.pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedCall:
    record: LoggedCall
    marks: frozenset[str]
    """Of all its replies."""
    ids: tuple[str | None, ...]
    """Of the messages that it was sent."""
    is_explicit: bool
    """Whether it is named which conversation it belongs to, whatever its root run belongs to."""
    is_hidden: bool

    @property
    def is_tool_step(self) -> bool:
        return any("tool_calls" in reply for reply in self.record.replies)


def started_call(
    run_id: UUID,
    identity: Identity,
    messages: tuple[Mapping[str, Any], ...],
    *,
    ids: tuple[str | None, ...],
    arguments: Mapping[str, Any],
    metadata: Mapping[str, Any],
    is_internal: bool,
    is_hidden: bool,
    now: float,
) -> StartedCall:
    """`arguments` are all those of the model and its provider, of which few may be kept."""
    return StartedCall(
        run_id=run_id,
        identity=identity,
        user=identity.user or arguments.get("user"),
        messages=messages,
        ids=ids,
        parameters=kept_parameters(arguments),
        tools=tuple(tool for tool in arguments.get("tools") or () if isinstance(tool, Mapping)),
        model=metadata.get("ls_model_name") or arguments.get("model") or arguments.get("model_name"),
        node=metadata.get("langgraph_node"),
        previous_response=arguments.get("previous_response_id"),
        is_internal=is_internal,
        is_hidden=is_hidden,
        started=now,
    )


def ended_call(
    call: StartedCall, result: LLMResult | None, now: float, *, error: BaseException | None = None
) -> EndedCall:
    """`result` holds what had come before the `error`, if there is one."""
    messages = _generated(result) if result else []
    if error is None:
        return _ended(call, [(message, openai_dict(message)) for message in messages], now, "ok")
    came = _came(messages)
    return _ended(call, came, now, _status_after(error, bool(came)), error_text(error))


def broken_off_call(call: StartedCall, now: float) -> EndedCall:
    """A call of which nothing more is to be expected, with what has been streamed of its reply."""
    came = _came(_streamed(call.pieces))
    return _ended(call, came, now, "partial" if came else "cancelled")


def _ended(
    call: StartedCall,
    replies: Sequence[tuple[AIMessage, dict[str, Any]]],
    now: float,
    status: str,
    error: str | None = None,
) -> EndedCall:
    counted: list[Mapping[str, Any]] = [dict(message.usage_metadata or {}) for message, _ in replies]
    record = LoggedCall(
        run_id=str(call.run_id),
        conversation_id=call.identity.conversation,
        messages=call.messages,
        replies=tuple(row for _, row in replies),
        is_side=call.is_internal,
        response_id=next((message.response_metadata.get("id") for message, _ in replies), None),
        previous_response=call.previous_response,
        status=status,
        error=error,
        source="langchain",
        model=call.model,
        parameters=call.parameters,
        tools=call.tools,
        user=call.user,
        usage=_usage(counted),
        started=call.started,
        ended=now,
        # LangChain's cache marks what it gives by a cost of nothing; no provider sets one.
        cached=any("total_cost" in usage for usage in counted),
        metadata={} if call.node is None else {"node": call.node},
    )
    marks = frozenset(mark for message, _ in replies for mark in marks_of(message))
    return EndedCall(
        record=record, marks=marks, ids=call.ids, is_explicit=call.identity.is_explicit, is_hidden=call.is_hidden
    )


def _status_after(error: BaseException, came: bool) -> str:
    """Closing a stream raises GeneratorExit in it; a server whose client has gone cancels its task."""
    stopped = GeneratorExit | asyncio.CancelledError | CancelledError | KeyboardInterrupt | SystemExit
    if not isinstance(error, stopped):
        return "failed"
    return "partial" if came else "cancelled"


def _came(messages: Iterable[AIMessage]) -> list[tuple[AIMessage, dict[str, Any]]]:
    """What came of replies that were broken off."""
    rows = [(message, broken_off_dict(message)) for message in messages]
    return [(message, row) for message, row in rows if row["content"] or row.get("tool_calls")]


def _streamed(pieces: Sequence[ChatGenerationChunk | str]) -> list[AIMessage]:
    merged = merge_chat_generation_chunks([piece for piece in pieces if isinstance(piece, ChatGenerationChunk)])
    message = merged.message if merged else AIMessage("".join(piece for piece in pieces if isinstance(piece, str)))
    return [message] if isinstance(message, AIMessage) else []


def reply_marks(result: LLMResult | None) -> frozenset[str]:
    return frozenset(mark for message in (_generated(result) if result else ()) for mark in marks_of(message))


def _generated(result: LLMResult) -> list[AIMessage]:
    generations = [generation for batch in result.generations for generation in batch]
    messages = [
        generation.message if isinstance(generation, ChatGeneration) else AIMessage(generation.text)
        for generation in generations
    ]
    return [message for message in messages if isinstance(message, AIMessage)]


def _usage(counted: list[Mapping[str, Any]]) -> dict[str, int]:
    """The first generation's: providers count a call as a whole, and LangChain says it with each of them."""
    first = counted[0] if counted else {}
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    return {ours: first[theirs] for ours, theirs in names.items() if theirs in first}
