"""What a loopback server says: the embedded stand-in, found out from the request alone."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from collab_sdk.messages import as_messages
from collab_sdk.models.base import CallRole, ChatModel, ChatReply, ChatRequest
from collab_sdk.offline import OfflineModel
from collab_sdk.prompts import load_prompt
from collab_sdk.spec import ModelSettings

Brain = Callable[..., Awaitable[Any]]
"""Answers a request's body with text, or with a ChatReply; `sample` tells the draws of one body apart."""
ROLES = {
    "simulator": CallRole.SIMULATOR,
    "judge": CallRole.JUDGE,
    "requirements": CallRole.JUDGE,
    "extract": CallRole.JUDGE,
    "goal": CallRole.GOAL,
    "tools": CallRole.TOOLS,
}
"""By the name of the prompt that is the system message."""


def role_of(body: dict[str, Any]) -> CallRole:
    """On whose behalf a request is made."""
    system = body["messages"][0]["content"]
    return next((role for name, role in ROLES.items() if system.startswith(load_prompt(name).text)), CallRole.ASSISTANT)


def made_by(role: CallRole) -> Callable[[dict[str, Any]], bool]:
    """The predicate for `when`: `when(made_by(CallRole.JUDGE), BROKEN_JSON)`."""
    return lambda body: role_of(body) is role


def unfolded(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the prompt as a system message again where it is at the head of the user's."""
    first, *rest = messages
    for prompt in (load_prompt(name).text for name in ROLES):
        if first["role"] == "user" and first["content"].startswith(prompt):
            turn = first["content"].removeprefix(prompt).strip()
            return [{"role": "system", "content": prompt}, {"role": "user", "content": turn}, *rest]
    return messages


def request_of(body: dict[str, Any], sample: str = "") -> ChatRequest:
    """The request that was sent as this body."""
    asked = body.get("response_format") or {}
    schema = asked.get("json_schema", {}).get("schema", {"type": "object"}) if asked else None
    return ChatRequest(
        role=role_of(body),
        messages=as_messages(unfolded(body["messages"])),
        settings=ModelSettings(temperature=body.get("temperature"), max_tokens=body.get("max_tokens")),
        reply_schema=schema,
        tools=tuple(body.get("tools") or ()),
        tool_choice=body.get("tool_choice"),
        sample=sample,
    )


async def offline_brain(body: dict[str, Any], *, sample: str = "") -> str | ChatReply:
    """What `collab_sdk.offline` answers; as an assistant that asks, if the model's name says `proactive`.

    The same body gets the same answer, in whatever order requests arrive.
    """
    model = OfflineModel(manner="proactive" if "proactive" in body["model"] else "passive")
    reply = await model.achat(request_of(body, sample))
    return reply if reply.tool_calls else reply.content


def brain_of(model: ChatModel) -> Brain:
    """What `model` answers, which a server around it so holds to the schema of a request, if the model does."""

    def brain(body: dict[str, Any], *, sample: str = "") -> Awaitable[ChatReply]:
        return model.achat(request_of(body, sample))

    return brain


def varied(brain: Brain) -> Brain:
    """A brain that draws anew each time it sees the same body. Which caller gets which draw depends on timing."""
    seen: Counter[str] = Counter()

    def draw(body: dict[str, Any]) -> Awaitable[Any]:
        key = json.dumps(body, sort_keys=True)
        seen[key] += 1
        return brain(body, sample=str(seen[key] - 1))

    return draw
