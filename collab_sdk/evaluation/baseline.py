"""An earlier evaluation as the baseline of another one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from collab_sdk.errors import InputError, UsageError
from collab_sdk.evaluation.episode import Episode
from collab_sdk.evaluation.evaluation_rows import EVALUATION_SCHEMA
from collab_sdk.evaluation.statistics import BotResult, BotStatistic, bot_statistics, without_persona
from collab_sdk.files import file_meant, parse_json
from collab_sdk.messages import as_messages
from collab_sdk.spec import difference
from collab_sdk.stats import Estimate, estimate_minus
from collab_sdk.types import End, Future

SAME = ("simulators", "personas", "judge", "metrics", "tools", "tools_model", "calls_per_turn", "prompts", "code")
"""What must be the same in two evaluations whose figures are compared; bots, rows and their number may differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """One task of an earlier evaluation, as `collab evaluate -o` wrote it."""

    path: Path
    task: str
    exchanges: int
    bots: Mapping[str, BotResult]
    made_with: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> dict[str, Self]:
        """The tasks of a file, by name. Raises InputError for a file that is none."""
        path = Path(path)
        try:
            rows = [parse_json(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
            if not rows or any(row["schema"] != EVALUATION_SCHEMA for row in rows):
                raise ValueError
            return {row["task"]: cls._of(row, path) for row in rows}
        except OSError as error:
            meant = file_meant(path) if isinstance(error, FileNotFoundError) else ""
            raise InputError(f"it cannot be read: {error.strerror}{meant}", where=str(path)) from error
        except (InputError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(
                "this is not an evaluation file; collab evaluate -o writes one", where=str(path)
            ) from error

    @classmethod
    def _of(cls, row: Mapping[str, Any], path: Path) -> Self:
        made_with = dict(row["made_with"])
        personas = made_with["personas"] if _is_by_persona(made_with) else []
        results = (
            BotResult(
                name=result["bot"],
                played=tuple(map(_episode, result["conversations"])),
                failed=dict(result["failed"]),
            )
            for result in row["results"]
        )
        bots = {result.name: without_persona(result, personas) for result in results}
        return cls(path=path, task=str(row["task"]), exchanges=int(row["exchanges"]), bots=bots, made_with=made_with)

    @staticmethod
    def of_task(baselines: Mapping[str, "Baseline"], task: str) -> "Baseline":
        """The one of a task, of those of a file. Raises UsageError where it has none."""
        if task not in baselines:
            path = next(iter(baselines.values())).path
            raise UsageError(f"{path} has no evaluation of {task}; it has {', '.join(baselines)}.")
        return baselines[task]

    def check(self, made_with: Mapping[str, Any], *, exchanges: int) -> None:
        """Raise UsageError where another user or judge played than in an evaluation of this provenance."""
        found = difference(_compared(made_with), _compared(self.made_with))
        if exchanges != self.exchanges:
            found = f"exchanges is {self.exchanges}, not {exchanges}"
        if found is not None:
            raise UsageError(
                f"{self.path} cannot be the baseline: its {found}. Evaluate the baseline's bot anew, with -o FILE."
            )

    def of(self, bot: str) -> BotResult:
        """What a bot is compared with: itself as it was then, or the only bot of the baseline.

        Raises UsageError where the baseline has several others.
        """
        if bot in self.bots:
            return self.bots[bot]
        if len(self.bots) == 1:
            return next(iter(self.bots.values()))
        raise UsageError(f"{self.path} has no bot {bot!r} to compare with, and several others: {', '.join(self.bots)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A statistic of a bot, beside what it was."""

    name: str
    before: Estimate | None
    now: Estimate | None
    change: Estimate | None
    """Over the conversations that both have; without any, of two samples that have nothing in common."""
    pairs: int
    """Conversations that both have."""


def _compared(made_with: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same in two provenances: all but the bots, the rows, and how many they are.

    `tools_model` names the model that plays tools; its fingerprint is left out, since rows without tools have none.
    """
    bots = {bot["name"] for bot in made_with["assistants"]}
    models = {role: known for role, known in made_with["models"].items() if role not in {*bots, "tools"}}
    same = {name: made_with[name] for name in SAME if name in made_with}
    return {**same, "models": models, "by_persona": _is_by_persona(made_with)}


def _is_by_persona(made_with: Mapping[str, Any]) -> bool:
    return bool(made_with["evaluation"]["by_persona"])


def changes(result: BotResult, before: BotResult) -> list[Change]:
    """What the statistics of a bot were and are. Conversations are pairs by their id, their sample and their row."""
    now = {_key(one): one.row_sha256 for one in result.played}
    same = tuple(one for one in before.played if now.get(_key(one), one.row_sha256) == one.row_sha256)
    before = replace(before, played=same)
    pairs = len({chat for chat, _ in result.done.keys() & before.done.keys()})
    return [_change(each, pairs) for each in bot_statistics([before, result])]


def _key(one: Episode) -> tuple[str, int]:
    return one.conversation_id, one.future.sample


def _change(statistic: BotStatistic, pairs: int) -> Change:
    (before, now), (change,) = statistic.means, statistic.differences
    if not pairs and before is not None and now is not None:
        change = estimate_minus(now, before, [(0.0, 0.0)])
    return Change(name=statistic.name, before=before, now=now, change=change, pairs=pairs)


def _episode(row: Mapping[str, Any]) -> Episode:
    future = Future(
        sample=int(row["sample"]),
        messages=as_messages(row["messages"]),
        end=End(row["end"]),
        metrics={str(name): float(value) for name, value in row["metrics"].items()},
        reward=None if row["reward"] is None else float(row["reward"]),
        error=row["error"],
        user=str(row["user"]),
        persona=str(row["persona"]),
    )
    return Episode(
        conversation_id=str(row["conversation_id"]),
        row_sha256=row["row_sha256"],
        opening=as_messages(row["opening"]),
        future=future,
        questions=tuple(map(bool, row["questions"])),
        is_ambiguous=row["is_ambiguous"],
        asks=row["asks"],
    )
