"""Calls out of requests and replies, in the spelling of any provider."""

from dataclasses import replace
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.json_fields import mapping, unpacked
from collab_sdk.logs.formats.provider_replies import Reply, reply_of
from collab_sdk.logs.formats.provider_requests import Request, has_history, messages_in, request_of
from collab_sdk.logs.notes import note
from collab_sdk.logs.store import LoggedCall
from collab_sdk.messages import Message, deeds_of, is_decision

OTHER_CHOICES = "messages before the last of one of several choices, left out"


def logged_call(
    request: Request, reply: Reply, *, run_id: str, conversation_id: str | None = None, **known: Any
) -> LoggedCall:
    """The call, with what else its log knows of it: fields of `LoggedCall`, which win over those of the two bodies."""
    before, replies = _answered(request.messages, reply.choices)
    error = known.pop("error", None) or reply.error
    found = "failed" if error else "ok"
    if replies:
        found = "partial" if error or reply.broken_off else "ok"
    fields = {
        "status": found,
        "error": error.partition("\n")[0] if error else None,
        "model": request.model or reply.model,
        "tools": request.tools,
        "parameters": request.parameters,
        **{key: value for key, value in known.items() if value not in (None, (), {})},
    }
    return LoggedCall(
        run_id=run_id,
        conversation_id=conversation_id or request.conversation,
        messages=tuple(message.to_dict() for message in before),
        replies=tuple(message.to_dict() for message in replies),
        response_id=reply.id,
        previous_response=request.previous_response,
        is_added=request.conversation is not None and request.previous_response is None,
        source="import",
        **fields,
    )


def summarized(inputs: Any, outputs: Any, **known: Any) -> LoggedCall | None:
    """What a chain, a graph or a trace was asked and gave back, as one call; None where that is no chat.

    Its outputs may hold the whole state, or the new messages alone; its inputs the chat so far, or its end.
    """
    try:
        request, reply = request_of(inputs, asks=True), reply_of(outputs)
        state = unpacked(mapping(outputs).get("messages"))
        told = messages_in(state) if isinstance(state, list) else ()
    except InputError:
        return None
    asked = [message for message in request.messages if message.role == "user"]
    if asked and asked[-1] in told:
        request = replace(request, messages=())
    if told:
        reply = replace(reply, choices=(told,) if any(map(is_decision, told)) else ())
    call = logged_call(request, reply, **known)
    if not call.replies:
        return call
    shown = (*(message for message in call.messages if message["role"] != "system"), *call.replies[:1])
    # A question alone says nothing of the chat before it.
    is_question = not told and not has_history(inputs) and [message["role"] for message in shown[:-1]] == ["user"]
    return replace(call, shown=shown, shown_is_turn=is_question)


def _answered(
    history: tuple[Message, ...], choices: tuple[tuple[Message, ...], ...]
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """The history and the replies to it: of several messages the last is the reply, and what led to it is history."""
    if len(choices) != 1:
        lasts = [[message for message in choice if message.role == "assistant"] for choice in choices]
        note(OTHER_CHOICES, sum(len(messages) - 1 for messages in lasts))
        return history, tuple(messages[-1] for messages in lasts)
    [choice] = choices
    last = max(place for place, message in enumerate(choice) if message.role == "assistant")
    run = choice[: last + 1]
    size = len(run)
    if len(history) > size and deeds_of(history[-size:]) == deeds_of(run):  # some loggers add it before they log
        history = history[:-size]
    return (*history, *run[:-1]), run[-1:]
