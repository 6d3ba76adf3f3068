"""What people found of responses, beside what a scorer gives for them: ratings, and decisions on pairs."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from collab_sdk.concurrency import all_settled
from collab_sdk.errors import InputError, SampleError
from collab_sdk.files import beside
from collab_sdk.goals import goal_of
from collab_sdk.logs import read_messages, to_conversation
from collab_sdk.messages import Ending, Message, as_messages, deeds_of
from collab_sdk.models.reasoning import conversation_without_reasoning
from collab_sdk.preferences.files import TURN_SCHEMA
from collab_sdk.report.decisions import Decisions, PairAction
from collab_sdk.report.fields import Row, text
from collab_sdk.report.sources import check_schema, read_objects
from collab_sdk.report.turns import pair_id
from collab_sdk.runs.local import run_here
from collab_sdk.runs.runner import Outcome
from collab_sdk.scorer import MRScorer
from collab_sdk.tool_calls import as_tools
from collab_sdk.tools import with_tools
from collab_sdk.types import Conversation, Future, Goal, Per, Turn

Report = Callable[[InputError], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class RatedResponse:
    """A response that people found good or bad, as the end of a chat; `value` is what the scorer gives for it."""

    conversation: Conversation
    is_good: bool
    history_id: str
    """The same for responses to the same history."""
    per: Per
    """Whether it is a whole turn or one message of it."""
    value: float | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One response of a pair, with futures that were played after it: the same samples as after the other."""

    response: tuple[Message, ...]
    futures: tuple[Future, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewedPair:
    """A pair that somebody decided on; `margin` is by how much the judge prefers what was chosen."""

    conversation: Conversation
    """What came before, and what the assistant could call."""
    turn: int
    goals: tuple[Goal, ...]
    chosen: Side
    rejected: Side
    action: PairAction
    margin: float | None = None
    error: str = ""


def read_rated_responses(path: Path, report: Report, *, limit: int | None = None) -> list[RatedResponse]:
    """Rows with `history` (messages), `decision` (a message) or `response` (several), and `human` (1 good, 0 bad).

    They may have `id`, `history_id`, `goal` and `tools`; tools that no row names are inferred from all calls in them.
    Rows that are none are reported. Raises InputError for a file that cannot be read.
    """
    rated: list[RatedResponse] = []
    for where, row in read_objects(path, report):
        if limit is not None and len(rated) >= limit:
            break
        try:
            rated.append(_rated(row, place=len(rated) + 1))
        except InputError as error:
            report(InputError(error.problem, where=where))
    equipped = with_tools([each.conversation for each in rated])
    return [replace(each, conversation=chat) for each, chat in zip(rated, equipped, strict=True)]


def _rated(row: Row, *, place: int) -> RatedResponse:
    response: Any = row.get("response", row.get("decision"))
    if (human := row.get("human")) not in (0, 1):
        raise InputError('"human" must be 1 (good) or 0 (bad)')
    if not isinstance(row.get("history_id", ""), str):
        raise InputError('"history_id" must be a text')
    if not isinstance(row.get("history"), list) or not isinstance(response, dict | list):
        raise InputError('expected "history", a list of messages, and "decision" or "response" after it')
    last = response if isinstance(response, list) else [response]
    chat = to_conversation(row, read_messages([*row["history"], *last]))
    if not any(True for _ in chat.decisions()):
        raise InputError("it does not end with a response of the assistant's to a user")
    return RatedResponse(
        conversation=replace(chat, id=chat.id or f"row {place}"),
        is_good=human == 1,
        history_id=text(row.get("history_id")) or chat.id or f"row {place}",
        per="decision" if len(last) == 1 else "turn",
    )


def read_reviewed_pairs(pairs: Path, decisions: Decisions, report: Report) -> list[ReviewedPair]:
    """The pairs of an export that were decided on, from the `NAME.turns.jsonl` that it wrote.

    One that cannot be read is reported, and how many are not there.

    Raises InputError where that file is not there, or none of its pairs was decided on.
    """
    turns = beside(pairs, "turns")
    if not turns.is_file():
        raise InputError(f"there is no {turns.name} beside it, which holds what was judged", where=str(pairs))
    missing = set(decisions.by_pair)
    found = list(_reviewed(read_objects(turns, report), decisions, missing, report))
    if not found:
        raise InputError(f"none of the {len(decisions.by_pair):,} pairs decided on is in it", where=str(turns))
    if missing:
        number = f"{len(missing):,} of the {len(decisions.by_pair):,} pairs"
        report(InputError(f"it does not hold {number} decided on", where=str(turns)))
    return found


def _reviewed(
    found: Iterable[tuple[str, Row]], decisions: Decisions, missing: set[str], report: Report
) -> Iterator[ReviewedPair]:
    """Those decided on, in the order of the file; what is found of `missing` is taken out of it."""
    for where, row in found:
        check_schema(row, where)
        name = pair_id(row) if row.get("schema") == TURN_SCHEMA else None
        decision = decisions.by_pair.get(name or "")
        if decision is None:
            continue
        missing.discard(name or "")
        try:
            yield _pair(row, decision.action)
        except InputError as error:
            report(InputError(error.problem, where=where))


def _pair(row: Row, action: PairAction) -> ReviewedPair:
    """Raises InputError for a row with anything in it that cannot be read: it would be judged without it."""
    pair, turn = row.get("pair"), row.get("turn")
    if not isinstance(pair, dict):
        raise InputError('"pair" must be an object')
    if type(turn) is not int or turn < 0:
        raise InputError('"turn" must be a whole number from 0')
    goals: list[Any] = _list(row, "goals") if "goals" in row else [row.get("goal")]
    if not goals or not all(isinstance(goal, str) and goal.strip() for goal in goals):
        raise InputError('"goal" must be a text that is not empty, and "goals" a list of such texts')
    tools = _list(row, "tools") if "tools" in row else []
    if not all(isinstance(tool, dict) for tool in tools):
        raise InputError('"tools" must be a list of objects')
    chosen, rejected = (_played(row, _messages(pair, side)) for side in ("chosen", "rejected"))
    both = [sample for sample in chosen if sample in rejected]
    if not both:
        raise InputError("its sides have no future in common")
    return ReviewedPair(
        conversation=Conversation(
            id=text(row.get("conversation_id")), messages=_messages(row, "history"), tools=as_tools(tools)
        ),
        turn=turn,
        goals=tuple(Goal(text=goal) for goal in goals),
        chosen=Side(response=_messages(pair, "chosen"), futures=tuple(chosen[n] for n in both)),
        rejected=Side(response=_messages(pair, "rejected"), futures=tuple(rejected[n] for n in both)),
        action=action,
    )


def _played(row: Row, response: Sequence[Message]) -> dict[int, Future]:
    """What was played after a side, by sample; what failed is missing."""
    for candidate in _objects(row, "candidates"):
        if deeds_of(_messages(candidate, "messages")) == deeds_of(response):
            played = [each for each in _objects(candidate, "futures") if not each.get("error")]
            return {
                _sample(each): Future(sample=_sample(each), messages=_messages(each, "messages")) for each in played
            }
    return {}


def _sample(future: Row) -> int:
    sample = future.get("sample")
    if type(sample) is not int or sample < 0:
        raise InputError('"sample" of a future must be a whole number from 0')
    return sample


def _list(row: Row, name: str) -> list[Any]:
    value = row.get(name)
    if not isinstance(value, list):
        raise InputError(f'"{name}" must be a list')
    return value


def _objects(row: Row, name: str) -> list[Row]:
    value = _list(row, name)
    if not all(isinstance(each, dict) for each in value):
        raise InputError(f'"{name}" must be a list of objects')
    return value


def _messages(row: Row, name: str) -> tuple[Message, ...]:
    """Messages as an export writes them, with how they ended."""
    written = _objects(row, name)
    try:
        read = as_messages(written)
        ended = [Ending(each["ended"]) if "ended" in each else None for each in written]
    except InputError as error:
        raise InputError(f"{name}: {error.problem}") from None
    except ValueError:
        raise InputError(f'{name}: "ended" must be one of {", ".join(Ending)}') from None
    return tuple(replace(message, ended=end) for message, end in zip(read, ended, strict=True))


class PeopleCheck:
    """Scores what people decided on: rated responses by their futures, pairs by the futures that their export holds."""

    def __init__(self, scorer: MRScorer) -> None:
        self.scorer = scorer

    def arate_all(self, rated: Sequence[RatedResponse]) -> AsyncIterator[Outcome[RatedResponse]]:
        """Every response with its MR, in order; one that cannot be had is missing, with its reason."""
        known = {id(each.conversation): each for each in rated}

        async def rate(conversation: Conversation) -> RatedResponse:
            return await self.arate(known[id(conversation)])

        return run_here(rate, [each.conversation for each in rated], engine=self.scorer.engine)

    async def arate(self, rated: RatedResponse) -> RatedResponse:
        scorer = self.scorer
        chat = scorer.rollout.toolbox.equip(conversation_without_reasoning(rated.conversation))
        *_, turn = chat.units(rated.per)
        try:
            goal = await scorer.goals.aread(chat)
            score = await scorer.ascore_turn(turn, goal, chat)
        except SampleError as error:
            return replace(rated, error=str(error))
        return replace(rated, value=score.value, error="" if score.value is not None else score.errors[0])

    def acompare_all(self, pairs: Sequence[ReviewedPair]) -> AsyncIterator[Outcome[ReviewedPair]]:
        """Every pair with the judge's margin, in order."""
        known = {id(each.conversation): each for each in pairs}

        async def compare(conversation: Conversation) -> ReviewedPair:
            return await self.acompare(known[id(conversation)])

        return run_here(compare, [each.conversation for each in pairs], engine=self.scorer.engine)

    async def acompare(self, pair: ReviewedPair) -> ReviewedPair:
        try:
            chosen, rejected = await all_settled(self._avalue(pair, side) for side in (pair.chosen, pair.rejected))
        except SampleError as error:
            return replace(pair, error=str(error))
        return replace(pair, margin=chosen - rejected)

    async def _avalue(self, pair: ReviewedPair, side: Side) -> float:
        """The mean reward of a side. Raises SampleError where a future of it cannot be judged."""
        chat = pair.conversation
        reward = self.scorer.reward.of(chat)
        turn = Turn(index=pair.turn, history=chat.messages, response=side.response)
        judged = await all_settled(
            reward.agive(turn, each, goal=goal_of(each.sample, pair.goals), tools=chat.tools, conversation_id=chat.id)
            for each in side.futures
        )
        for future in judged:
            if future.reward is None:
                raise SampleError(future.error or "a future has no reward")
        return fmean(future.reward for future in judged if future.reward is not None)
