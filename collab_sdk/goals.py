"""The goal behind a logged conversation, and the goals that it might have been."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.concurrency import run_sync, sync_twins
from collab_sdk.engine.asking import ask_json, prompt_request
from collab_sdk.engine.engine import Engine, default_engine
from collab_sdk.errors import UsageError
from collab_sdk.messages import Message
from collab_sdk.models.base import CallRole, ChatModel, settings_for
from collab_sdk.models.form import Items, Record, Text
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.prompts import fence_deeds, fence_goal, fence_transcript
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.types import Conversation, Goal

__all__ = ["GOAL_FORM", "SETTLED", "GoalReader", "Goals", "as_goals", "goal_of", "most_goals", "read_goal"]

Goals = Goal | str | Sequence[Goal | str]
"""One goal, or several that the user may have: sample n is played and judged by the n-th, and round again."""
GOAL_FORM = Record(fields={"goal": Text()})
SETTLED = 2
"""How many goals settle what a log leaves open, as goal.txt asks for."""
OPEN_POINT = Record(fields={"point": Text(), "values": Items(item=Text(), at_most=SETTLED)})
READING_FORM = Record(fields={"goal": Text(), "open": Items(item=OPEN_POINT, keyed=("point", "values"))})
GOALS_FORM = Record(fields={"goals": Items(item=Text())}, bare="goals")


def as_goals(goals: Goals | None) -> tuple[Goal, ...]:
    """At least one goal. Raises UsageError for none, and for one that is empty."""
    several = [goals] if isinstance(goals, Goal | str) else goals
    if not several:
        raise UsageError('No goal is given: say in a sentence what the user wants, with goal="...".')
    return tuple(map(Goal.of, several))


def goal_of(sample: int, goals: Sequence[Goal]) -> Goal:
    """The goal of one sample. It depends on nothing else, so every response compared meets the same users."""
    return goals[sample % len(goals)]


def most_goals(conversation: Conversation, asked: int | None) -> int:
    """The most goals that a turn can be played with, known before anything is read; `asked` is `goals_per_turn`."""
    if asked is not None:
        return asked
    return 1 if conversation.goal is not None and conversation.goal.text.strip() else SETTLED


@sync_twins
class GoalReader:
    """Finds out what the user of a logged chat asked for, and what the chat left open.

    What nobody asked is in no log: by what its user said alone, the guess of a bot that never asks is as good as the
    question that it should have asked. So the points that nobody settled are read too, with values that users like this
    one might have given, and futures are played with goals that settle them differently.
    """

    def __init__(self, model: ModelLike, *, engine: Engine | None = None) -> None:
        self.model: ChatModel = as_chat_model(model)
        self.settings = settings_for(self.model, ROLE_DEFAULTS["judge"])
        # Goals that differ take a temperature, unless the server takes none.
        drawn = None if self.settings.temperature is None else 1.0
        self._several = replace(self.settings, temperature=drawn)
        self.engine = engine or default_engine()

    def read(self, conversation: Conversation) -> Goal:
        return run_sync(self.aread(conversation))

    async def aread(self, conversation: Conversation) -> Goal:
        """The goal in the row where there is one, else the inferred one, with goals that settle what was left open.

        One call, and none for a row with a goal. Raises SampleError if the model fails or does not answer in the form
        asked for.
        """
        goal = conversation.goal or Goal(text="")
        if goal.text.strip():
            return goal
        text, settled = await self._ainfer(conversation)  # a row may hold a reference and nothing else
        return replace(goal, text=text, settled=settled if goal.reference is None else ())

    async def apropose(
        self, history: Sequence[Message], *, goal: Goal, n: int | None, sample: str = "", conversation_id: str = ""
    ) -> tuple[Goal, ...]:
        """The goals that a turn with this `history` is played with, each in the style of what its user said by then.

        Without `n`, what was read decides: the goal alone, or those that settle what it left open. With `n`, there are
        at most so many: these first, then goals of users who might have said what `history` holds. `sample` tells draws
        apart. A goal with a reference is settled: what the right answer to another one would be, nobody knows. Raises
        SampleError if the model fails or does not answer in the form asked for.
        """
        # What the user wrote later would give the goal away, and is no part of what led to the turn.
        style = goal.style or tuple(message.content for message in history if message.role == "user")
        played = replace(goal, style=style).played[:n]
        if n is None or len(played) == n or goal.reference is not None:
            return played
        count = n - len(played)
        fields = {"goal": fence_goal(played[0].text), "transcript": fence_transcript(history), "count": str(count)}
        request = prompt_request(
            CallRole.GOAL,
            "goals",
            fields,
            form=GOALS_FORM,
            settings=self._several,
            sample=sample,
            conversation_id=conversation_id,
        )
        texts = await ask_json(self.engine, self.model, request, _read_several)
        known = {goal.text for goal in played}
        others = [replace(played[0], text=text) for text in dict.fromkeys(texts) if text not in known]
        return (*played, *others[:count])

    async def _ainfer(self, conversation: Conversation) -> tuple[str, tuple[str, ...]]:
        """What the user asked for, and that together with each way of settling what was left open."""
        fields = {"transcript": fence_deeds(conversation.messages, conversation.tools)}
        request = prompt_request(
            CallRole.GOAL, "goal", fields, form=READING_FORM, settings=self.settings, conversation_id=conversation.id
        )
        return await ask_json(self.engine, self.model, request, _read_chat)


def read_goal(answer: Any) -> str:
    """The text of an answer in the form GOAL_FORM. Raises ValueError for another form, and for an empty goal."""
    if not (goal := GOAL_FORM.read(answer)["goal"].strip()):
        raise ValueError('"goal" is empty')
    return str(goal)


def _read_chat(answer: Any) -> tuple[str, tuple[str, ...]]:
    goal, points = read_goal(answer), READING_FORM.read(answer)["open"]
    settled = []
    for user in range(SETTLED):
        lines = [goal]
        for point in points:
            name, values = _one_line(point["point"]), list(filter(None, map(_one_line, point["values"])))
            if not name or not values:
                raise ValueError('each entry of "open" must have a "point" and "values" that are not empty')
            lines.append(f"{name}: {values[user % len(values)]}")
        settled.append("\n".join(lines))
    return goal, tuple(dict.fromkeys(settled)) if points else ()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _read_several(answer: Any) -> list[str]:
    goals = [goal.strip() for goal in GOALS_FORM.read(answer)["goals"]]
    if not all(goals):
        raise ValueError('each entry of "goals" must be a string that is not empty')
    return goals
