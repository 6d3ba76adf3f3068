"""The commands' jobs: a RunSpec, of which any process, here or on another machine, makes the same work."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from collab_sdk.engine.engine import Engine
from collab_sdk.evaluation import Episode, Evaluator
from collab_sdk.metrics import PassRate
from collab_sdk.models.base import ChatModel, without_settings
from collab_sdk.models.resolve import as_chat_model
from collab_sdk.preferences import Begun, Pilot, PreferenceExporter, ScoredConversation, Stage
from collab_sdk.rollout import Rollout
from collab_sdk.runs import Runner
from collab_sdk.sandbox import Sandbox, find_isolation
from collab_sdk.scorer import MRScorer
from collab_sdk.simulator import Simulator
from collab_sdk.spec import RunSpec
from collab_sdk.tasks import get_task
from collab_sdk.types import Conversation, MRScore


@dataclass(frozen=True, kw_only=True, slots=True)
class Roles:
    """Who plays which role."""

    assistant: ChatModel
    simulator: Simulator
    judge: ChatModel
    tools: ChatModel
    """Plays the simulated tools."""


def roles_of(spec: RunSpec) -> Roles:
    """The models of a spec. Raises UsageError for a name that is none."""
    simulator, judge = simulator_of(spec), as_chat_model(spec.judge)
    player = simulator.player or without_settings(judge)
    return Roles(
        assistant=as_chat_model(spec.assistant),
        simulator=simulator,
        judge=judge,
        tools=player if spec.tools_model is None else as_chat_model(spec.tools_model),
    )


def simulator_of(spec: RunSpec) -> Simulator:
    """The users of a spec. Raises UsageError for one who cannot be played."""
    return Simulator(spec.simulators, personas=spec.personas)


def logs_of_users(spec: RunSpec) -> dict[str, str]:
    """Digests of the logs that users of a spec speak from, by their names: every machine must have the same."""
    known = {user.name: user.fingerprint for user in simulator_of(spec).users}
    return {name: str(made["contents"]) for name, made in known.items() if made and made.get("user") == "logs"}


def build_rollout(spec: RunSpec, engine: Engine, roles: Roles) -> Rollout:
    """How a spec's conversations are played. Raises UsageError for what cannot work, before any call."""
    return Rollout(
        assistant=roles.assistant,
        simulator=roles.simulator.with_engine(engine),
        window=spec.window,
        samples=spec.samples,
        tools=spec.tools,
        tools_model=roles.tools,
        calls_per_turn=spec.calls_per_turn,
    )


def build_scorer(spec: RunSpec, engine: Engine, roles: Roles | None = None) -> MRScorer:
    """The scorer of a spec. Raises UsageError for what cannot work, before any call."""
    roles = roles or roles_of(spec)
    rollout = build_rollout(spec, engine, roles)
    return MRScorer(
        rollout,
        metrics=spec.metrics,
        judge=roles.judge,
        goals_per_turn=spec.goals_per_turn,
        per=spec.per,
        min_samples=None if spec.min_samples is None else min(spec.min_samples, rollout.samples),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreJob:
    """The MR of every assistant turn, as `MRScorer.ascore_conversation` gives it."""

    result: ClassVar[Any] = list[MRScore]

    spec: RunSpec

    def work(self, engine: Engine) -> Callable[[Conversation], Awaitable[list[MRScore]]]:
        return build_scorer(self.spec, engine).ascore_conversation

    def identity(self) -> Mapping[str, Any] | None:
        """All that decides an outcome but the conversation; None where a part is unknown: a bot, a foreign metric."""
        scorer = build_scorer(self.spec, Engine(cache=None))
        made = {**scorer.made_with, "pairs": asdict(self.spec.pairs)}
        if None in made["models"].values() or "code" in made:
            return None
        return {"job": type(self).__name__, "made_with": made, "code": code_digest()}

    @staticmethod
    def is_whole(scores: Iterable[MRScore]) -> bool:
        """Whether no sample is missing that a later run would ask for again."""
        futures = (future for score in scores for future in (*score.futures, score.observed))
        return not any(future is not None and future.error for future in futures)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportJob:
    """Candidates, scores and pairs, as `PreferenceExporter.ascore_conversation` gives them."""

    result: ClassVar[Any] = ScoredConversation

    spec: RunSpec
    pilot: Pilot | None = None
    begun: Begun = field(default_factory=dict)

    def exporter(self, scorer: MRScorer) -> PreferenceExporter:
        return PreferenceExporter(scorer, **asdict(self.spec.pairs))

    def work(self, engine: Engine) -> Callable[[Conversation], Awaitable[ScoredConversation]]:
        exporter = self.exporter(build_scorer(self.spec, engine))

        async def score(conversation: Conversation) -> ScoredConversation:
            return await exporter.ascore_conversation(conversation, self.pilot, self.begun.get(conversation.id))

        return score

    def identity(self) -> Mapping[str, Any] | None:
        known = ScoreJob(spec=self.spec).identity()
        pilot = None if self.pilot is None else asdict(self.pilot)
        return None if known is None else {**known, "job": type(self).__name__, "pilot": pilot}

    def stage(self, runner: Runner) -> Stage:
        """The same for the pilot and for what comes after it, done by `runner`."""
        return lambda pilot, begun, conversations: runner.run(replace(self, pilot=pilot, begun=begun), conversations)

    def is_whole(self, scored: ScoredConversation) -> bool:
        scores = [score for turn in scored.turns for _, score in turn.candidates]
        return not any(turn.lost for turn in scored.turns) and ScoreJob.is_whole(scores)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateJob:
    """Whole conversations of the spec's assistant, as `Evaluator.aplay_samples` gives them."""

    result: ClassVar[Any] = tuple[Episode, ...]

    spec: RunSpec
    task: str

    def evaluator(self, engine: Engine, *, estimating: bool = False) -> Evaluator:
        """Raises UsageError where the task's metric runs code, if it is to be run, and there is no sandbox for it."""
        asked = self.spec.evaluation
        metric = None
        if get_task(self.task).metric == PassRate.name and not estimating:
            metric = PassRate(Sandbox(isolation=find_isolation(unsafe_allowed=asked.unsafe_exec)))
        return Evaluator(
            self.task,
            simulator=simulator_of(self.spec).with_engine(engine),
            by_persona=self.spec.compared_personas,
            judge=self.spec.judge,
            metric=metric,
            exchanges=asked.exchanges,
            samples=self.spec.samples,
            tools=self.spec.tools,
            tools_model=self.spec.tools_model,
            calls_per_turn=self.spec.calls_per_turn,
        )

    def work(self, engine: Engine) -> Callable[[Conversation], Awaitable[tuple[Episode, ...]]]:
        evaluator, bot = self.evaluator(engine), as_chat_model(self.spec.assistant)

        async def play(conversation: Conversation) -> tuple[Episode, ...]:
            return await evaluator.aplay_samples(bot, conversation)

        return play

    def identity(self) -> None:
        """Not known: a task may be anybody's code."""

    @staticmethod
    def is_whole(samples: Iterable[Episode]) -> bool:
        return not any(played.is_missing for played in samples)


JOBS: Mapping[str, type[ScoreJob] | type[ExportJob] | type[EvaluateJob]] = {
    job.__name__: job for job in (ScoreJob, ExportJob, EvaluateJob)
}
"""By the name under which they travel."""


@cache
def code_digest() -> str:
    """A digest of this package: its rules and prompts decide outcomes too."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*")):
        if path.suffix in (".py", ".txt"):
            digest.update(path.read_bytes())
    return digest.hexdigest()
