"""The commands' jobs in names and numbers, of which any process, here or on another machine, makes the same work."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import UsageError
from collab_sdk.evaluation import Episode, Evaluator, as_bot
from collab_sdk.jobs.wire import dumps
from collab_sdk.metrics import Metric, TokenPenalty, as_metrics
from collab_sdk.metrics.pass_rate import PassRate
from collab_sdk.models.base import ChatModel
from collab_sdk.models.resolve import as_chat_model
from collab_sdk.preferences import PairRule, PreferenceExporter, ScoredConversation
from collab_sdk.rollout import Rollout
from collab_sdk.sandbox import Sandbox, find_isolation
from collab_sdk.scorer import DEFAULT_METRICS, MRScorer
from collab_sdk.simulator import Simulator
from collab_sdk.tasks import get_task
from collab_sdk.types import Conversation, MRScore


@dataclass(frozen=True, kw_only=True, slots=True)
class Models:
    """Who plays which part."""

    assistant: ChatModel
    simulator: ChatModel
    judge: ChatModel


@dataclass(frozen=True, kw_only=True, slots=True)
class Cast:
    """Who plays which part, by the names that `as_chat_model` takes."""

    assistant: str
    simulator: str
    judge: str
    api_base: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in ("assistant", "simulator", "judge"):
            if not isinstance(getattr(self, part), str):
                raise UsageError(
                    f"The {part} of a job must be a name, for an object of this process cannot travel to another: put "
                    "a function into a module, and name it py:MODULE:FUNCTION."
                )

    def models(self) -> Models:
        """Raises UsageError for a name that is none."""
        names = (self.assistant, self.simulator, self.judge)
        model_of = {name: as_chat_model(name, api_base=self.api_base) for name in names}
        return Models(assistant=model_of[names[0]], simulator=model_of[names[1]], judge=model_of[names[2]])


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreJob:
    """The MR of every assistant turn, as `MRScorer.ascore_conversation` gives it."""

    result: ClassVar[Any] = list[MRScore]

    cast: Cast
    metrics: tuple[tuple[str, float], ...] = tuple(DEFAULT_METRICS.items())
    token_rate: float | None = None
    window: int = 2
    samples: int = 3
    goals_per_turn: int = 1

    @property
    def weights(self) -> Mapping[Metric | str, float]:
        """Raises UsageError for a token rate without the metric it belongs to."""
        weights: dict[Metric | str, float] = dict(self.metrics)
        if self.token_rate is not None:
            penalty = TokenPenalty(rate=self.token_rate)
            if penalty.name not in weights:
                raise UsageError(f"--token-rate belongs to {penalty.name}, which is not among the metrics.")
            weights[penalty] = weights.pop(penalty.name)
        return weights

    def scorer(self, engine: Engine) -> MRScorer:
        models = self.cast.models()
        rollout = Rollout(
            assistant=models.assistant,
            simulator=Simulator(models.simulator, engine=engine),
            window=self.window,
            samples=self.samples,
        )
        return MRScorer(rollout, metrics=self.weights, judge=models.judge, goals_per_turn=self.goals_per_turn)

    def work(self, engine: Engine) -> Callable[[Conversation], Awaitable[list[MRScore]]]:
        return self.scorer(engine).ascore_conversation

    def identity(self) -> Mapping[str, Any] | None:
        """All that decides an outcome but the conversation; None where a part is unknown: a bot, a foreign metric."""
        models = self.cast.models()
        fingerprints = [model.fingerprint for model in (models.assistant, models.simulator, models.judge)]
        metrics = (metric for metric, _ in as_metrics(self.weights).values())
        if None in fingerprints or not all(type(metric).__module__.startswith("collab_sdk.") for metric in metrics):
            return None
        return {"job": type(self).__name__, "settings": dumps(self), "models": fingerprints, "code": _code()}

    @staticmethod
    def is_whole(scores: Iterable[MRScore]) -> bool:
        """Whether no sample is missing that a later run would ask for again."""
        futures = (future for score in scores for future in (*score.futures, score.observed))
        return not any(future is not None and future.error for future in futures)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportJob:
    """Candidates, scores and pairs, as `PreferenceExporter.ascore_conversation` gives them."""

    result: ClassVar[Any] = ScoredConversation

    score: ScoreJob
    candidates: int = 3
    min_margin: float = PairRule.min_margin
    max_pairs: int = PairRule.max_pairs
    adaptive: bool = True

    def exporter(self, scorer: MRScorer) -> PreferenceExporter:
        return PreferenceExporter(
            scorer,
            candidates=self.candidates,
            min_margin=self.min_margin,
            max_pairs=self.max_pairs,
            adaptive=self.adaptive,
        )

    def work(self, engine: Engine) -> Callable[[Conversation], Awaitable[ScoredConversation]]:
        return self.exporter(self.score.scorer(engine)).ascore_conversation

    def identity(self) -> Mapping[str, Any] | None:
        known = self.score.identity()
        return None if known is None else {**known, "job": type(self).__name__, "settings": dumps(self)}

    def is_whole(self, scored: ScoredConversation) -> bool:
        scores = [score for turn in scored.turns for _, score in turn.candidates]
        return not any(turn.lost for turn in scored.turns) and self.score.is_whole(scores)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateJob:
    """Whole conversations of one bot, as `Evaluator.aplay_samples` gives them. The bot is what `as_bot` takes."""

    result: ClassVar[Any] = tuple[Episode, ...]

    cast: Cast
    task: str
    exchanges: int | None = None
    samples: int = 1
    unsafe_exec: bool = False

    def evaluator(self, engine: Engine, *, estimating: bool = False) -> Evaluator:
        """Raises UsageError where the task's metric runs code, if it is to be run, and there is no sandbox for it."""
        task = get_task(self.task)
        metric = None
        if task.metric == PassRate.name and not estimating:
            metric = PassRate(Sandbox(isolation=find_isolation(unsafe_allowed=self.unsafe_exec)))
        return Evaluator(
            task,
            simulator=Simulator(as_chat_model(self.cast.simulator, api_base=self.cast.api_base), engine=engine),
            judge=as_chat_model(self.cast.judge, api_base=self.cast.api_base),
            metric=metric,
            exchanges=self.exchanges,
            samples=self.samples,
        )

    def work(self, engine: Engine) -> Callable[[Conversation], Awaitable[tuple[Episode, ...]]]:
        evaluator, bot = self.evaluator(engine), as_bot(self.cast.assistant, api_base=self.cast.api_base)

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
def _code() -> str:
    """A digest of this package: its rules and prompts decide outcomes too."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*")):
        if path.suffix in (".py", ".txt"):
            digest.update(path.read_bytes())
    return digest.hexdigest()
