"""On real chats: users held out are hard to tell from real ones, a parrot of the assistant is not."""

import random

import pytest
from support.fakes import scorer_of, user_says
from support.paths import DATA

from collab_sdk import ChatRequest, Conversation, read_conversations
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import ModelCallError
from collab_sdk.fidelity import SimulatorCheck, user_statistics
from collab_sdk.fidelity.telling_apart import two_sample_test
from collab_sdk.prompts import unfence_transcript

CHATS = DATA / "coffee_chats.jsonl"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHATS.exists(), reason=f"the real chats are not at {CHATS}")]


def halves(seed: int = 0) -> tuple[list[Conversation], list[Conversation]]:
    chats = list(read_conversations([CHATS]))
    random.Random(seed).shuffle(chats)
    return chats[:150], chats[150:]


def said_after_the_first(chat: Conversation) -> list[str]:
    return [message.content for message in chat.messages if message.role == "user"][1:]


def checked(user, chats: list[Conversation]):
    check = SimulatorCheck(scorer_of(user=user, window=0, metrics={"goal": 1.0}))

    async def every():
        return [outcome.value async for outcome in check.acheck_all(chats) if outcome.value]

    return {figure.name: figure for figure in user_statistics(run_sync(every()))}


def test_real_users_held_out_look_like_real_users():
    chats, others = halves()
    stand_ins = {chat.id: said_after_the_first(other) for chat, other in zip(chats, others, strict=True)}

    def human(request: ChatRequest) -> str | Exception:
        """Says what another real user said at that turn. Each is heard once: two alike would not be two users."""
        name, _, turn = request.sample.partition("/user-turn-")
        said = stand_ins[name][int(turn) - 1 :]
        return user_says(said[0]) if said else ModelCallError("they had left")

    found = checked(human, chats)
    auc = found["told apart, AUC"].simulated
    assert auc.low <= 0.5 <= auc.high
    assert abs(auc.mean - 0.5) < 0.1
    assert abs(found["words"].difference.mean) < 0.5
    assert abs(found["like assistant"].difference.mean) < 0.05


def test_a_parrot_of_the_assistant_is_found_out():
    def parrot(request: ChatRequest) -> str:
        return user_says(unfence_transcript(request.messages[-1].content)[-1].content)

    found = checked(parrot, halves()[0])
    assert found["told apart, AUC"].simulated.low > 0.95
    assert found["told apart, accuracy"].simulated.mean > 0.9
    assert found["like assistant"].simulated.mean > 0.9
    assert found["like assistant"].real < 0.1


def test_the_interval_around_one_half_holds_for_most_ways_to_hold_users_out():
    hits, means = 0, []
    for seed in range(20):
        chats, others = halves(seed)
        turns = [
            (chat.id, list(zip(said_after_the_first(chat), said_after_the_first(other), strict=False)))
            for chat, other in zip(chats, others, strict=True)
        ]
        auc, _ = two_sample_test(turns)
        means.append(auc.mean)
        hits += auc.low <= 0.5 <= auc.high
    assert hits >= 17
    assert abs(sum(means) / len(means) - 0.5) < 0.03
