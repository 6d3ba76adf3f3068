"""Asking a model for an answer in a form, and a second time where it cannot be read."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import EmptyReplyError, TruncatedReplyError, UnreadableReplyError
from collab_sdk.messages import Message
from collab_sdk.models.base import CallRole, ChatModel, ChatReply, ChatRequest
from collab_sdk.models.form import Form
from collab_sdk.models.reading import read_fenced, read_reply
from collab_sdk.prompts import load_prompt
from collab_sdk.spec import ModelSettings

T = TypeVar("T")

MOST_REPEATED = 4_000
"""Characters of an unreadable answer that the model is shown when it is asked to mend it."""


def prompt_request(
    role: CallRole,
    prompt: str,
    fields: Mapping[str, str],
    *,
    form: Form | None,
    settings: ModelSettings,
    sample: str = "",
    conversation_id: str = "",
) -> ChatRequest:
    """The template `prompt` as instructions, and `{prompt}_turn` with `fields` filled in, for a reply in that `form`.

    Without a form, the reply is text. Instructions first, conversation after: providers' prefix caches hit on the fixed
    part. `sample` tells draws apart.
    """
    instructions, turn = load_prompt(prompt), load_prompt(f"{prompt}_turn")
    return ChatRequest(
        role=role,
        messages=(
            Message(role="system", content=instructions.text),
            Message(role="user", content=turn.fill(**fields)),
        ),
        settings=settings,
        reply_schema=None if form is None else form.schema,
        template=instructions.hash + turn.hash,
        sample=sample,
        conversation_id=conversation_id,
    )


async def ask_json(engine: Engine, model: ChatModel, request: ChatRequest, read: Callable[[Any], T]) -> T:
    """What `read` makes of the object that `model` answers with.

    `read` raises ValueError for an object in the wrong form. The model is then told what is wrong, once; after that
    it is an UnreadableReplyError, and the second answer is not kept, so that a later run may fare better. Raises
    EndpointError for a model of which no answer could be read so far, and many not.
    """
    shown = [message.content for message in request.messages]

    def accept(reply: ChatReply) -> T:
        return read_reply(reply.content, read, prompt=shown, thought=reply.reasoning)

    return await _ask(engine, model, request, accept, repair="repair")


async def ask_fenced(engine: Engine, model: ChatModel, request: ChatRequest, tag: str) -> str:
    """What the answer holds between `<tag>` and `</tag>`, to the letter: for documents, code and formulas.

    JSON would have them escaped, which models do wrongly: `\\f` of `\\frac` is a form feed there. Errors are those of
    `ask_json`.
    """
    return await _ask(engine, model, request, lambda reply: read_fenced(reply.content, tag), repair="repair_fenced")


async def _ask(
    engine: Engine, model: ChatModel, request: ChatRequest, accept: Callable[[ChatReply], T], *, repair: str
) -> T:
    negotiation = engine.negotiation(model)
    said = ""
    try:
        reply = await engine.call(model, request, readable=accept)
        said = reply.content
        try:
            answer = accept(reply)
        except ValueError as error:
            mend = load_prompt(repair).fill(problem=str(error))
            said_and_wrong = (
                Message(role="assistant", content=reply.content[:MOST_REPEATED]),
                Message(role="user", content=mend),
            )
            again = replace(request, messages=request.messages + said_and_wrong)
            answer = accept(await engine.call(model, again, accept=accept, readable=accept))
    except (TruncatedReplyError, EmptyReplyError) as error:
        negotiation.unread(request, said, str(error))
        raise
    except ValueError as error:
        negotiation.unread(request, said, str(error))
        raise UnreadableReplyError(f"{model.name} as {request.role} answered in no readable form: {error}.") from None
    negotiation.read(request)
    return answer
