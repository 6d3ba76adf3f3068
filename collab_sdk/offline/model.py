"""One ChatModel that plays every part by rules."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Self

from collab_sdk.errors import UnknownNameError
from collab_sdk.messages import Message
from collab_sdk.models.base import NOTHING, SETTINGS, CallRole, ChatReply, ChatRequest
from collab_sdk.offline import assistant, calling, goal_reader, judge, tools, user
from collab_sdk.offline.voice import Voice
from collab_sdk.prompts import (
    ABOUT_YOU,
    END_OF_CONVERSATION,
    PointTag,
    load_prompt,
    unfence,
    unfence_continuations,
    unfence_goal,
    unfence_offered,
    unfence_patience,
    unfence_points,
    unfence_transcript,
)
from collab_sdk.spec import Price

VERSION = 3
"""Part of the cache key: raise it whenever a rule changes."""
WANTED_GOALS = re.compile(r"at most (\d+) other goals")
MANNERS = ("passive", "proactive")
LISTERS: Mapping[PointTag, Callable[[str], list[str]]] = {"requirements": judge.requirements, "rules": judge.rules}


class OfflineModel:
    """Rules behind the ChatModel protocol; not a language model.

    `manner` is the assistant's: `passive` acts at once, `proactive` asks about what the request leaves open. A passive
    one also asks when its system message holds the proactive prompt, as an obedient model would. The same request
    always gets the same bytes, and another `sample` usually another phrasing.
    """

    price = Price(prompt=0.0, completion=0.0)
    takes = SETTINGS  # and rules do not heed them
    overrides: Mapping[str, Any] = NOTHING

    def __init__(self, *, manner: str = "passive") -> None:
        if manner not in MANNERS:
            raise UnknownNameError.of("manner", manner, MANNERS)
        self.manner = manner

    @classmethod
    def named(cls, name: str) -> Self:
        """The model called `offline`, `offline:passive` or `offline:proactive`."""
        return cls(manner=name.partition(":")[2] or "passive")

    @property
    def name(self) -> str:
        return "offline" if self.manner == "passive" else f"offline:{self.manner}"

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"model": "offline", "manner": self.manner, "version": VERSION}

    async def achat(self, request: ChatRequest) -> ChatReply:
        if request.role is CallRole.ASSISTANT:
            return self._reply(request)
        answer = _answer(request)
        return ChatReply(content=answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False), usd=0.0)

    def _reply(self, request: ChatRequest) -> ChatReply:
        voice = Voice(request)
        if request.tools and request.tool_choice != "none":
            return calling.reply(request, manner=self.manner, voice=voice)
        return ChatReply(content=assistant.reply(request.messages, manner=self.manner, voice=voice), usd=0.0)


def _plain_user(request: ChatRequest) -> str:
    """What the user says in a chat whose sides are changed, with the token by which they leave."""
    told, *chat = request.messages
    wish = told.content.removeprefix(_plain_beginning()).removesuffix(load_prompt("plain_opening").text)
    goal, _, persona = wish.partition(ABOUT_YOU)
    said = [message for message in chat if message.content != load_prompt("plain_opening").text]
    sides = [replace(each, role="assistant" if each.role == "user" else "user") for each in said]
    patience = int(found[0]) if (found := re.findall(r"leave: (\d+)", persona)) else None
    turn = user.reply(goal.strip(), sides, patience=patience, voice=Voice(request))
    return f"{turn['message']}{END_OF_CONVERSATION}" if turn["done"] else turn["message"]


def _plain_beginning() -> str:
    return load_prompt("plain").text.partition("$goal")[0]


def _answer(request: ChatRequest) -> dict[str, Any] | str:
    # A repair request repeats the first prompt and appends to it.
    prompt = next((message.content for message in request.messages if message.role == "user"), "")
    transcript = unfence_transcript(prompt)
    if request.role is CallRole.SIMULATOR and request.messages[0].content.startswith(_plain_beginning()):
        return _plain_user(request)
    if request.role is CallRole.SIMULATOR:
        goal, patience = unfence_goal(prompt), unfence_patience(prompt)
        # The same goal and conversation get the same words, whoever the user is: personas differ by what they do.
        voice = Voice(request, heard=[Message(role="system", content=goal), *transcript])
        return user.reply(goal, transcript, patience=patience, voice=voice)
    if request.role is CallRole.TOOLS:
        return tools.result(prompt)
    if request.role is CallRole.GOAL:
        if any(message.content == load_prompt("goals").text for message in request.messages):
            count = int(WANTED_GOALS.findall(prompt)[-1])
            goal = unfence_goal(prompt)
            return {"goals": goal_reader.propose(goal, transcript, count=count, voice=Voice(request))}
        if any(message.content == load_prompt("persona").text for message in request.messages):
            return user.describe([json.loads(line) for line in unfence("examples", prompt).splitlines()])
        return goal_reader.read(transcript, voice=Voice(request))
    extracts = {load_prompt(name).text for name in ("extract", "extract_deeds")}
    if any(message.content in extracts for message in request.messages):
        closing = load_prompt("extract_turn").text.rpartition("$wanted")[2]
        wanted = prompt.removesuffix(closing).rpartition("</transcript>")[2]
        return f"<artefact>\n{judge.extract(transcript, wanted=wanted)}\n</artefact>"
    for points, lister in LISTERS.items():
        if any(message.content == load_prompt(points).text for message in request.messages):
            return {points: lister(unfence_goal(prompt))}
    if any(message.content == load_prompt("user_verdicts").text for message in request.messages):
        return {"turns": judge.user_verdicts(map(json.loads, unfence("transcript", prompt).splitlines()))}
    judged = partial(
        judge.judge,
        unfence_goal(prompt),
        criteria=unfence("criteria", prompt),
        requirements=unfence_points("requirements", prompt),
        rules=unfence_points("rules", prompt),
        offered=unfence_offered(prompt),
    )
    if any(message.content == load_prompt("judge_group").text for message in request.messages):
        continuations = enumerate(unfence_continuations(prompt), start=1)
        return {
            "continuations": [
                {"number": number, "judgement": judged([*transcript, *each])} for number, each in continuations
            ]
        }
    return judged(transcript)
