"""What the tests of tools share: messages with calls, bots that call, and a scorer whose tools are given."""

import json
from collections.abc import Callable, Sequence

from collab_sdk import ChatReply, ChatRequest, Conversation, Engine, Future, Goal, Rollout, Simulator
from collab_sdk.concurrency import run_sync
from collab_sdk.messages import Message, as_messages
from collab_sdk.scorer import scene_of
from collab_sdk.testing import FakeChatModel
from collab_sdk.tools import NOWHERE, Scene

from .fakes import user_says

ORDER = {"type": "function", "function": {"name": "get_order", "parameters": {"type": "object"}}}
CANCEL = {"type": "function", "function": {"name": "cancel", "parameters": {"type": "object"}}}


def said(text: str, role: str = "assistant") -> dict[str, object]:
    return {"role": role, "content": text}


def called(name: str, id: str = "c1", text: str | None = None, **arguments: object) -> dict[str, object]:
    """A message of the assistant's with a call; `text` is what stands in place of the arguments' JSON."""
    made = {"name": name, "arguments": json.dumps(arguments) if text is None else text}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": id, "type": "function", "function": made}]}


def returned(content: str, id: str = "c1") -> dict[str, object]:
    return {"role": "tool", "content": content, "tool_call_id": id}


def reply(*calls: tuple[str, dict[str, object] | str], text: str = "") -> ChatReply:
    """What a model answers that wants these tools called, all at once."""
    made = [
        {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)} for name, given in calls
    ]
    return ChatReply(
        content=text,
        tool_calls=tuple({"id": f"x{n}", "type": "function", "function": each} for n, each in enumerate(made)),
    )


def doing(*steps: ChatReply | str) -> Callable[[ChatRequest], ChatReply | str]:
    """A bot that takes these steps in each of its turns, and then says that it is done."""

    def act(request: ChatRequest) -> ChatReply | str:
        spoke = max(place for place, message in enumerate(request.messages) if message.role == "user")
        taken = sum(message.role == "assistant" for message in request.messages[spoke:])
        return steps[taken] if taken < len(steps) else "done"

    return act


def log_of(*messages: object, tools: tuple[object, ...] = (ORDER, CANCEL), **fields: object) -> Conversation:
    return Conversation(id="c", messages=as_messages(messages), tools=tools, goal=Goal(text="a secret goal"), **fields)


def rollout_of(bot: object, *, tools: object, window: int = 1, player: object = None, **options: object) -> Rollout:
    """A rollout with this bot, a user who goes on, and tools that `player` plays where they are simulated."""
    return Rollout(
        assistant=FakeChatModel(bot, name="bot") if callable(bot) or isinstance(bot, list) else bot,
        simulator=Simulator(FakeChatModel(lambda _: user_says("go on"), name="user"), engine=Engine()),
        window=window,
        tools=tools,
        tools_model=player,
        samples=1,
        **options,
    )


def play(
    bot: object,
    *,
    tools: object,
    history: Sequence[object] = (said("hello", "user"),),
    log: Conversation | None = None,
    **options: object,
) -> tuple[Message, ...]:
    """The bot's turn for the history, its calls run."""
    rollout = rollout_of(bot, tools=tools, **options)
    scene = NOWHERE if log is None else scene_of(rollout.toolbox.equip(log))
    return run_sync(rollout.arespond(as_messages(history), sample="s", scene=scene))


def future_of(
    bot: object, *, tools: object, start: Sequence[object], scene: Scene = NOWHERE, **options: object
) -> Future:
    """A future that goes on from `start`."""
    rollout = rollout_of(bot, tools=tools, **options)
    return run_sync(rollout.aplay(as_messages(start), goal="a secret goal", scene=scene))


def results(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages if message.role == "tool"]
