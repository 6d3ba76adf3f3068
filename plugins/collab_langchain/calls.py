"""One call of a model: what is known when it starts, and the record of it when it has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from collab_langchain.identity import Identity
from collab_langchain.marks import marks_of
from collab_langchain.snapshot import openai_dict
from collab_sdk.harvest import error_text, kept_parameters
from collab_sdk.logs import LoggedCall


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedCall:
    run_id: UUID
    conversation_id: str | None
    user: str | None
    messages: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Any]
    tools: tuple[Mapping[str, Any], ...]
    model: str | None
    node: str | None
    """The LangGraph node it was made in."""
    started: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedCall:
    record: LoggedCall
    marks: frozenset[str]
    """Of all its replies."""

    @property
    def is_tool_step(self) -> bool:
        return any("tool_calls" in reply for reply in self.record.replies)


def started_call(
    run_id: UUID,
    identity: Identity,
    messages: tuple[Mapping[str, Any], ...],
    *,
    arguments: Mapping[str, Any],
    metadata: Mapping[str, Any],
    now: float,
) -> StartedCall:
    """`arguments` are all those of the model and its provider, of which few may be kept."""
    return StartedCall(
        run_id=run_id,
        conversation_id=identity.conversation,
        user=identity.user or arguments.get("user"),
        messages=messages,
        parameters=kept_parameters(arguments),
        tools=tuple(tool for tool in arguments.get("tools") or () if isinstance(tool, Mapping)),
        model=metadata.get("ls_model_name") or arguments.get("model") or arguments.get("model_name"),
        node=metadata.get("langgraph_node"),
        started=now,
    )


def ended_call(
    call: StartedCall, result: LLMResult | None, now: float, *, status: str = "ok", error: BaseException | None = None
) -> EndedCall:
    """`result` holds what had come before the `error`, if there is one."""
    messages = _generated(result)
    replies = [openai_dict(message) for message in messages]
    counted: list[Mapping[str, Any]] = [dict(message.usage_metadata or {}) for message in messages]
    record = LoggedCall(
        run_id=str(call.run_id),
        conversation_id=call.conversation_id,
        messages=call.messages,
        replies=tuple(reply for reply in replies if error is None or reply["content"] or "tool_calls" in reply),
        status=status,
        error=None if error is None else error_text(error),
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
    return EndedCall(record=record, marks=frozenset().union(*map(marks_of, messages)))


def _generated(result: LLMResult | None) -> list[AIMessage]:
    generations = [generation for batch in (result.generations if result else ()) for generation in batch]
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
