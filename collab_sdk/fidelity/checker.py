"""Plays the simulator at the places where a real user had the word."""

from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collab_sdk.calibration import RewardPair
from collab_sdk.concurrency import all_settled
from collab_sdk.errors import SampleError, UserFaultError
from collab_sdk.fidelity.user_turns import ComparedTurn, user_turns
from collab_sdk.fidelity.validity import averdicts, fault_in
from collab_sdk.runs.local import run_here
from collab_sdk.runs.runner import Outcome
from collab_sdk.scorer import MRScorer
from collab_sdk.simulator import Situation
from collab_sdk.types import Conversation, Goal, MRScore, Turn


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedConversation:
    """A logged chat whose user's turns were played by the simulator as well."""

    conversation: Conversation
    turns: tuple[ComparedTurn, ...]
    scores: tuple[MRScore, ...]
    """Of the responses, each with its observed future: what the user wrote, or that they left."""

    @property
    def rewards(self) -> list[RewardPair]:
        """MR of the responses, with the observed reward of those that have one."""
        return [
            RewardPair(
                conversation_id=score.conversation_id,
                turn=score.turn or 0,
                simulated=score.value,
                stderr=score.stderr,
                samples=score.n_ok,
                observed=None if score.observed is None else score.observed.reward,
            )
            for score in self.scores
            if score.value is not None
        ]

    @property
    def reward_pairs(self) -> list[RewardPair]:
        """MR and observed reward of the responses that have both."""
        return [pair for pair in self.rewards if pair.observed is not None]

    @property
    def lost(self) -> list[str]:
        """Why a turn or a reward is missing, one line each. A fault of the simulated user's is a finding."""
        turns = [
            f"simulated user, turn {turn.turn}: {turn.error}" for turn in self.turns if turn.error and not turn.fault
        ]
        turns += [f"no verdicts: {why}" for why in dict.fromkeys(turn.unjudged for turn in self.turns) if why]
        unscored = [score.errors for score in self.scores if score.value is None]
        unobserved = [score.observed.error for score in self.scores if score.observed and score.observed.error]
        return turns + [f"no MR: {errors[0]}" for errors in unscored] + [f"no reward: {why}" for why in unobserved]


class SimulatorCheck:
    """Compares a scorer's simulator with the users of logged chats, and its MR with what really followed.

    At each turn the simulator gets the same history and goal. Of the real user's own messages it sees only those before
    the turn: any other would give away what it is compared with. Without a window only the turns are compared. With
    `verdicts`, the scorer's judge says of every simulated turn whether it is valid, in one call for each conversation.
    """

    def __init__(self, scorer: MRScorer, *, verdicts: bool = False) -> None:
        self.scorer = scorer
        self.verdicts = verdicts
        self.simulator = scorer.rollout.simulator
        self.engine = scorer.engine

    def acheck_all(self, conversations: Iterable[Conversation]) -> AsyncIterator[Outcome[CheckedConversation]]:
        """Every conversation, in input order."""
        return run_here(self.acheck, conversations, engine=self.engine)

    async def acheck(self, conversation: Conversation) -> CheckedConversation:
        """One conversation; a turn whose call fails is missing, with its reason.

        Raises SampleError if the goal has to be inferred and cannot be.
        """
        conversation = self.scorer.rollout.toolbox.equip(conversation)  # as for every other score
        goal = await self.scorer.goals.aread(conversation)
        turns, scores = await _both(
            all_settled(self._aplay(turn) for turn in user_turns(conversation, goal)),
            all_settled(self._ascore(turn, goal, conversation) for turn in self._scored(conversation)),
        )
        if self.verdicts:
            turns = await self._ajudge(conversation, turns)
        return CheckedConversation(conversation=conversation, turns=tuple(turns), scores=tuple(scores))

    def _scored(self, conversation: Conversation) -> list[Turn]:
        """The responses, none if no future is played."""
        return list(conversation.turns()) if self.scorer.rollout.window else []

    async def _ascore(self, turn: Turn, goal: Goal, log: Conversation) -> MRScore:
        """By the chat's own goal alone, however many a turn has: what really followed is judged by that one."""
        return await self.scorer.ascore_turn(turn, goal, log, followed=turn.followed)

    async def _aplay(self, turn: ComparedTurn) -> ComparedTurn:
        """The same user plays all turns of a conversation. What no user would say is a finding here, and not lost.

        A row's own script is left out: it says nothing about who is compared.
        """
        goal = replace(turn.goal, style=tuple(turn.earlier), script=())
        seat = self.simulator.seat(goal, draw=turn.conversation_id)
        situation = Situation(
            messages=turn.history,
            goal=seat.goal,
            turn=turn.turn - 1,
            sample=f"{turn.conversation_id}/user-turn-{turn.turn}",
            conversation_id=turn.conversation_id,
        )
        turn = replace(turn, user=seat.name)
        try:
            said = await seat.anext(situation)
        except UserFaultError as error:
            return replace(turn, error=str(error), fault=error.fault)
        except SampleError as error:
            return replace(turn, error=str(error))
        return replace(turn, simulated=said, fault=fault_in(said, situation))

    async def _ajudge(self, conversation: Conversation, turns: Sequence[ComparedTurn]) -> list[ComparedTurn]:
        played = [turn for turn in turns if turn.simulated is not None]
        if not played:
            return list(turns)
        try:
            verdicts = await averdicts(conversation, played, judge=self.scorer.judge)
        except SampleError as error:
            return [replace(turn, unjudged=str(error)) if turn.simulated else turn for turn in turns]
        given = {turn.turn: verdict for turn, verdict in zip(played, verdicts, strict=True)}
        return [replace(turn, verdict=given.get(turn.turn)) for turn in turns]


async def _both(
    turns: Awaitable[list[ComparedTurn]], scores: Awaitable[list[MRScore]]
) -> tuple[list[ComparedTurn], list[MRScore]]:
    together: list[Awaitable[Any]] = [turns, scores]
    first, second = await all_settled(together)
    return first, second
