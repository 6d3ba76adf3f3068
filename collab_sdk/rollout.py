"""Playing a conversation forward."""

import copy
import json
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count, groupby
from typing import Any, Literal, Self

from collab_sdk.concurrency import all_settled, run_sync, sync_twins
from collab_sdk.engine.engine import Engine
from collab_sdk.errors import FilteredError, SampleError, ToolError, UsageError
from collab_sdk.farewells import is_farewell
from collab_sdk.goals import Goals, as_goals, goal_of
from collab_sdk.messages import Ending, Message, deeds_of, shown_text, since_the_user, unanswered_calls
from collab_sdk.models.base import CallRole, ChatModel, ChatRequest, settings_for
from collab_sdk.models.reasoning import without_reasoning
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.secrets import one_line
from collab_sdk.simulator import SILENCE, Simulator, Users
from collab_sdk.spec import CALLS_PER_TURN, DEFAULT_TOOLS, ROLE_DEFAULTS, ModelSettings
from collab_sdk.tool_calls import as_tools
from collab_sdk.tools import NOWHERE, OpenToolbox, Scene, Tools, as_toolbox, goes_in_a_circle
from collab_sdk.types import Conversation, End, Future, Goal, Per

__all__ = ["Rollout"]

NO_RESULT = "no result: the call was never answered"
"""What the assistant is told of a call whose result its log lacks; no server takes one without."""

SHORT = 2
"""Words of an answer that may be the same to a question that is asked again."""


@sync_twins
class Rollout:
    """Plays futures of a conversation: the simulated user and the assistant in turn, at most `window` exchanges.

    A reply of the assistant's that is cut off, filtered or empty is what its user would get: it stands in the future as
    it is, with `ended` set, and is played on from and judged. What anybody else fails at makes a future a missing one.

    `assistant` is anything `as_chat_model` takes; `samples` is how many futures make one estimate. The paper uses
    window 2, 3 samples and temperature 0.8 (section 4), which a ModelSpec's settings, or `temperature`, replace.

    `tools` is what runs the assistant's calls, unless the bot runs them itself: "recorded" (results in the log),
    "simulated" (a model that plays the tools: `tools_model`, or the simulator's without its settings), functions, a
    class with state that is made anew for each future, or several of these, asked in order; "none" for nobody. A turn
    ends after `calls_per_turn` calls.
    """

    def __init__(
        self,
        *,
        assistant: ModelLike,
        simulator: Simulator | Users,
        window: int = 2,
        samples: int = 3,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Tools = DEFAULT_TOOLS,
        tools_model: ModelLike | None = None,
        calls_per_turn: int = CALLS_PER_TURN,
        engine: Engine | None = None,
    ) -> None:
        if window < 0 or samples < 1 or calls_per_turn < 1:
            raise UsageError(
                f"window is {window}, samples {samples} and calls_per_turn {calls_per_turn}; they must be at least 0, "
                "1 and 1."
            )
        self.assistant: ChatModel = as_chat_model(assistant)
        self.simulator = simulator if isinstance(simulator, Simulator) else Simulator(simulator, engine=engine)
        self.window = window
        self._samples = samples
        given: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        self._given = {name: value for name, value in given.items() if value is not None}
        self.settings = self._settings()
        self.engine = engine or self.simulator.engine
        player = self.simulator.player if tools_model is None else tools_model
        self.toolbox = as_toolbox(tools, model=player, engine=self.engine)
        self.calls_per_turn = calls_per_turn

    def futures(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goals,
        tools: Iterable[Mapping[str, Any]] = (),
        conversation_id: str = "",
    ) -> list[Future]:
        return run_sync(self.afutures(messages, goal=goal, tools=tools, conversation_id=conversation_id))

    async def afutures(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goals,
        tools: Iterable[Mapping[str, Any]] = (),
        conversation_id: str = "",
    ) -> list[Future]:
        """`samples` futures of a conversation that ends with the assistant. Failed ones have `error` set.

        Of several goals, each sample has the next in turn. `tools`, in OpenAI's form, is what the assistant may call.
        """
        start, goals = without_reasoning(messages), as_goals(goal)
        log = self.toolbox.equip(Conversation(id=conversation_id, messages=start, tools=as_tools(tools)))
        scene = Scene(conversation_id=conversation_id, tools=log.tools, logged=start)
        plays = (
            self.aplay(start, goal=goal_of(sample, goals), sample=sample, scene=scene) for sample in range(self.samples)
        )
        return await all_settled(plays)

    async def aplay(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goal | str,
        sample: int = 0,
        scene: Scene = NOWHERE,
    ) -> Future:
        """One future; if a call fails a failed one, with what was played before it.

        An assistant that is in the middle of its turn, with a call that is still to be run or a result that it has not
        answered, goes on with that first. Raises RunStoppedError, and no other.
        """
        return await self._aplay(without_reasoning(messages), Goal.of(goal), self.window, sample, scene)

    async def aconverse(
        self,
        opening: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goal | str,
        sample: int = 0,
        scene: Scene = NOWHERE,
    ) -> Future:
        """A whole conversation of at most `window` exchanges: all that follows `opening`.

        The opening ends with a user message, or is empty: then the user begins. Errors are those of `aplay`.
        """
        return await self._aplay(
            without_reasoning(opening), Goal.of(goal), self.window, sample, scene, begins_with="answer"
        )

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

    def samples_after(self, start: Sequence[Message]) -> int:
        """The same for a start that may be in the middle of a turn, which is played to its end without a window too."""
        return self._samples if is_in_turn(start) else self.samples

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
        self,
        start: Sequence[Message],
        goal: Goal,
        window: int,
        sample: int,
        scene: Scene,
        *,
        begins_with: Literal["user", "answer"] = "user",
    ) -> Future:
        played: list[Message] = []
        end, reason = End.WINDOW, ""
        named = scene.conversation_id
        scene = replace(scene, sample=f"{named}/future-{sample}")
        seat = self.simulator.seat(goal, draw=scene.sample if named else f"{_told_apart(start, goal)}/future-{sample}")
        future = Future(sample=sample, user=seat.name, persona=seat.persona)
        try:
            _check_start(start)
            async with seat.played_alone(), self.toolbox.open(scene) as toolbox:
                first = None
                if start and begins_with == "answer":
                    window, first = window - 1, f"{named}/answer-{sample}"
                elif is_in_turn(start):
                    first = f"{scene.sample}/turn"
                if first and not await self._aturn(start, played, toolbox, draw=first, named=named):
                    return replace(future, messages=tuple(played), end=End.CALLS)
                for step in range(window):
                    draw = f"{scene.sample}/{step}"
                    try:
                        user = await seat.areply([*start, *played], turn=step, sample=draw, conversation_id=named)
                    except SampleError as error:
                        return replace(future, messages=tuple(played)).failed(error, end=End.USER_FAILED)
                    if user.message:
                        played.append(Message(role="user", content=user.message))
                    if user.end is not None:
                        end, reason = user.end, user.reason
                        break
                    if not await self._aturn(start, played, toolbox, draw=draw, named=named):
                        end = End.CALLS
                        break
                    if (stuck := _stuck([*start, *played])) is not None:
                        end = stuck
                        break
        except SampleError as error:
            return replace(future, messages=tuple(played)).failed(error)
        return replace(future, messages=tuple(played), end=end, reason=reason)

    async def arespond(
        self, history: Sequence[Message], *, sample: str, scene: Scene = NOWHERE, per: Per = "turn"
    ) -> tuple[Message, ...]:
        """The assistant's turn for a history that ends with a user message, its calls run, or its next decision alone.

        `sample` tells draws apart. Raises SampleError if it is lost.
        """
        _check_start(history)
        played: list[Message] = []
        async with self.toolbox.open(replace(scene, sample=sample)) as toolbox:
            if per == "turn":
                await self._aturn(history, played, toolbox, draw=sample, named=scene.conversation_id)
                return tuple(played)
            decided = await self._adecide(history, toolbox, draw=sample, named=scene.conversation_id)
        if len(decided) > 1:
            raise SampleError(
                f"{self.assistant.name} runs its tools itself, so that its decisions cannot be drawn one by one: "
                "compare whole turns (--per turn)."
            )
        return decided

    async def _aturn(
        self, start: Sequence[Message], played: list[Message], toolbox: OpenToolbox, *, draw: str, named: str
    ) -> bool:
        """Let the assistant act until it leaves the word to the user, and add all of it to `played`.

        False where it had to be stopped, since it went on calling. What the log did before is not counted.
        """
        calls, step = unanswered_calls([*start, *played]), 0
        while True:
            if calls:
                if sum(len(message.calls) for message in since_the_user(played)) > self.calls_per_turn:
                    return False
                played += await toolbox.arun(calls, [*start, *played])
                if goes_in_a_circle(since_the_user(played)):
                    return False
            draw_of_step = f"{draw}/call-{step}" if step else draw
            played += await self._adecide([*start, *played], toolbox, draw=draw_of_step, named=named)
            calls, step = unanswered_calls(since_the_user(played)), step + 1
            if not calls:
                return True

    async def _adecide(
        self, history: Sequence[Message], toolbox: OpenToolbox, *, draw: str, named: str
    ) -> tuple[Message, ...]:
        """What the assistant says or calls next; of a bot that runs its own tools, all its steps."""
        request = ChatRequest(
            role=CallRole.ASSISTANT,
            messages=_as_servers_take_it(history),
            settings=self.settings,
            tools=toolbox.tools,
            sample=draw,
            conversation_id=named,
            metadata={"simulated": True, "sample": draw},
        )
        try:
            said = (await self.engine.call(self.assistant, request)).messages
        except FilteredError:
            said = (Message(role="assistant", content="", ended=Ending.FILTERED),)
        decided = _numbered(said, taken={call.id for message in history for call in message.calls})
        if (stray := _stray_result([*history, *decided])) is not None:
            raise ToolError(
                f"{self.assistant.name} returned a tool's result without the call that it answers: "
                f"{one_line(stray.content, 60)!r}."
            )
        return decided


def _check_start(start: Sequence[Message]) -> None:
    """Raise ToolError for a conversation that cannot go on as it is."""
    if any(not call.name for call in unanswered_calls(start)):
        raise ToolError("The response calls a tool without a name, so it cannot be played on.")
    if (stray := _stray_result(start)) is not None:
        position = next(place for place, message in enumerate(start, 1) if message is stray)
        raise ToolError(f"Message {position} is a tool's result, and the call that it answers is missing.")


def _stray_result(messages: Sequence[Message]) -> Message | None:
    """The first result that answers no call."""
    called: set[str | None] = set()
    for message in messages:
        called.update(call.id for call in message.calls)
        if message.role == "tool" and message.tool_call_id not in called:
            return message
    return None


def _told_apart(start: Sequence[Message], goal: Goal) -> str:
    """What stands for a conversation without an id: how its user began and what they want, whatever was answered."""
    began = next((message.content for message in start if message.role == "user"), "")
    return json.dumps([began, goal.asked or goal.text])


def is_in_turn(messages: Sequence[Message]) -> bool:
    """Whether it is still the assistant's turn: a call waits for its result, or a result for what is made of it."""
    return bool(messages) and (messages[-1].role == "tool" or bool(unanswered_calls(messages)))


def is_whole(messages: Sequence[Message]) -> bool:
    """Whether nothing is missing of what happened: every result has its call, and the assistant ended its turn."""
    return not is_in_turn(messages) and _stray_result(messages) is None


def _as_servers_take_it(history: Sequence[Message]) -> tuple[Message, ...]:
    """The history with a result for every call, and something in every reply, since no server takes one without."""
    answered = {message.tool_call_id for message in history if message.role == "tool"}
    whole: list[Message] = []
    for message in history:
        is_silent = message.ended is not None and not message.content and not message.tool_calls
        whole.append(replace(message, content=SILENCE) if is_silent else message)
        for call in message.calls:
            if call.id not in answered:
                whole.append(Message(role="tool", content=NO_RESULT, name=call.name or None, tool_call_id=call.id))
    return tuple(whole)


def _numbered(messages: tuple[Message, ...], *, taken: Collection[str]) -> tuple[Message, ...]:
    """The messages with ids of our own on their calls and results, the same for the same conversation.

    Servers draw them at random, or begin at the same one in every reply. Mistral's take nine letters and digits only.
    """
    if not any(message.tool_calls for message in messages):
        return messages
    numbered, free = [], (id for n in count(len(taken)) if (id := f"call{n:05d}") not in taken)
    waiting: dict[str, deque[str]] = {}
    for message in messages:
        ours = deque(next(free) for _ in message.tool_calls)
        calls = tuple({**call, "id": new} for call, new in zip(message.tool_calls, ours, strict=True))
        own: dict[str, deque[str]] = {}  # ids may begin anew in the next message, and be the same in one
        for call, new in zip(message.calls, ours, strict=True):
            own.setdefault(call.id, deque()).append(new)
        waiting |= own
        answered = message.tool_call_id if message.role == "tool" else None
        if answered is not None and (known := waiting.get(answered)):
            answered = known.popleft() if len(known) > 1 else known[0]
        numbered.append(replace(message, tool_calls=calls, tool_call_id=answered))
    return tuple(numbered)


def _stuck(messages: Sequence[Message]) -> End | None:
    """Whether the last exchange leads nowhere: both sides only say goodbye, or both repeat themselves.

    A word or two may be the answer to a question that is asked again. Somebody who says more is given another turn:
    with the same words for a third time, it is the simulated user who is stuck (see `collab_sdk.simulator.Fault`).
    """
    runs = [list(run) for _, run in groupby(messages, key=lambda message: message.role == "user")]
    user, assistant = runs[-2:]
    if is_farewell(user[-1].content) and is_farewell(shown_text(assistant)):
        return End.GOODBYE
    times = 2 if len(user[-1].content.split()) <= SHORT else 3
    last = runs[-2 * times :]
    if len(last) < 2 * times:
        return None
    exchanges = {
        (tuple(message.content for message in said), deeds_of(answered))
        for said, answered in zip(last[::2], last[1::2], strict=True)
    }
    return End.REPETITION if len(exchanges) == 1 and deeds_of(assistant) else None
