"""The multiturn-aware reward of a response."""

import copy
import statistics
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from collab_sdk.calibration import Calibration
from collab_sdk.concurrency import all_settled, run_sync, sync_twins
from collab_sdk.engine.engine import Engine
from collab_sdk.errors import UsageError
from collab_sdk.goals import GoalReader, Goals, as_goals, goal_of, most_goals
from collab_sdk.messages import Message, is_decision, link_tool_calls
from collab_sdk.metrics import Judge, Metrics, Reward, as_metrics, code_of, metric_specs
from collab_sdk.metrics.judge import judging_model
from collab_sdk.models.base import ChatModel, spec_of
from collab_sdk.models.reasoning import conversation_without_reasoning, without_reasoning
from collab_sdk.models.resolve import ModelLike
from collab_sdk.rollout import Rollout, is_whole
from collab_sdk.runs.local import run_here
from collab_sdk.runs.runner import Outcome
from collab_sdk.spec import DEFAULT_METRICS, RunSpec, made_with
from collab_sdk.stats import MissingTally
from collab_sdk.tool_calls import as_tools
from collab_sdk.tools import Scene
from collab_sdk.types import Conversation, End, Future, Goal, MRScore, Per, Turn

__all__ = ["MRScorer", "Response", "scene_of"]

USER_LEFT = "the chat ended here: the user left without a word"
"""Of an observed future in which nobody spoke again."""
Response = str | Iterable[Message | Mapping[str, Any]]
"""A response as its text, or as messages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A response that is to be scored beside others, with what `MRScorer.ascore_turn` takes."""

    turn: Turn
    samples: int
    followed: Sequence[Message] | None = None
    so_far: MRScore | None = None


@sync_twins
class MRScorer:
    """Scores responses by how well the conversation ends: MR(m | history, g) = mean of R* over sampled futures.

    `metrics` are names, functions of the evidence or Metric objects, as one, a list (of weight 1 each) or a mapping to
    weights; R* is the weighted sum of their values. `judge` is anything `as_chat_model` takes, by default the
    simulator's model, asked as judges are. With fewer than `min_samples` futures that succeeded (by default two, so
    that there is a standard error) a response has no score. Source: arXiv 2502.00640, section 3.

    The futures of a logged turn are played and judged by the goal in its row. A row without one has it inferred, and
    the goals that settle in different ways what its chat left open: nobody knows what the user would have answered to a
    question that was never put. With `goals_per_turn` MR is an expectation over as many goals as fit what the user had
    said by then, whatever the row has. The assistant could not know which; by the one true goal, a lucky guess earns
    more than the question that any user needs. Both go beyond the paper.

    A `calibration`, which `collab check-sim --calibrate` makes from logs, puts into each score's `calibrated` what real
    users would give. The value itself, and all that compares or selects by it, are left as they are.
    """

    def __init__(
        self,
        rollout: Rollout,
        *,
        metrics: Metrics = DEFAULT_METRICS,
        judge: ModelLike | None = None,
        min_samples: int | None = None,
        goals_per_turn: int | None = None,
        per: Per = "turn",
        calibration: Calibration | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.rollout = rollout
        self.engine = engine or rollout.engine
        self.judge = Judge(judging_model(judge, rollout.simulator), engine=self.engine)
        self.reward = Reward(as_metrics(metrics), self.judge)
        self.goals = GoalReader(self.judge.model, engine=self.engine)
        self.asked_min_samples = min_samples
        """None where nobody asked for any: an export, which knows of the whole run's noise, then does with one."""
        self.min_samples = min(2, rollout.samples) if min_samples is None else min_samples
        self.goals_per_turn = goals_per_turn
        self.per = per
        self.calibration = calibration
        if goals_per_turn is not None and goals_per_turn < 1:
            raise UsageError(f"goals_per_turn is {goals_per_turn}; it must be 1 or more.")
        if not 1 <= self.min_samples <= rollout.samples:
            raise UsageError(f"min_samples is {self.min_samples}; it must be from 1 to samples ({rollout.samples}).")
        if calibration is not None:
            calibration.check(self.made_with)

    @property
    def spec(self) -> RunSpec:
        """All that decides a score, as data: the models as they are asked, the metrics with all their options."""
        rollout, simulator = self.rollout, self.rollout.simulator
        simulated = rollout.toolbox.simulated
        return RunSpec(
            assistants=(spec_of(rollout.assistant, rollout.settings),),
            simulators=simulator.specs,
            personas=simulator.personas,
            judge=spec_of(self.judge.model, self.judge.settings),
            metrics=metric_specs(self.reward.metrics),
            samples=rollout.samples,
            window=rollout.window,
            goals_per_turn=self.goals_per_turn,
            min_samples=self.min_samples,
            per=self.per,
            tools=rollout.toolbox.names,
            tools_model=None if simulated is None else simulated.spec,
            calls_per_turn=rollout.calls_per_turn,
            limits=self.engine.limits,
        )

    @property
    def models(self) -> dict[str, ChatModel]:
        """Who plays, by role."""
        simulated = self.rollout.toolbox.simulated
        return {
            "assistant": self.rollout.assistant,
            **self.rollout.simulator.models,
            "judge": self.judge.model,
            **({} if simulated is None or simulated.model is None else {"tools": simulated.model}),
        }

    @property
    def made_with(self) -> dict[str, Any]:
        """The provenance of a score as JSON values, for the files that hold scores."""
        known = {role: model.fingerprint for role, model in self.models.items()} | self.rollout.simulator.fingerprints
        hashes = {name: code_of(metric) for name, (metric, _) in self.reward.metrics.items()}
        codes = {name: code for name, code in hashes.items() if code is not None} | self.rollout.toolbox.codes
        return made_with(self.spec, known, codes=codes)

    @property
    def weights(self) -> dict[str, float]:
        """Of the metrics, by name."""
        return {name: weight for name, (_, weight) in self.reward.metrics.items()}

    def with_assistant(self, assistant: ModelLike) -> Self:
        """The same with another bot; `assistant` is anything `as_chat_model` takes."""
        other = copy.copy(self)
        other.rollout = self.rollout.with_assistant(assistant)
        if other.calibration is not None:
            other.calibration.check(other.made_with)
        return other

    def score(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goals | None = None,
        tools: Iterable[Mapping[str, Any]] = (),
        conversation_id: str = "",
    ) -> MRScore:
        return run_sync(self.ascore(messages, goal=goal, tools=tools, conversation_id=conversation_id))

    async def ascore(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        goal: Goals | None = None,
        tools: Iterable[Mapping[str, Any]] = (),
        conversation_id: str = "",
    ) -> MRScore:
        """The score of the response that `messages` end with: all that the assistant did since the user spoke.

        `tools`, in OpenAI's form, is what the assistant may call. Of several goals, each sample has the next in turn.
        Futures that fail are missing from the score and listed in its `errors`. Raises UsageError for messages that do
        not end with a response, RunStoppedError if the run cannot go on.
        """
        start = without_reasoning(messages)
        spoke = max((place for place, message in enumerate(start, 1) if message.role == "user"), default=0)
        history, response = start[:spoke], start[spoke:]
        if not any(map(is_decision, response)):
            raise UsageError("messages must end with the assistant's response that is to be scored.")
        return await self._ascore(history, response, goal, self._log(history, [response], tools, conversation_id))

    def rank(
        self,
        history: Iterable[Message | Mapping[str, Any]],
        responses: Sequence[Response],
        *,
        goal: Goals | None = None,
        tools: Iterable[Mapping[str, Any]] = (),
        conversation_id: str = "",
    ) -> list[MRScore]:
        return run_sync(self.arank(history, responses, goal=goal, tools=tools, conversation_id=conversation_id))

    async def arank(
        self,
        history: Iterable[Message | Mapping[str, Any]],
        responses: Sequence[Response],
        *,
        goal: Goals | None = None,
        tools: Iterable[Mapping[str, Any]] = (),
        conversation_id: str = "",
    ) -> list[MRScore]:
        """Scores of `responses` to one history, best first, those without a score last.

        A response is a text, or messages of the assistant's: calls, their results, text. Where samples are missing,
        `bounds` says how far that score could be off: between scores whose bounds overlap, what is missing could turn
        the order. Raises UsageError for what is no response.
        """
        start = without_reasoning(history)
        given = [_as_response(each, start) for each in responses]
        log = self._log(start, given, tools, conversation_id)
        scores = with_bounds(await all_settled(self._ascore(start, response, goal, log) for response in given))
        return sorted(scores, key=lambda score: float("-inf") if score.value is None else score.value, reverse=True)

    def _log(
        self,
        history: tuple[Message, ...],
        responses: Iterable[tuple[Message, ...]],
        tools: Iterable[Mapping[str, Any]],
        conversation_id: str,
    ) -> Conversation:
        """The conversation of the history, with tools that are the same for all responses."""
        others = {0: tuple(responses)}
        log = Conversation(id=conversation_id, messages=history, tools=as_tools(tools), alternatives=others)
        return self.rollout.toolbox.equip(log)

    async def _ascore(
        self, history: tuple[Message, ...], response: tuple[Message, ...], goal: Goals | None, log: Conversation
    ) -> MRScore:
        turn = Turn(index=0, history=history, response=response)
        return await self.ascore_turn(turn, goal, replace(log, messages=(*history, *response)))

    def ascore_all(self, conversations: Iterable[Conversation]) -> AsyncIterator[Outcome[list[MRScore]]]:
        """The scores of every conversation, in input order."""
        return run_here(self.ascore_conversation, conversations, engine=self.engine)

    def score_conversation(self, conversation: Conversation) -> list[MRScore]:
        return run_sync(self.ascore_conversation(conversation))

    async def ascore_conversation(self, conversation: Conversation) -> list[MRScore]:
        """The score of every assistant turn, or decision, of a logged chat, with its observed future.

        Raises SampleError if the chat's goal has to be inferred and cannot be.
        """
        conversation = self.rollout.toolbox.equip(conversation_without_reasoning(conversation))
        goal = await self.goals.aread(conversation)

        async def score(turn: Turn) -> MRScore:
            goals = await self.agoals(turn, goal, conversation.id)
            return await self.ascore_turn(turn, goals, conversation, followed=turn.followed)

        return await all_settled(score(turn) for turn in conversation.units(self.per))

    def most_goals(self, conversation: Conversation) -> int:
        """At most how many goals each turn is played with, as far as can be told before the conversation is read."""
        return most_goals(conversation, self.goals_per_turn)

    async def agoals(self, turn: Turn, goal: Goal, conversation_id: str) -> tuple[Goal, ...]:
        """The goals by which a logged turn is scored, `goal` being what was read: see GoalReader.apropose.

        Raises SampleError if they cannot be had.
        """
        self.reward.check(goal)  # before anything is paid for
        return await self.goals.apropose(
            turn.history,
            goal=goal,
            n=self.goals_per_turn,
            sample=f"{conversation_id}/{turn.index}",
            conversation_id=conversation_id,
        )

    async def ascore_turn(
        self,
        turn: Turn,
        goal: Goals | None,
        log: Conversation,
        *,
        followed: Sequence[Message] | None = None,
        samples: int | None = None,
        so_far: MRScore | None = None,
        least: int | None = None,
        played: Sequence[Future] | None = None,
    ) -> MRScore:
        """The score of a response to the history of a turn of `log`; `followed` is what really followed it.

        That is nothing where the user left, which is observed and judged too, and None where it is not known. The log
        has all tools that the assistant has in it, as `Toolbox.equip` gives them. One that breaks off in the middle of
        a turn does not tell what followed. Of several goals, each sample has the next in turn, and what was observed is
        judged by the first, as far as the user told it. Futures are added to those of `so_far` until there are
        `samples`, by default those of the rollout; with fewer than `least` of them, by default `min_samples`, there is
        no value. `played` are those that would be added, where they are known. Raises SampleError where nothing can be
        measured.
        """
        goals, reward = as_goals(goal), self.reward.of(log)
        for each in goals:
            reward.check(each)
        start = (*turn.history, *turn.response)
        known = so_far.futures if so_far else ()
        wanted = range(len(known), self.rollout.samples_after(start) if samples is None else samples)
        drawn = [self._asample(turn, goal_of(n, goals), n, reward, log) for n in wanted] if played is None else []
        seen = []
        if followed is not None and not so_far:
            really = _first_exchanges(followed, self.rollout.window)
            if is_whole((*start, *really)):
                seen.append(self._aobserved(turn, really, goals[0].known, reward, log))
        found = await all_settled([*drawn, *seen])
        futures = (*known, *(found[: len(drawn)] if played is None else played))
        value, stderr, metrics = self._aggregate(futures, self.min_samples if least is None else least)
        return MRScore(
            response=turn.response,
            futures=futures,
            value=value,
            stderr=stderr,
            metrics=metrics,
            observed=found[-1] if seen else so_far.observed if so_far else None,
            conversation_id=log.id,
            turn=turn.index,
            goal=goals[0].known.text,
            goals=tuple(each.text for each in goals) if goals != (goals[0].known,) else (),
            calibrated=None if self.calibration is None or value is None else self.calibration.expected(value),
        )

    async def ascore_asked(
        self, asked: Sequence[Asked], goal: Goals, log: Conversation, *, least: int | None, together: bool
    ) -> list[MRScore]:
        """The scores of several responses to one history, as `ascore_turn` gives them.

        `together`, all futures that they get now and that share a goal are judged in one call. What was observed is
        judged alone.
        """
        played = await self._aplay_together(asked, goal, log) if together else [None] * len(asked)
        return await all_settled(
            self.ascore_turn(
                each.turn,
                goal,
                log,
                followed=each.followed,
                samples=each.samples,
                so_far=each.so_far,
                least=least,
                played=futures,
            )
            for each, futures in zip(asked, played, strict=True)
        )

    async def _aplay_together(self, asked: Sequence[Asked], goal: Goals, log: Conversation) -> list[list[Future]]:
        """The futures that each response gets now, judged in one call for each goal."""
        goals, reward = as_goals(goal), self.reward.of(log)

        async def play(each: Asked) -> list[tuple[Goal, Future]]:
            start = (*each.turn.history, *each.turn.response)
            wanted = range(len(each.so_far.futures) if each.so_far else 0, each.samples)
            by = [goal_of(n, goals) for n in wanted]
            played = await all_settled(
                self.rollout.aplay(start, goal=goal, sample=n, scene=scene_of(log))
                for n, goal in zip(wanted, by, strict=True)
            )
            return list(zip(by, played, strict=True))

        played = await all_settled(play(each) for each in asked)
        whole = [
            (each.turn, future, goal)
            for each, futures in zip(asked, played, strict=True)
            for goal, future in futures
            if not future.error
        ]
        judged = iter(await reward.agive_together(whole, tools=log.tools, conversation_id=log.id))
        given = [[future if future.error else next(judged) for _, future in futures] for futures in played]
        self.engine.ledger.missing += sum(future.error is not None for futures in given for future in futures)
        return given

    async def _asample(self, turn: Turn, goal: Goal, sample: int, reward: Reward, log: Conversation) -> Future:
        start = (*turn.history, *turn.response)
        future = await self.rollout.aplay(start, goal=goal, sample=sample, scene=scene_of(log))
        if not future.error:
            future = await reward.agive(turn, future, goal=goal, tools=log.tools, conversation_id=log.id)
        self.engine.ledger.missing += future.error is not None
        return future

    async def _aobserved(
        self, turn: Turn, observed: Sequence[Message], goal: Goal, reward: Reward, log: Conversation
    ) -> Future:
        left = "" if any(message.role == "user" for message in observed) else USER_LEFT
        future = Future(sample=0, messages=tuple(observed), end=End.OBSERVED, reason=left)
        return await reward.agive(turn, future, goal=goal, tools=log.tools, conversation_id=log.id)

    @staticmethod
    def _aggregate(futures: Sequence[Future], least: int) -> tuple[float | None, float | None, dict[str, float]]:
        """Mean reward, its standard error, and the mean of each metric, over the futures that succeeded."""
        done = [future for future in futures if future.reward is not None]
        rewards = [future.reward for future in done if future.reward is not None]
        if len(done) < least:
            return None, None, {}
        stderr = statistics.stdev(rewards) / len(rewards) ** 0.5 if len(rewards) > 1 else None
        means = {name: statistics.fmean(future.metrics[name] for future in done) for name in done[0].metrics}
        return statistics.fmean(rewards), stderr, means


def with_bounds(scores: Iterable[MRScore]) -> list[MRScore]:
    """The scores of responses that are compared, those with missing samples with their `bounds`."""
    scores = list(scores)
    tallies = [MissingTally.of([future.reward for future in score.futures]) for score in scores]
    return [
        replace(score, bounds=tally.bounds(*tallies)) if tally.missing else score
        for score, tally in zip(scores, tallies, strict=True)
    ]


def scene_of(log: Conversation) -> Scene:
    """Where the tools of a logged conversation are called."""
    return Scene(conversation_id=log.id, tools=log.tools, logged=log.messages)


def _as_response(response: Response, history: tuple[Message, ...]) -> tuple[Message, ...]:
    given = [Message(role="assistant", content=response)] if isinstance(response, str) else response
    messages = without_reasoning(given)
    if not any(map(is_decision, messages)) or any(message.role in ("user", "system") for message in messages):
        raise UsageError("A response is a text, or a list of the assistant's messages and its tools' results.")
    return link_tool_calls((*history, *messages))[len(history) :]


def _first_exchanges(messages: Sequence[Message], window: int) -> tuple[Message, ...]:
    """What a simulated future would show of `messages`: what ends the turn, then up to `window` exchanges."""
    users = 0
    for position, message in enumerate(messages):
        users += message.role == "user"
        if users > window:
            return tuple(messages[:position])
    return tuple(messages)
