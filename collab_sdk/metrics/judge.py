"""The judge: one call for all criteria of a conversation, one for its artefact."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from math import ceil
from typing import Any
from weakref import WeakKeyDictionary

from collab_sdk.concurrency import all_settled
from collab_sdk.engine.asking import ask_fenced, ask_json, prompt_request
from collab_sdk.engine.engine import Engine
from collab_sdk.engine.shared_calls import SharedCalls
from collab_sdk.errors import SampleError, UsageError
from collab_sdk.messages import Message
from collab_sdk.metrics.base import Checklist, Judgement, Rubric, in_order, materials_of
from collab_sdk.models.base import CallRole, ChatModel, settings_for
from collab_sdk.models.form import Form, Items, Number, Record, Text
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.prompts import (
    MOST_OF_CONTINUATIONS,
    MOST_OF_POINT,
    MOST_POINTS,
    PointTag,
    fence,
    fence_continuation,
    fence_deeds,
    fence_goal,
    fence_points,
    fence_transcript,
    json_line,
)
from collab_sdk.simulator import Simulator
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.types import Goal

ARTEFACT = "artefact"
"""The tag between which the judge copies what was delivered."""
MOST_TOGETHER = 20
"""Continuations that are judged in one call."""
MOST_LISTS = 10_000
"""Lists of points that a judge remembers, the latest; older ones are in the cache."""


def judging_model(named: ModelLike | None, simulator: Simulator) -> ModelLike:
    """The judge that is `named`, or else the model that plays the user, without the settings of a user.

    Raises UsageError where no user is a model that could judge.
    """
    judge = simulator.player if named is None else named
    if judge is None:
        raise UsageError(f"{simulator.name} cannot judge: name a judge.")
    return judge


class Judge:
    """Judges at temperature 0 unless its model has other settings.

    The transcript is fenced so that nothing said in it can steer the judgement.
    """

    def __init__(self, model: ModelLike, *, engine: Engine) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.settings = settings_for(self.model, ROLE_DEFAULTS["judge"])
        self.engine = engine
        self._lists: dict[tuple[PointTag, str], tuple[str, ...]] = {}
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, SharedCalls[tuple[str, ...]]] = WeakKeyDictionary()

    async def ajudge(
        self,
        messages: tuple[Message, ...],
        *,
        goal: Goal,
        rubrics: Mapping[str, Rubric | Checklist],
        tools: Sequence[Mapping[str, Any]] = (),
        conversation_id: str = "",
        sample: str = "",
        backwards: bool = False,
    ) -> dict[str, Judgement]:
        """A judgement for every rubric, by name. Raises SampleError if even one cannot be had.

        Another `sample` is another draw; `backwards` shows lists from their end, for those who measure what order does.
        """
        lists = await self._alists(rubrics, goal, messages, conversation_id)
        asked = _Asked(rubrics, {tag: points[::-1] if backwards else points for tag, points in lists.items()})
        if not asked.rubrics:
            return asked.known
        request = prompt_request(
            CallRole.JUDGE,
            "judge",
            {**asked.fields(goal), "transcript": fence_deeds(messages, tools)},
            form=asked.form,
            settings=self.settings,
            sample=sample,
            conversation_id=conversation_id,
        )
        return await ask_json(self.engine, self.model, request, asked.read)

    async def ajudge_group(
        self,
        history: tuple[Message, ...],
        continuations: Sequence[tuple[Message, ...]],
        *,
        goal: Goal,
        rubrics: Mapping[str, Rubric | Checklist],
        tools: Sequence[Mapping[str, Any]] = (),
        conversation_id: str = "",
        backwards: bool = False,
    ) -> list[dict[str, Judgement]]:
        """The judgements of several continuations of one history, from one call that shows them all.

        They must have room in one call, as `groups_that_fit` divides them, and the material of every checklist must be
        the same for all of them. They are shown in an order that a hash of their texts gives, whoever they are from, or
        in the opposite one with `backwards`; equal ones are shown once. One alone is judged as `ajudge` does. An answer
        without exactly one judgement for each is asked for again, once; then none of them is judged. Raises SampleError
        if even one judgement cannot be had.
        """
        fenced = [fence_continuation(history, each) for each in continuations]
        shown = _shuffled(fenced)[:: -1 if backwards else 1]
        whole = (*history, *continuations[0])
        if len(shown) == 1:
            judged = await self.ajudge(whole, goal=goal, rubrics=rubrics, tools=tools, conversation_id=conversation_id)
            return [judged] * len(continuations)
        asked = _Asked(rubrics, await self._alists(rubrics, goal, whole, conversation_id))
        if not asked.rubrics:
            return [asked.known] * len(continuations)
        number: Form = Number(low=1, high=len(shown))
        entry: Form = Record(fields={"number": number, "judgement": asked.form})
        entries = Items(item=entry, at_least=len(shown), at_most=len(shown), keyed=("number", "judgement"))
        form = Record(fields={"continuations": entries}, bare="continuations")

        def read(answer: Any) -> list[dict[str, Judgement]]:
            given = form.read(answer)["continuations"]
            return [asked.read(each["judgement"]) for each in in_order(given, len(shown), "continuations")]

        numbered = [f"Continuation {number}:\n{text}" for number, text in enumerate(shown, start=1)]
        request = prompt_request(
            CallRole.JUDGE,
            "judge_group",
            {
                **asked.fields(goal),
                "transcript": fence_deeds(history, tools),
                "continuations": "\n\n".join(numbered),
            },
            form=form,
            settings=self.settings,
            conversation_id=conversation_id,
        )
        judgements = dict(zip(shown, await ask_json(self.engine, self.model, request, read), strict=True))
        return [judgements[text] for text in fenced]

    async def _alists(
        self,
        rubrics: Mapping[str, Rubric | Checklist],
        goal: Goal,
        messages: tuple[Message, ...],
        conversation_id: str,
    ) -> dict[PointTag, tuple[str, ...]]:
        """The points of every kind that the rubrics go through."""
        checklists = {rubric.points: rubric for rubric in rubrics.values() if isinstance(rubric, Checklist)}
        materials = materials_of(rubrics, goal, messages)
        listed = await all_settled(
            self.alist(checklists[points], material, conversation_id=conversation_id)
            for points, material in materials.items()
        )
        return dict(zip(materials, listed, strict=True))

    async def alist(self, checklist: Checklist, material: str, *, conversation_id: str = "") -> tuple[str, ...]:
        """The points of a material, the same whenever they are asked for.

        Raises SampleError if the model fails or does not answer in the form asked for, with MOST_POINTS or fewer: by a
        list that ends somewhere, what it leaves out would count as delivered, or as kept.
        """
        if not material.strip():
            return ()
        if (known := self._lists.get((checklist.points, material))) is not None:
            return known
        key = (checklist.points, material)
        under_way = self._loops.setdefault(asyncio.get_running_loop(), SharedCalls())
        shared = under_way.under_way(key)
        if shared is not None:
            try:
                return await shared.result()
            except SampleError:  # a call that hangs costs the future that made it, and not all that wait for it
                shared = under_way.under_way(key)
        if shared is None:
            shared = under_way.start(key, lambda _: self._alist(checklist, material, conversation_id))
        return await shared.result()

    async def _alist(self, checklist: Checklist, material: str, conversation_id: str) -> tuple[str, ...]:
        points, least = checklist.points, 1 if checklist.pointless is None else 0
        # A server that holds the model to the form lets it write one too many: a list that is just full is a whole one.
        form = Record(fields={points: Items(item=Text(), at_least=least, at_most=MOST_POINTS + 1)}, bare=points)

        def read(answer: Any) -> tuple[str, ...]:
            listed = _without_repeats(text.strip() for text in form.read(answer)[points])
            if not all(listed) or max(map(len, listed), default=0) > MOST_OF_POINT:
                raise ValueError(f'each entry of "{points}" must be a string of 1 to {MOST_OF_POINT:,} characters')
            if len(listed) > MOST_POINTS:
                raise ValueError(
                    f'"{points}" must have at most {MOST_POINTS} entries: put those that belong together into one'
                )
            return listed

        request = prompt_request(
            CallRole.JUDGE,
            points,
            {"material": fence_goal(material)},
            form=form,
            settings=self.settings,
            conversation_id=conversation_id,
        )
        found = await ask_json(self.engine, self.model, request, read)
        while len(self._lists) >= MOST_LISTS:
            del self._lists[next(iter(self._lists))]
        return self._lists.setdefault((points, material), found)

    async def aextract(self, messages: tuple[Message, ...], *, wanted: str, conversation_id: str = "") -> str:
        """What the assistant finally delivered, empty if nothing. Raises SampleError if that cannot be found out."""
        acted = any(message.calls for message in messages)
        prompt, transcript = (
            ("extract_deeds", fence_deeds(messages)) if acted else ("extract", fence_transcript(messages))
        )
        fields = {"transcript": transcript, "wanted": json_line(wanted)}
        request = prompt_request(
            CallRole.JUDGE, prompt, fields, form=None, settings=self.settings, conversation_id=conversation_id
        )
        return await ask_fenced(self.engine, self.model, request, ARTEFACT)


class _Asked:
    """What the judge is asked by some rubrics on lists of points, and what holds without asking."""

    def __init__(self, rubrics: Mapping[str, Rubric | Checklist], lists: Mapping[PointTag, tuple[str, ...]]) -> None:
        without = {name: _pointless(name, rubric, lists) for name, rubric in rubrics.items()}
        self.lists = lists
        self.known = {name: judgement for name, judgement in without.items() if judgement is not None}
        self.rubrics = {name: _with_points(rubric, lists) for name, rubric in rubrics.items() if name not in self.known}
        self.form = Record(fields={name: rubric.form for name, rubric in self.rubrics.items()})

    def fields(self, goal: Goal) -> dict[str, str]:
        """The prompt's parts about goal and criteria."""
        fenced = [fence_points(tag, points) for tag, points in self.lists.items() if points]
        criteria = "\n".join(f"{name}: {rubric.criterion}" for name, rubric in self.rubrics.items())
        return {"goal": "\n\n".join([fence_goal(goal.text), *fenced]), "criteria": fence("criteria", criteria)}

    def read(self, answer: Any) -> dict[str, Judgement]:
        """The judgements, by rubric. Raises ValueError for an answer in another form."""
        answers = self.form.read(answer)
        return self.known | {name: _read_judgement(rubric, answers[name]) for name, rubric in self.rubrics.items()}


def groups_that_fit(history: Sequence[Message], continuations: Sequence[Sequence[Message]]) -> list[list[int]]:
    """The places of continuations of one history, by the call in which they are judged.

    At most MOST_TOGETHER different ones stand in a call, and only as many as have room there uncut: a judge that does
    not see the middle of a document gives it another score than one who does. Equal ones stand in one call.
    """
    fenced = [fence_continuation(history, each) for each in continuations]
    shown = _shuffled(fenced)
    most = ceil(len(shown) / (ceil(len(shown) / MOST_TOGETHER) or 1))
    calls: list[list[str]] = []
    room = 0
    for text in shown:
        if not calls or len(calls[-1]) == most or len(text) > room:
            calls.append([])
            room = MOST_OF_CONTINUATIONS
        calls[-1].append(text)
        room -= len(text)
    return [[place for place, text in enumerate(fenced) if text in call] for call in calls]


def _shuffled(texts: Sequence[str]) -> list[str]:
    """The different ones among texts, in an order that depends on all of them, and not on the order given."""
    different = sorted(set(texts))
    salt = sha256("\0".join(different).encode()).digest()
    return sorted(different, key=lambda text: sha256(salt + text.encode()).digest())


def _pointless(name: str, rubric: Rubric | Checklist, lists: Mapping[PointTag, tuple[str, ...]]) -> Judgement | None:
    """What holds of a checklist without points. Raises SampleError where nothing does."""
    if isinstance(rubric, Rubric) or lists[rubric.points]:
        return None
    if rubric.pointless is None:
        raise SampleError(f"{name} cannot be judged: there is nothing to list {rubric.points} from.")
    return rubric.pointless


def _with_points(rubric: Rubric | Checklist, lists: Mapping[PointTag, tuple[str, ...]]) -> Rubric:
    if isinstance(rubric, Rubric):
        return rubric
    points = lists[rubric.points]
    return Rubric(criterion=rubric.criterion, form=rubric.form(len(points)), read=partial(rubric.read, points))


def _without_repeats(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts in order; what is said twice would count twice."""
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(text.casefold(), text)
    return tuple(first.values())


def _read_judgement(rubric: Rubric, answer: Any) -> Judgement:
    try:
        return rubric.read(answer)
    except ValueError:
        raise
    except Exception as error:  # a stranger's metric trips over the judge's form: the judge is to mend it
        raise ValueError(f"the form is wrong ({type(error).__name__}: {error})") from error
