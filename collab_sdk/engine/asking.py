"""Asking a model for a JSON object, and a second time where the answer holds none."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import UnreadableReplyError
from collab_sdk.models.base import CallRole, ChatModel, ChatReply, ChatRequest
from collab_sdk.models.reading import json_object
from collab_sdk.prompts import load_prompt
from collab_sdk.spec import ModelSettings
from collab_sdk.types import Message

T = TypeVar("T")


def json_request(
    role: CallRole,
    prompt: str,
    fields: Mapping[str, str],
    *,
    settings: ModelSettings,
    sample: str = "",
    conversation_id: str = "",
) -> ChatRequest:
    """A request for a JSON object: the template `prompt` as instructions, and `{prompt}_turn` with `fields` filled in.

    Instructions first, conversation after: providers' prefix caches hit on the fixed part. `sample` tells draws apart.
    """
    instructions, turn = load_prompt(prompt), load_prompt(f"{prompt}_turn")
    return ChatRequest(
        role=role,
        messages=(
            Message(role="system", content=instructions.text),
            Message(role="user", content=turn.fill(**fields)),
        ),
        settings=settings,
        json_reply=True,
        template=instructions.hash + turn.hash,
        sample=sample,
        conversation_id=conversation_id,
    )


async def ask_json(engine: Engine, model: ChatModel, request: ChatRequest, read: Callable[[dict[str, Any]], T]) -> T:
    """What `read` makes of the object that `model` answers with.

    `read` raises ValueError for an object in the wrong form. The model is then told what is wrong, once; after that
    it is an UnreadableReplyError, and the second answer is not kept, so that a later run may fare better.
    """

    def accept(reply: ChatReply) -> T:
        return read(json_object(reply.content))

    reply = await engine.call(model, request)
    try:
        return accept(reply)
    except ValueError as error:
        problem = str(error)
    repair = load_prompt("repair").fill(problem=problem)
    exchange = (Message(role="assistant", content=reply.content), Message(role="user", content=repair))
    request = replace(request, messages=request.messages + exchange)
    try:
        return accept(await engine.call(model, request, accept=accept))
    except ValueError as error:
        raise UnreadableReplyError(f"{model.name} as {request.role} answered in no readable form: {error}.") from None
