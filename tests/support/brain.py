"""What a loopback server says: the embedded stand-in, found out from the request alone."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from collab_sdk.models.base import CallRole, ChatRequest
from collab_sdk.offline import OfflineModel
from collab_sdk.prompts import load_prompt
from collab_sdk.spec import ModelSettings
from collab_sdk.types import as_messages

ROLES = {
    "simulator": CallRole.SIMULATOR,
    "judge": CallRole.JUDGE,
    "extract": CallRole.JUDGE,
    "goal": CallRole.GOAL,
}
"""By the name of the prompt that is the system message."""


def role_of(body: dict[str, Any]) -> CallRole:
    """On whose behalf a request is made."""
    system = body["messages"][0]["content"]
    return next((role for name, role in ROLES.items() if load_prompt(name).text == system), CallRole.ASSISTANT)


def made_by(role: CallRole) -> Callable[[dict[str, Any]], bool]:
    """The predicate for `when`: `when(made_by(CallRole.JUDGE), BROKEN_JSON)`."""
    return lambda body: role_of(body) is role


async def offline_brain(body: dict[str, Any], *, sample: str = "") -> str:
    """What `collab_sdk.offline` answers; as an assistant that asks, if the model's name says `proactive`.

    The same body gets the same answer, in whatever order requests arrive.
    """
    reply = await OfflineModel(manner="proactive" if "proactive" in body["model"] else "passive").achat(
        ChatRequest(
            role=role_of(body),
            messages=as_messages(body["messages"]),
            settings=ModelSettings(temperature=body.get("temperature"), max_tokens=body.get("max_tokens")),
            reply_schema={"type": "object"} if "response_format" in body else None,
            sample=sample,
        )
    )
    return reply.content


def varied(brain: Callable[..., Awaitable[str]]) -> Callable[[dict[str, Any]], Awaitable[str]]:
    """A brain that draws anew each time it sees the same body. Which caller gets which draw depends on timing."""
    seen: Counter[str] = Counter()

    def draw(body: dict[str, Any]) -> Awaitable[str]:
        key = json.dumps(body, sort_keys=True)
        seen[key] += 1
        return brain(body, sample=str(seen[key] - 1))

    return draw
