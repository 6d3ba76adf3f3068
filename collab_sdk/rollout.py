"""Playing a conversation forward."""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from collab_sdk.concurrency import all_settled, run_sync, sync_twins
from collab_sdk.engine.engine import Engine
from collab_sdk.errors import SampleError, UsageError
from collab_sdk.goals import Goals, as_goals, goal_of
from collab_sdk.models.base import CallRole, ChatModel, ChatRequest, settings_for
from collab_sdk.models.reasoning import said
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.simulator import Simulator
from collab_sdk.spec import ROLE_DEFAULTS, ModelSettings
from collab_sdk.types import End, Future, Goal, Message

__all__ = ["Rollout"]

FAREWELL_WORDS = frozenset(
    """a again and any anytime awesome bye care cheers day enjoy evening good goodbye great have is it later lot lots
    luck many much my nice no night ok okay one perfect pleasure problem rest see so soon take thank thanks that that's
    the time to too very welcome wonderful you you're your""".split()
)
FAREWELL_CHARACTERS = 120


@sync_twins
class Rollout:
    """Plays futures of a conversation: the simulated user and the assistant in turn, at most `window` exchanges.

    `assistant` is anything `as_chat_model` takes; `samples` is how many futures make one estimate. The paper uses
    window 2, 3 samples and temperature 0.8 (section 4), which a ModelSpec's settings, or `temperature`, replace.
    """

    def __init__(
        self,
        *,
        assistant: ModelLike,
        simulator: Simulator | ModelLike,
        window: int = 2,
        samples: int = 3,
        temperature: float | None = None,
        max_tokens: int | None = None,
        engine: Engine | None = None,
    ) -> None:
        if window < 0 or samples < 1:
            raise UsageError(f"window is {window} and samples {samples}; they must be at least 0 and 1.")
        self.assistant: ChatModel = as_chat_model(assistant)
        self.simulator = simulator if isinstance(simulator, Simulator) else Simulator(simulator, engine=engine)
        self.window = window
        self._samples = samples
        given: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        self._given = {name: value for name, value in given.items() if value is not None}
        self.settings = self._settings()
        self.engine = engine or self.simulator.engine

    def futures(
        self, messages: Iterable[Message | Mapping[str, Any]], *, goal: Goals, conversation_id: str = ""
    ) -> list[Future]:
        return run_sync(self.afutures(messages, goal=goal, conversation_id=conversation_id))

    async def afutures(
        self, messages: Iterable[Message | Mapping[str, Any]], *, goal: Goals, conversation_id: str = ""
    ) -> list[Future]:
        """`samples` futures of a conversation that ends with the response in question.

        Of several goals, each sample has the next in turn.
        """
        start, goals = said(messages), as_goals(goal)
        plays = (
            self.aplay(start, goal=goal_of(sample, goals), sample=sample, conversation_id=conversation_id)
            for sample in range(self.samples)
        )
        return await all_settled(plays)

    async def aplay(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goal | str,
        sample: int = 0,
        conversation_id: str = "",
    ) -> Future:
        """One future; if a call fails a failed one, with what was played before it.

        Raises RunStoppedError, and no other.
        """
        return await self._aplay(said(messages), Goal.of(goal), self.window, sample, conversation_id)

    async def aconverse(
        self,
        opening: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goal | str,
        sample: int = 0,
        conversation_id: str = "",
    ) -> Future:
        """A whole conversation of at most `window` exchanges: all that follows `opening`.

        The opening ends with a user message, or is empty: then the user begins. Errors are those of `aplay`.
        """
        start, goal = said(opening), Goal.of(goal)
        if not start:
            return await self._aplay(start, goal, self.window, sample, conversation_id)
        try:
            draw = f"{conversation_id}/answer-{sample}"
            answer = await self.arespond(start, sample=draw, conversation_id=conversation_id)
        except SampleError as error:
            return Future(sample=sample).failed(error)
        first = Message(role="assistant", content=answer)
        future = await self._aplay((*start, first), goal, self.window - 1, sample, conversation_id)
        return replace(future, messages=(first, *future.messages))

    def with_assistant(self, assistant: ModelLike) -> Self:
        """The same with another bot; `assistant` is anything `as_chat_model` takes."""
        other = copy.copy(self)
        other.assistant = as_chat_model(assistant)
        other.settings = other._settings()
        return other

    @property
    def samples(self) -> int:
        """How many futures make one estimate; without a window nothing is played, so all would be the same one."""
        return self._samples if self.window else 1

    def with_window(self, window: int) -> Self:
        """The same with futures, or whole conversations, of another length."""
        other = copy.copy(self)
        other.window = window
        return other

    def _settings(self) -> ModelSettings:
        """How the assistant is asked."""
        settings = settings_for(self.assistant, ROLE_DEFAULTS["assistant"])
        return replace(settings, **self._given) if self._given else settings

    async def _aplay(
        self, start: Sequence[Message], goal: Goal, window: int, sample: int, conversation_id: str
    ) -> Future:
        played: list[Message] = []
        end, reason = End.WINDOW, ""
        try:
            for step in range(window):
                draw = f"{conversation_id}/future-{sample}/{step}"
                user = await self.simulator.areply(
                    [*start, *played], goal=goal, sample=draw, conversation_id=conversation_id
                )
                if user.message:
                    played.append(Message(role="user", content=user.message))
                if user.done:
                    end, reason = End.USER_DONE, user.reason
                    break
                answer = await self.arespond([*start, *played], sample=draw, conversation_id=conversation_id)
                played.append(Message(role="assistant", content=answer))
                if (stuck := _stuck([*start, *played])) is not None:
                    end = stuck
                    break
        except SampleError as error:
            return Future(sample=sample, messages=tuple(played)).failed(error)
        return Future(sample=sample, messages=tuple(played), end=end, reason=reason)

    async def arespond(self, history: Sequence[Message], *, sample: str, conversation_id: str = "") -> str:
        """The assistant's answer to a history that ends with a user message. `sample` tells draws apart."""
        request = ChatRequest(
            role=CallRole.ASSISTANT,
            messages=tuple(history),
            settings=self.settings,
            sample=sample,
            conversation_id=conversation_id,
            metadata={"simulated": True, "sample": sample},
        )
        return (await self.engine.call(self.assistant, request)).content.strip()


def _stuck(messages: Sequence[Message]) -> End | None:
    """Whether the last exchange leads nowhere: both sides only say goodbye, or both repeat themselves."""
    spoken = [message for message in messages if message.role in ("user", "assistant")]
    user, assistant = spoken[-2:]
    if _is_farewell(user.content) and _is_farewell(assistant.content):
        return End.GOODBYE
    if len(spoken) >= 4 and spoken[-4].content == user.content and spoken[-3].content == assistant.content:
        return End.REPETITION
    return None


def _is_farewell(text: str) -> bool:
    words = re.findall(r"[\w']+", text.lower())
    return bool(words) and len(text) <= FAREWELL_CHARACTERS and FAREWELL_WORDS.issuperset(words)
