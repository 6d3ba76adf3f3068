"""The judge: one call for all criteria of a conversation, one for its artefact."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from collab_sdk.concurrency import all_settled
from collab_sdk.engine.asking import ask_fenced, ask_json, prompt_request
from collab_sdk.engine.engine import Engine
from collab_sdk.engine.shared_calls import SharedCalls
from collab_sdk.errors import SampleError
from collab_sdk.messages import Message
from collab_sdk.metrics.base import MOST_ITEMS, Checklist, Judgement, Rubric
from collab_sdk.models.base import CallRole, ChatModel, settings_for
from collab_sdk.models.form import Items, Record, Text
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.prompts import PointTag, fence, fence_deeds, fence_goal, fence_points, fence_transcript, json_line
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.types import Goal

ARTEFACT = "artefact"
"""The tag between which the judge copies what was delivered."""
MOST_LISTS = 10_000
"""Lists of points that a judge remembers, the latest; older ones are in the cache."""


class Judge:
    """Judges at temperature 0 unless its model has other settings.

    The transcript is fenced so that nothing said in it can steer the judgement.
    """

    def __init__(self, model: ModelLike, *, engine: Engine) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.settings = settings_for(self.model, ROLE_DEFAULTS["judge"])
        self.engine = engine
        self._lists: dict[tuple[PointTag, str], tuple[str, ...]] = {}
        self._under_way: SharedCalls[tuple[str, ...]] = SharedCalls()

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
        if not rubrics:
            return {}

        checklists = {rubric.points: rubric for rubric in rubrics.values() if isinstance(rubric, Checklist)}
        listed = await all_settled(
            self.alist(checklist, checklist.material(goal, messages), conversation_id=conversation_id)
            for checklist in checklists.values()
        )
        lists = {tag: points[::-1] if backwards else points for tag, points in zip(checklists, listed, strict=True)}
        without = {name: _pointless(name, rubric, lists) for name, rubric in rubrics.items()}
        known = {name: judgement for name, judgement in without.items() if judgement is not None}
        asked = {name: _with_points(rubric, lists) for name, rubric in rubrics.items() if name not in known}
        if not asked:
            return known
        form = Record(fields={name: rubric.form for name, rubric in asked.items()})

        def read(answer: Any) -> dict[str, Judgement]:
            answers = form.read(answer)
            return known | {name: _read_judgement(rubric, answers[name]) for name, rubric in asked.items()}

        criteria = "\n".join(f"{name}: {rubric.criterion}" for name, rubric in asked.items())
        fenced = [fence_points(tag, points) for tag, points in lists.items() if points]
        fields = {
            "goal": "\n\n".join([fence_goal(goal.text), *fenced]),
            "transcript": fence_deeds(messages, tools),
            "criteria": fence("criteria", criteria),
        }
        request = prompt_request(
            CallRole.JUDGE,
            "judge",
            fields,
            form=form,
            settings=self.settings,
            sample=sample,
            conversation_id=conversation_id,
        )
        return await ask_json(self.engine, self.model, request, read)

    async def alist(self, checklist: Checklist, material: str, *, conversation_id: str = "") -> tuple[str, ...]:
        """The points of a material, the same whenever they are asked for.

        Raises SampleError if the model fails or does not answer in the form asked for.
        """
        if not material.strip():
            return ()
        if (known := self._lists.get((checklist.points, material))) is not None:
            return known
        key = (id(asyncio.get_running_loop()), checklist.points, material)
        shared = self._under_way.under_way(key)
        if shared is not None:
            try:
                return await shared.result()
            except SampleError:  # a call that hangs costs the future that made it, and not all that wait for it
                shared = self._under_way.under_way(key)
        if shared is None:
            shared = self._under_way.start(key, lambda _: self._alist(checklist, material, conversation_id))
        return await shared.result()

    async def _alist(self, checklist: Checklist, material: str, conversation_id: str) -> tuple[str, ...]:
        points, least = checklist.points, 1 if checklist.pointless is None else 0
        form = Record(fields={points: Items(item=Text(), at_least=least, at_most=MOST_ITEMS)}, bare=points)

        def read(answer: Any) -> tuple[str, ...]:
            listed = [text.strip() for text in form.read(answer)[points]]
            if not all(listed):
                raise ValueError(f'each entry of "{points}" must be a string that is not empty')
            return _without_repeats(listed)

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
