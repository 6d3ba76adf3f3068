"""Replies of the policy, and the multiturn-aware reward of each: futures played with the policy as it is."""

from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from collab_sdk.concurrency import all_settled, run_sync
from collab_sdk.errors import SampleError
from collab_sdk.evaluation import has_question_mark
from collab_sdk.messages import Message, deeds_of, shown_text
from collab_sdk.models import ChatReply, set_apart
from collab_sdk.scorer import MRScorer, scene_of
from collab_sdk.types import Conversation
from collab_trl.online.histories import History
from collab_trl.online.policy import Policy, Spoken


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardedReply:
    """A reply and what it earned."""

    turns: tuple[Spoken, ...]
    """The reply as tokens, one for each decision, then what the policy said in the first of its futures."""
    reward: float | None
    """MR; None where it could not be found out."""


Reply = tuple[Message, ...]
"""All that the policy did until it left the word to the user."""


class Player:
    """Lets the policy answer histories, and `scorer` play on from every answer with the policy itself."""

    def __init__(self, policy: Policy, scorer: MRScorer, histories: Sequence[History]) -> None:
        self._policy = policy
        self._scorer = scorer.with_assistant(policy)
        self._histories = histories
        self._seen: list[tuple[str, int, float | None]] = []

    def play(self, places: Sequence[int], *, draw: str) -> list[RewardedReply]:
        """A reply to the history at each of `places`. `draw` tells times apart."""
        return run_sync(self._aplay_all(places, draw))

    def best_and_worst(
        self, places: Sequence[int], *, candidates: int, draw: str
    ) -> list[tuple[RewardedReply, RewardedReply]]:
        """The best and the worst of `candidates` replies to each history.

        It is one reply twice where fewer than two different ones have a score, or none is better than another.
        """
        return run_sync(self._abest_and_worst(places, candidates, draw))

    def score(
        self, places: Sequence[int], replies: Sequence[ChatReply], tokens: Sequence[int], *, draw: str
    ) -> list[float | None]:
        """The rewards of replies that somebody else drew from the policy; `tokens` are their lengths."""
        return run_sync(self._ascore_all(places, replies, tokens, draw))

    def statistics(self) -> dict[str, float]:
        """Of the replies since this was last asked: mean reward, tokens, and the shares that ask or have no score."""
        seen, self._seen = self._seen, []
        if not seen:
            return {}
        rewards = [reward for _, _, reward in seen if reward is not None]
        return {
            **({"reward": fmean(rewards)} if rewards else {}),
            "reply_tokens": fmean(tokens for _, tokens, _ in seen),
            "ask_rate": fmean(has_question_mark(text) for text, _, _ in seen),
            "unscored": 1 - len(rewards) / len(seen),
        }

    async def _aplay_all(self, places: Sequence[int], draw: str) -> list[RewardedReply]:
        episodes = await all_settled(
            self._aplay(place, f"{draw}/{n}", group=_step(draw)) for n, place in enumerate(places)
        )
        self._policy.forget()
        return episodes

    async def _aplay(self, place: int, draw: str, *, group: str) -> RewardedReply:
        history = self._histories[place]
        reply, spoken = await self._areply(history, draw)
        reward = await self._areward(history, reply, _tokens(spoken), draw, group=group)
        future = self._policy.take(f"{history.id}/{draw}/future-0")
        return RewardedReply(turns=(*spoken, *future), reward=reward)

    async def _abest_and_worst(
        self, places: Sequence[int], candidates: int, draw: str
    ) -> list[tuple[RewardedReply, RewardedReply]]:
        # By place, as how many histories there are at once depends on the memory, and the draws must not.
        draws = [f"{draw}/{place}-{list(places[:n]).count(place)}" for n, place in enumerate(places)]
        pairs = await all_settled(self._apair(place, candidates, own) for place, own in zip(places, draws, strict=True))
        self._policy.forget()
        return pairs

    async def _apair(self, place: int, candidates: int, draw: str) -> tuple[RewardedReply, RewardedReply]:
        history = self._histories[place]
        replies: dict[Any, tuple[Reply, list[Spoken]]] = {}
        for reply, spoken in await all_settled(self._areply(history, f"{draw}/{n}") for n in range(candidates)):
            replies.setdefault(deeds_of(reply), (reply, spoken))
        # All under one draw, so that they meet the same users, who say the same to the same words.
        rewards = await all_settled(
            self._areward(history, reply, _tokens(spoken), draw, group=draw) for reply, spoken in replies.values()
        )
        episodes = [
            RewardedReply(turns=tuple(spoken), reward=reward)
            for (_, spoken), reward in zip(replies.values(), rewards, strict=True)
        ]
        scored = sorted((each for each in episodes if each.reward is not None), key=lambda each: each.reward or 0.0)
        if len(scored) < 2 or scored[0].reward == scored[-1].reward:
            return episodes[0], episodes[0]
        return scored[-1], scored[0]

    async def _ascore_all(
        self, places: Sequence[int], replies: Sequence[ChatReply], tokens: Sequence[int], draw: str
    ) -> list[float | None]:
        rewards = await all_settled(
            self._areward(self._histories[place], set_apart(reply).messages, length, f"{draw}/{n}", group=_step(draw))
            for n, (place, reply, length) in enumerate(zip(places, replies, tokens, strict=True))
        )
        self._policy.forget()
        return rewards

    async def _areply(self, history: History, draw: str) -> tuple[Reply, list[Spoken]]:
        """The policy's turn, and its tokens. It is no messages where a call of its had no result.

        Raises SampleError if the policy could not be asked at all.
        """
        sample, scene = f"{history.id}/{draw}/reply", scene_of(self._log(history, draw))
        try:
            reply = await self._scorer.rollout.arespond(history.messages, sample=sample, scene=scene)
        except SampleError:
            if spoken := self._policy.take(sample):
                return (), spoken
            raise
        return reply, self._policy.take(sample)

    async def _areward(self, history: History, reply: Reply, tokens: int, draw: str, *, group: str) -> float | None:
        """MR. A sample that failed is missing: no reply's reward is made up.

        Replies to the same history in one `group` are compared, so they meet the same users.
        """
        reward = None
        if reply:
            scorer = _for_group(self._scorer, f"{history.id}/{group}")
            with suppress(SampleError):
                goal = await self._scorer.goals.aread(history.conversation)
                goals = await self._scorer.agoals(history.turn, goal, history.conversation.id)
                turn = replace(history.turn, response=reply)
                score = await scorer.ascore_turn(turn, goals, self._log(history, draw))
                reward = score.value
        self._seen.append((shown_text(reply), tokens, reward))
        return reward

    def _log(self, history: History, draw: str) -> Conversation:
        """The logged chat, whose tools and results the policy is given, under the name of a draw."""
        return replace(history.conversation, id=f"{history.id}/{draw}")


def _step(draw: str) -> str:
    """The step alone: the replies of a group may be shared out among processes."""
    return draw.partition("/")[0]


def _for_group(scorer: MRScorer, name: str) -> MRScorer:
    """The scorer, whose users are drawn alike for all replies in a group."""
    other = copy(scorer)
    other.rollout = copy(scorer.rollout)
    other.rollout.simulator = scorer.rollout.simulator.for_group(name)
    return other


def _tokens(spoken: Sequence[Spoken]) -> int:
    return sum(len(each.reply) for each in spoken)


def as_one_sequence(turns: Sequence[Spoken]) -> tuple[list[int], list[int], list[int]]:
    """Prompt, completion and mask of a conversation: 1 for what the policy wrote, 0 for all between.

    It ends before a turn whose prompt does not go on from what was said, token by token: some templates leave earlier
    thinking out, and a reply may read back as other tokens than those that were drawn.
    """
    prompt = list(turns[0].prompt)
    completion = list(turns[0].reply)
    mask = [1] * len(completion)
    for turn in turns[1:]:
        so_far = [*prompt, *completion]
        if list(turn.prompt[: len(so_far)]) != so_far:
            break
        between = turn.prompt[len(so_far) :]
        completion += [*between, *turn.reply]
        mask += [0] * len(between) + [1] * len(turn.reply)
    return prompt, completion, mask
