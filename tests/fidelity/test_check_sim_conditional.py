"""Whether a simulated user's replies fit the chat, whether a user could say them, and the index of all that."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from support.fakes import chat
from support.paths import DATA

from collab_sdk import ChatRequest, Conversation, Engine, Goal, MRScorer, Rollout, Simulator, read_conversations
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import UserFaultError
from collab_sdk.fidelity import SimulatorCheck, UserStatistic, check_row, user_statistics, user_turns
from collab_sdk.fidelity.behaviour import estimate_variety
from collab_sdk.fidelity.conditional import Reply, compared_fit, fit_scores
from collab_sdk.fidelity.index import compared_turns
from collab_sdk.messages import as_messages
from collab_sdk.prompts import load_prompt, unfence
from collab_sdk.simulator import Fault, FunctionUser, Situation, UserTurn
from collab_sdk.testing import FakeChatModel

ANSWERS = {
    "Which milk would you like?": ("oat", "soy please", "whole milk", "oat milk"),
    "What size should it be?": ("large", "a small one", "medium", "the big one"),
    "For here or to go?": ("to go", "for here", "here please", "take away"),
    "Is this order correct?": ("yes", "yes it is", "looks right", "correct"),
}
PARTS = ("behaviour", "variety", "looks real", "fits", "valid")


def chats(n: int, seed: int = 0) -> list[Conversation]:
    rng, made = random.Random(seed), []
    for number in range(n):
        messages = [{"role": "user", "content": rng.choice(("a mocha", "one latte"))}]
        for asked in rng.sample(list(ANSWERS), 3):
            answer = {"role": "user", "content": rng.choice(ANSWERS[asked])}
            messages += [{"role": "assistant", "content": asked}, answer]
        made.append(Conversation(id=f"chat-{number}", messages=as_messages(messages), goal=Goal(text="drink: mocha")))
    return made


def listens(messages: list[dict[str, str]], sample: str) -> str:
    return random.Random(sample).choice(ANSWERS[messages[-1]["content"]])


def is_deaf(messages: list[dict[str, str]], sample: str) -> str:
    rng = random.Random(sample)
    return rng.choice(ANSWERS[rng.choice([asked for asked in ANSWERS if asked != messages[-1]["content"]])])


def parrots(messages: list[dict[str, str]]) -> str:
    return messages[-1]["content"]


def checked(user: Any, conversations: list[Conversation], **options: Any):
    rollout = Rollout(assistant="offline", simulator=Simulator(user, engine=Engine()), window=0)
    check = SimulatorCheck(MRScorer(rollout, judge=options.pop("judge", "offline"), metrics={"goal": 1.0}), **options)

    async def every():
        return [outcome.value async for outcome in check.acheck_all(conversations) if outcome.value]

    return check, run_sync(every())


def statistics_of(user: Any, conversations: list[Conversation]) -> Mapping[str, UserStatistic]:
    return {each.name: each for each in user_statistics(checked(user, conversations)[1])}


@cache
def known(user: Callable[..., str]) -> Mapping[str, UserStatistic]:
    """Of a user that does not change, on 80 chats."""
    return statistics_of(user, chats(80))


def test_a_user_who_answers_what_was_asked_fits_as_well_as_a_real_one_and_one_who_does_not_listen_does_not():
    fits = {user: known(user)["fits, AUC"] for user in (listens, is_deaf)}
    assert fits[listens].simulated.low < 0.5 < fits[listens].simulated.high
    assert fits[is_deaf].simulated.low > 0.6
    assert fits[is_deaf].real == 0.5


def test_both_look_the_same_to_the_test_that_does_not_see_the_conversation():
    told = known(is_deaf)["told apart, AUC"].simulated
    assert told.low < 0.5


def test_the_index_needs_both_tests_and_puts_known_users_in_order():
    found = {user: known(user) for user in (listens, is_deaf, parrots)}
    index = {user: each["index"] for user, each in found.items()}
    assert index[listens].simulated.mean > index[is_deaf].simulated.high
    assert index[is_deaf].simulated.mean > index[parrots].simulated.high
    assert abs(index[listens].simulated.mean - index[listens].real) < 8, "as real users among each other"
    assert index[is_deaf].real == pytest.approx(index[listens].real), "who are the same, whoever is compared with them"
    for each in found.values():
        whole = each["index"]
        assert whole.ceiling.low < whole.ceiling.mean == whole.real < whole.ceiling.high
        assert whole.ceiling.n < whole.simulated.n, "one half of the users beside the other"
        assert whole.difference.mean == pytest.approx(whole.simulated.mean - whole.real)
        assert each["index"].simulated.mean == pytest.approx(sum(each[part].simulated.mean for part in PARTS) / 5)
        assert all(0 <= each[part].simulated.mean <= 100 for part in PARTS)
    less = {user: each.difference for user, each in index.items()}
    assert less[is_deaf].high < 0 < less[listens].high
    parts = [each.name for each in found[listens].values() if each.part_of == "index"]
    assert tuple(parts) == PARTS
    assert found[is_deaf]["fits"].simulated.mean < 60 < found[is_deaf]["looks real"].simulated.mean


def test_a_parrot_fails_whatever_it_fits():
    found = known(parrots)
    assert found["told apart, AUC"].simulated.low > 0.9
    assert found["echo"].simulated.mean == 1
    assert found["echo"].difference.low > 0.5
    assert found["valid turns"].real == 1
    assert found["valid turns"].simulated.mean < 0.8


def test_too_few_chats_have_no_number_and_are_told_how_many_it_takes():
    found = statistics_of(listens, chats(20))
    assert str(found["fits, AUC"].simulated.mean) == "nan"
    assert found["fits, AUC"].simulated.note == "too few: 60 replies in 20 chats, where it takes 60 in 40"
    assert "index" not in found
    check, every = checked(listens, chats(20))
    row = json.loads(json.dumps(check_row(check, every, user_statistics(every)), allow_nan=False))
    [fits] = [each for each in row["figures"] if each["name"] == "fits, AUC"]
    assert fits["simulated"]["mean"] is None


@pytest.mark.parametrize("said", ["ok", "", "?", "🙂", "x" * 1000], ids=["ok", "nothing", "mark", "emoji", "long"])
@pytest.mark.parametrize("asked", ["Ok?", "…", "y" * 1000])
def test_chats_in_which_everybody_says_the_same_are_no_error(asked, said):
    texts = ("a mocha", asked, said or "ok", asked, said or "ok")
    alike = [Conversation(id=f"chat-{n}", messages=as_messages(chat(*texts)), goal=Goal(text="x")) for n in range(45)]
    found = statistics_of(lambda messages: said, alike)
    if said:
        assert found["fits, AUC"].simulated.mean == pytest.approx(0.5)
        assert found["index"].simulated.mean > 80
    else:
        assert "fits, AUC" not in found


def test_shuffling_one_chats_replies_over_others_changes_what_fits_but_not_what_is_said():
    conversations = chats(80)
    real = [turn.real for chat in conversations for turn in user_turns(chat, chat.goal) if turn.real]
    random.Random(1).shuffle(real)
    shuffled = iter(real)
    said: dict[str, str] = {}

    async def stranger(messages: list[dict[str, str]], sample: str) -> str | None:
        return said.setdefault(sample, next(shuffled))

    found = statistics_of(stranger, conversations)
    assert found["fits, AUC"].simulated.low > 0.5
    assert found["words"].difference.mean == pytest.approx(0), "the very same words"
    assert found["variety"].simulated.mean == pytest.approx(100)


def test_what_no_user_would_say_is_a_finding_with_blame_and_no_loss():
    def helps(messages: list[dict[str, str]]) -> str:
        return "How can I help you today?"

    check, every = checked(helps, chats(3))
    turns = [turn for one in every for turn in one.turns]
    assert {turn.fault for turn in turns} == {Fault.ANSWERS.value}
    assert not any(one.lost for one in every)
    row = check_row(check, every, user_statistics(every))
    assert row["schema"] == "collab/simulator-check/v2"
    assert {each["fault"] for each in row["turns"]} == {"answers as the assistant"}
    assert {each["user"] for each in row["turns"]} == {turns[0].user}


def test_a_user_who_says_that_they_cannot_be_played_is_no_valid_turn_and_keeps_its_fault():
    class Contradicted:
        """A user who declares that their goal and their persona contradict each other, when asked for milk."""

        name, fingerprint, model, settings = "contradicted", {"user": "contradicted"}, None, None

        async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
            if situation.messages[-1].content.startswith("Which"):
                raise UserFaultError("The simulated user cannot be both.", fault=Fault.CONTRADICTS)
            return UserTurn(message="large")

    check, every = checked(Contradicted(), chats(10))
    turns = [turn for one in every for turn in one.turns]
    contradicted = [turn for turn in turns if turn.fault]
    assert contradicted
    assert {turn.fault for turn in contradicted} == {Fault.CONTRADICTS}
    assert {turn.error for turn in contradicted} == {"The simulated user cannot be both."}
    assert not any(one.lost for one in every), "a finding"
    statistics = user_statistics(every)
    [valid] = [each for each in statistics if each.name == "valid turns"]
    assert valid.simulated.mean == pytest.approx(1 - len(contradicted) / len(turns))
    assert valid.simulated.n == len(turns)
    faults = [each["fault"] for each in check_row(check, every, statistics)["turns"]]
    assert faults.count("cannot be this person with this goal") == len(contradicted)


def test_a_named_function_is_asked_at_every_turn():
    heard: list[str] = []

    def notes(messages: list[dict[str, str]]) -> str:
        heard.append(messages[-1]["content"])
        return messages[-1]["content"][:5]

    _, every = checked(FunctionUser(notes, name="notes@1"), chats(5))
    for turn in (turn for one in every for turn in one.turns):
        assert turn.simulated.message == turn.history[-1].content[:5]
    assert len(heard) == 15


def test_one_user_of_several_plays_all_turns_of_a_chat():
    def one(messages: list[dict[str, str]]) -> str:
        return "oat"

    def other(messages: list[dict[str, str]]) -> str:
        return "soy"

    _, every = checked({one: 1.0, other: 1.0}, chats(30))
    assert {len({turn.user for turn in chat.turns}) for chat in every} == {1}
    assert len({turn.user for chat in every for turn in chat.turns}) == 2


def test_a_script_says_its_turns_in_order():
    _, [one] = checked(["oat", "large"], chats(1))
    assert [turn.simulated.message for turn in one.turns] == ["oat", "large", ""]
    assert one.turns[2].simulated.done


def test_the_script_of_a_row_is_not_compared_in_place_of_the_user():
    rows = [replace(each, goal=replace(each.goal, script=("said by the script",) * 3)) for each in chats(4)]
    _, every = checked(listens, rows)
    said = {turn.simulated.message for one in every for turn in one.turns}
    assert said
    assert said <= {answer for answers in ANSWERS.values() for answer in answers}


def test_a_user_whose_code_errs_is_a_missing_turn():
    class Breaks:
        name, fingerprint, model, settings = "breaks", {"user": "breaks"}, None, None

        async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
            raise ValueError("boom")

    _, [one] = checked(Breaks(), chats(1))
    assert [turn.simulated for turn in one.turns] == [None] * 3
    assert len(one.lost) == 3
    assert all("breaks as user raised ValueError: boom" in line for line in one.lost)
    assert not any(turn.fault for turn in one.turns)


def test_the_variety_of_one_chat_is_a_number_without_an_interval():
    _, [one] = checked(listens, chats(1))
    found = estimate_variety(compared_turns([one]))
    assert (found.low, found.high) == (None, None)
    assert 0 < found.mean <= 100


def verdict(number: int, **said: Any) -> dict[str, Any]:
    return {
        "number": number,
        "reason": "",
        "in_character": True,
        "goal_kept": True,
        "nothing_leaked": True,
        "leaves_in_time": True,
        **said,
    }


def test_the_judge_is_asked_once_a_chat_and_its_verdicts_are_counted_by_kind():
    def judge(request: ChatRequest) -> str:
        return json.dumps({"turns": [verdict(3), verdict(1, goal_kept=False, reason="wants tea"), verdict(2)]})

    model = FakeChatModel(judge, name="judge")
    check, every = checked(listens, chats(10), judge=model, verdicts=True)
    assert len(model.requests) == 10
    assert model.requests[0].messages[0].content == load_prompt("user_verdicts").text
    shown = [json.loads(line) for line in unfence("transcript", model.requests[0].messages[1].content).splitlines()]
    assert [line["number"] for line in shown if line["speaker"] == "simulated user"] == [1, 2, 3]
    found = {each.name: each.simulated.mean for each in user_statistics(every)}
    assert found["judged valid"] == found["judged goal kept"] == pytest.approx(2 / 3)
    assert found["judged in character"] == found["judged nothing leaked"] == found["judged leaves in time"] == 1
    row = check_row(check, every, user_statistics(every))
    assert row["verdicts"] is True
    assert row["turns"][0]["verdict"] == {"failed": ("goal_kept",), "reason": "wants tea", "valid": False}


@pytest.mark.parametrize(
    "answer",
    [[verdict(1), verdict(1), verdict(2)], [verdict(1), verdict(2)], [{"number": 1}, verdict(2), verdict(3)]],
    ids=["one twice", "one missing", "half an answer"],
)
def test_verdicts_that_are_not_one_for_each_turn_are_missing_with_a_reason(answer):
    model = FakeChatModel(lambda request: json.dumps({"turns": answer}), name="judge")
    _, [one] = checked(listens, chats(1), judge=model, verdicts=True)
    assert [turn.verdict for turn in one.turns] == [None] * 3
    [reason] = one.lost
    assert reason.startswith("no verdicts: judge as judge answered in no readable form")
    assert not any(each.name.startswith("judged") for each in user_statistics([one]))


def test_a_user_who_cannot_be_played_is_not_judged_and_named():
    def fails(messages: list[dict[str, str]]) -> str:
        if messages[-1]["content"].startswith("Which"):
            raise ValueError("no milk")
        return "yes"

    model = FakeChatModel(lambda request: json.dumps({"turns": [verdict(1), verdict(2)]}), name="judge")
    _, [one] = checked(fails, chats(1), judge=model, verdicts=True)
    assert sum(turn.verdict is not None for turn in one.turns) == 2
    [reason] = one.lost
    assert reason.startswith("simulated user, turn ")
    assert "no milk" in reason


CHATS = DATA / "coffee_chats.jsonl"


"""Self-dialogs: real language, and no evidence about two people."""
needs_real_chats = pytest.mark.skipif(not CHATS.exists(), reason=f"the real chats are not at {CHATS}")


def says_elsewhere(conversations: list[Conversation]) -> Callable[..., Any]:
    real = [
        (turn.conversation_id, turn.real)
        for chat in conversations
        for turn in user_turns(chat, chat.goal or Goal(text=""))
        if turn.real
    ]

    async def stranger(messages: list[dict[str, str]], sample: str) -> str:
        own = sample.partition("/")[0]
        return random.Random(sample).choice([text for name, text in real if name != own])

    return stranger


@pytest.mark.slow
@needs_real_chats
def test_random_lines_of_other_chats_do_not_fit_real_ones():
    conversations = list(read_conversations([CHATS]))
    found = statistics_of(says_elsewhere(conversations), conversations)
    assert found["fits, AUC"].simulated.low > 0.55
    assert found["told apart, AUC"].simulated.low < 0.5, "though they are real users' words"
    assert found["valid turns"].simulated.mean > 0.95
    assert found["index"].real > found["index"].simulated.high
    parrot = statistics_of(parrots, conversations)
    assert parrot["index"].simulated.high < found["index"].simulated.low
    assert parrot["told apart, AUC"].simulated.low > 0.95
    assert parrot["valid turns"].simulated.mean < 0.1


@pytest.mark.slow
@needs_real_chats
def test_real_users_fit_as_well_as_real_users():
    conversations = list(read_conversations([CHATS]))
    turns = [turn for chat in conversations for turn in user_turns(chat, chat.goal or Goal(text="")) if turn.real]
    found = []
    for seed in range(4):
        names = sorted({turn.conversation_id for turn in turns})
        random.Random(seed).shuffle(names)
        ranked = sorted(turns, key=lambda turn: names.index(turn.conversation_id))
        replies = [
            Reply(
                conversation_id=turn.conversation_id,
                asked=turn.history[-1].content,
                own=turn.earlier[-1],
                text=turn.real,
            )
            for turn in ranked
        ]
        sides: tuple[dict[str, list[float]], ...] = {}, {}
        for reply, score in zip(replies, fit_scores(replies, replies), strict=True):
            side = sides[names.index(reply.conversation_id) < len(names) // 2]
            side.setdefault(reply.conversation_id, []).append(score)
        found.append(compared_fit(*sides))
    assert all(each.low <= 0.5 <= each.high for each in found)
    assert 0.45 <= sum(each.mean for each in found) / 4 <= 0.55
