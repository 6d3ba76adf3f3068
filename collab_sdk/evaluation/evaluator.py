"""Plays the conversations of a task with a bot, and measures each."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.concurrency import all_settled
from collab_sdk.engine.engine import Engine
from collab_sdk.errors import SampleError, UsageError, UserFaultError
from collab_sdk.evaluation.asking import judge_asks_question
from collab_sdk.evaluation.episode import Episode
from collab_sdk.evaluation.questions import auseful_questions
from collab_sdk.goals import GoalReader, goal_of
from collab_sdk.metrics import Judge, MetricLike, Reward, as_metrics
from collab_sdk.metrics.judge import judging_model
from collab_sdk.models.base import ChatModel
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.rollout import Rollout
from collab_sdk.runs.local import run_here
from collab_sdk.runs.runner import Outcome
from collab_sdk.scorer import scene_of
from collab_sdk.simulator import NOBODY, Fault, Simulator, Users, as_personas
from collab_sdk.spec import CALLS_PER_TURN, DEFAULT_TOOLS
from collab_sdk.tasks import BriefWriter, Task, get_task, row_digest
from collab_sdk.tools import Scene, Tools, as_toolbox
from collab_sdk.types import Conversation, End, Future, Goal, Persona, Turn


class Evaluator:
    """Plays a task's conversations from their first message, up to `exchanges` of them, `samples` of each goal.

    Every bot meets the same goals under the same sample indices, so that bots can be compared in pairs. With
    `by_persona`, all is played by users without a persona, and again by users with each of these, whatever persona a
    row has: same goals, same indices. `task` may be the name of one. `metric` takes the place of the task's own where
    that one needs settings. `tools`, `tools_model` and `calls_per_turn` say what runs the bot's calls, as for a
    Rollout. Source: arXiv 2502.00640, section 5.
    """

    def __init__(
        self,
        task: Task | str,
        *,
        simulator: Simulator | Users,
        by_persona: Sequence[Persona | str] = (),
        judge: ModelLike | None = None,
        metric: MetricLike | None = None,
        exchanges: int | None = None,
        samples: int = 1,
        tools: Tools = DEFAULT_TOOLS,
        tools_model: ModelLike | None = None,
        calls_per_turn: int = CALLS_PER_TURN,
        engine: Engine | None = None,
    ) -> None:
        self.task = get_task(task) if isinstance(task, str) else task
        self.task_name = task if isinstance(task, str) else task.name
        """As it was given: `py:MODULE:NAME` for one of somebody's own."""
        self.simulator = simulator if isinstance(simulator, Simulator) else Simulator(simulator, engine=engine)
        self.engine = engine or self.simulator.engine
        self.personas = tuple(each for each in as_personas(by_persona) if not each.is_nobody)
        self.exchanges = self.task.exchanges if exchanges is None else exchanges
        self.samples = samples
        if self.exchanges < 1 or samples < 1:
            raise UsageError(f"exchanges is {self.exchanges} and samples {samples}; both must be at least 1.")
        self.judge = Judge(judging_model(judge, self.simulator), engine=self.engine)
        own = metric or self.task.metric
        weights: dict[MetricLike, float] = {own: 1.0, "interactivity": 0.0} if own else {}
        self.reward = Reward(as_metrics(weights) if weights else {}, self.judge)
        player = self.simulator.player if tools_model is None else tools_model
        self.toolbox = as_toolbox(tools, model=player, engine=self.engine)
        self.calls_per_turn = calls_per_turn
        self._goals = GoalReader(self.judge.model, engine=self.engine)
        self._briefs = BriefWriter(self.judge.model, engine=self.engine)

    def aplay_all(
        self, bot: ModelLike, conversations: Iterable[Conversation]
    ) -> AsyncIterator[Outcome[tuple[Episode, ...]]]:
        """The conversations of one bot, in the order of their goals."""
        model = as_chat_model(bot)

        async def play(conversation: Conversation) -> tuple[Episode, ...]:
            return await self.aplay_samples(model, conversation)

        return run_here(play, conversations, engine=self.engine)

    def is_ambiguous(self, conversation: Conversation) -> bool | None:
        """What a row of the task says of its opening; None where it says nothing, as logs do."""
        return None if self.task.is_log else conversation.metadata.get("ambiguous")

    async def aplay_samples(self, bot: ModelLike, conversation: Conversation) -> tuple[Episode, ...]:
        """Every sample of one goal, by each user that is compared.

        Raises SampleError without a brief, UsageError if it cannot be measured.
        """
        model, goal, digest = as_chat_model(bot), conversation.goal or Goal(text=""), row_digest(conversation)
        self.reward.check(goal)  # before anything is paid for
        if self.task.needs_brief and not goal.text:
            goal = await self._briefs.awrite(goal, conversation_id=conversation.id)
        elif self.task.is_log:
            goal = await self._goals.aread(conversation)
        conversation = self.toolbox.equip(conversation)
        opening = conversation.opening if self.task.is_log else conversation.messages
        start = replace(conversation, id=f"{self.task.name}/{conversation.id}", messages=opening, goal=goal)
        with self.engine.opened(start.id, self.engine.order_of(conversation.id)):
            scene = replace(scene_of(conversation), conversation_id=start.id)  # with the results that the log holds
            goals = goal.played
            plays = (
                self._aplay(model, start, each, n, scene)
                for n in range(self.samples)
                for each in self._played_by(goal_of(n, goals))
            )
            samples = await all_settled(plays)
        return tuple(replace(played, conversation_id=conversation.id, row_sha256=digest) for played in samples)

    def _played_by(self, goal: Goal) -> list[Goal]:
        """The goal with each user that it is played by."""
        by = (NOBODY, *self.personas) if self.personas else (goal.persona,)
        return [replace(goal, persona=each) for each in by]

    async def _aplay(self, bot: ChatModel, start: Conversation, goal: Goal, sample: int, scene: Scene) -> Episode:
        future = await self._afuture(bot, start, goal, sample, scene)
        played = Episode(
            conversation_id=start.id,
            opening=start.messages,
            future=future,
            is_ambiguous=self.is_ambiguous(start),
        )
        tools = self.toolbox.tools(scene.tools)
        measured = played if played.is_missing else await self._ameasure(played, goal, tools)
        self.engine.ledger.missing += measured.is_missing
        return measured

    async def _afuture(self, bot: ChatModel, start: Conversation, goal: Goal, sample: int, scene: Scene) -> Future:
        """All that follows the opening. A call that fails makes it a failed one, with what was played before it."""
        rollout = Rollout(
            assistant=bot,
            simulator=self.simulator,
            window=self.exchanges,
            tools=self.toolbox,
            calls_per_turn=self.calls_per_turn,
            engine=self.engine,
        )
        future = await rollout.aconverse(start.messages, goal=goal, sample=sample, scene=scene)
        if future.error is None and not any(message.role == "assistant" for message in future.messages):
            left = UserFaultError(f"The simulated user {future.user} {Fault.LEAVES}.", fault=Fault.LEAVES)
            return future.failed(left, end=End.USER_FAILED)
        return future

    async def _ameasure(self, played: Episode, goal: Goal, tools: tuple[Mapping[str, Any], ...]) -> Episode:
        messages = (*played.opening, *played.future.messages)
        whole = Turn(index=0, history=(), response=played.opening)
        try:
            measured, questions, asks = await _together(
                self.reward.agive(whole, played.future, goal=goal, tools=tools, conversation_id=played.conversation_id),
                auseful_questions(self.judge, messages, goal=goal, conversation_id=played.conversation_id),
                self._judge_asks_question(played, goal),
            )
        except SampleError as error:
            return replace(played, future=played.future.failed(error))
        return replace(played, future=measured, questions=questions, asks=asks)

    async def _judge_asks_question(self, played: Episode, goal: Goal) -> bool | None:
        if played.is_ambiguous is None:
            return None
        messages = played.future.messages
        spoke = next((place for place, message in enumerate(messages) if message.role == "user"), len(messages))
        answered = (*played.opening, *messages[:spoke])
        return await judge_asks_question(self.judge, answered, goal=goal, conversation_id=played.conversation_id)


async def _together(measured: Any, questions: Any, asks: Any) -> tuple[Future, tuple[bool, ...], bool | None]:
    first, second, third = await all_settled([measured, questions, asks])
    return first, second, third
