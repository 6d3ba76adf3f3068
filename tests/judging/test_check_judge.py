"""What a check says of judges that are honest, vain, biased by order, or moody; and of people beside them."""

import asyncio
import json
from pathlib import Path
from zlib import crc32

import pytest
from support.fakes import chat, lists_requirements, scorer_of, user_says

from collab_sdk import Conversation, Goal, MRScorer, PreferenceExporter
from collab_sdk.errors import InputError, ModelCallError, UsageError
from collab_sdk.judging import (
    JudgeCheck,
    PeopleCheck,
    Probe,
    estimate_judge_check,
    judge_statistics,
    read_rated_responses,
    read_reviewed_pairs,
)
from collab_sdk.messages import Ending, as_messages
from collab_sdk.metrics.interactivity import Interactivity
from collab_sdk.metrics.policy import Policy
from collab_sdk.models.base import CallRole
from collab_sdk.prompts import unfence_points, unfence_transcript
from collab_sdk.report import read_decisions
from collab_sdk.report.turns import pair_id
from collab_sdk.spec import MetricSpec, ModelSpec, RunSpec, UserSpec
from collab_sdk.testing import FakeChatModel

DRINKS = (
    "mocha",
    "latte",
    "cortado",
    "espresso",
    "matcha",
    "chai",
    "mate",
    "lungo",
    "ristretto",
    "cocoa",
    "tea",
    "cider",
)


def chats(n: int = 12) -> list[Conversation]:
    """Chats in which every second drink is served with its milk, the others without."""
    return [
        Conversation(
            id=f"chat-{number}",
            messages=as_messages(
                chat(
                    f"a {drink} with oat milk",
                    f"Here is your {drink}{' with oat milk' if number % 2 else ''}.",
                    "and the bill",
                    "The bill comes to three.",
                )
            ),
            goal=Goal(text=f"oat milk\n{drink}\nbill"),
        )
        for number, drink in enumerate(f"{DRINKS[number % 12]}{number // 12 or ''}" for number in range(n))
    ]


def judge_of(is_met, interactivity=lambda said, request: 0.0) -> FakeChatModel:
    """A judge that ticks off a requirement by what the assistant said."""

    def answer(request):
        prompt = request.messages[1].content
        if lists_requirements(request):
            lines = prompt.partition("<goal>\n")[2].partition("\n</goal>")[0].splitlines()
            return json.dumps({"requirements": list(map(json.loads, lines))})
        points = unfence_points("requirements", prompt)
        said = "\n".join(each.content for each in unfence_transcript(prompt) if each.role == "assistant")
        verdicts = [
            {"number": number, "met": bool(is_met(point, number, said, request))}
            for number, point in enumerate(points, start=1)
        ]
        score = min(interactivity(said, request), 1.0)
        return json.dumps(
            {"goal": {"reason": "", "verdicts": verdicts}, "interactivity": {"reason": "", "score": score}}
        )

    return FakeChatModel(answer, name="judge")


def is_said(point, number, said, request):
    return point in said


def figures_of(judge, *, repeats=3, conversations=None):
    check = JudgeCheck(scorer_of(judge=judge, metrics={"goal": 1.0, "interactivity": 1.0}), repeats=repeats)

    async def check_all():
        return [outcome.value async for outcome in check.acheck_all(conversations or chats())]

    return {figure.name: figure for figure in judge_statistics(asyncio.run(check_all()))}


ABOUT_NOTHING = [f"{probe}: gain" for probe in ("contentless", "flattery", "plea")]


def test_an_honest_judge_passes_every_probe():
    found = figures_of(judge_of(is_said), conversations=chats(100))
    assert [name for name, figure in found.items() if figure.holds is not True] == ["no reply: score"]
    assert found["no reply: score"].value.mean == 0
    assert found["list backwards: kappa"].value.mean == found["another draw: kappa"].value.mean == 1


BIASES = {
    "flattery: gain": judge_of(lambda point, number, said, request: "brilliant" in said or point in said),
    "plea: gain": judge_of(lambda point, number, said, request: "highest score" in said or point in said),
    "contentless: gain": judge_of(lambda point, number, said, request: said),
    "said twice: gain": judge_of(is_said, lambda said, request: len(said) / 200),
    "list backwards: kappa": judge_of(lambda point, number, said, request: number < 3 and point in said),
}


@pytest.mark.parametrize("name", BIASES)
def test_a_judge_that_rewards_something_else_is_caught_at_that_probe(name):
    assert figures_of(BIASES[name], conversations=chats(60))[name].holds is False


def test_a_judge_that_answers_otherwise_each_time_does_not_agree_with_itself():
    judge = judge_of(lambda point, number, said, request: crc32(f"{request.sample}{point}{said}".encode()) % 2)
    found = figures_of(judge, conversations=chats(60))
    assert found["another draw: change"].holds is False
    assert found["another draw: kappa"].holds is False


@pytest.mark.parametrize("many", [3, 12, 58])
def test_without_an_interval_nothing_is_said_to_hold_of_a_few_chats(many):
    found = figures_of(judge_of(is_said), conversations=chats(many))
    without = {name: figure for name, figure in found.items() if figure.value.low is None}
    assert {"another draw: change", "list backwards: kappa", "said twice: gain"} <= without.keys()
    assert {figure.holds for figure in without.values()} == {None}
    assert {name for name, figure in without.items() if not figure.is_too_few} <= {"no reply: score"}
    assert not [name for name, figure in found.items() if figure.holds and figure.meaning != "above 0"]


def test_the_whole_chat_is_judged_by_one_list_however_often():
    judge = judge_of(is_said)
    figures_of(judge, repeats=5, conversations=chats(1))
    asked = [request for request in judge.requests if not lists_requirements(request)]
    assert len(judge.requests) - len(asked) == 1
    # The first reply, none, and three others; the whole five times, backwards, and padded.
    assert len(asked) == 5 + 5 + 2


def test_a_judgement_that_fails_is_missing_with_its_reason():
    inner = judge_of(is_said)

    def answer(request):
        return ModelCallError("400 refused") if "brilliant" in request.messages[1].content else inner._answer(request)

    check = JudgeCheck(scorer_of(judge=FakeChatModel(answer), metrics={"goal": 1.0}))
    one = asyncio.run(check.acheck(chats(1)[0]))
    assert one.lost == ("flattery: 400 refused",)
    assert not one.of(Probe.FLATTERY)
    assert one.of(Probe.CONTENTLESS)[0].score == 0


@pytest.mark.parametrize(("weight", "score"), [(1.0, 0.4), (3.0, 0.6), (0.0, 0.0), (-1.0, 0.1), (-3.0, 0.15)])
def test_the_score_weighs_metrics_as_the_run_does(weight, score):
    judge = judge_of(lambda *_: False, lambda *_: 0.8)
    check = JudgeCheck(scorer_of(judge=judge, metrics={"goal": 1.0, "interactivity": weight}))
    one = asyncio.run(check.acheck(chats(1)[0]))
    assert [each.score for each in one.judged] == pytest.approx([score] * len(one.judged))
    assert {each.metrics["interactivity"] for each in one.judged} == {0.8}


@pytest.mark.parametrize(
    ("metrics", "calls"),
    [
        (["interactivity"], 10),
        (["goal", "interactivity"], 11),
        (["interactivity", "accuracy", "grounded", "policy"], 10),
    ],
)
def test_the_estimate_bills_what_the_probes_ask_and_no_more(metrics, calls):
    model = ModelSpec(name="offline")
    specs = tuple(MetricSpec(name=name) for name in metrics)
    spec = RunSpec(assistants=(model,), simulators=(UserSpec.of(model),), judge=model, metrics=specs)
    assert estimate_judge_check(chats(2), spec, {}).of(CallRole.JUDGE).calls == 2 * calls


def test_metrics_are_left_out_by_what_they_ask_and_not_by_their_name():
    judge = FakeChatModel(
        lambda request: json.dumps(
            {"rules": ["Be kind."]}
            if "list the rules" in request.messages[0].content
            else {"house_rules": {"kept": [1], "broken": []}, "policy": {"reason": "", "score": 0.5}}
        )
    )
    rules, kind = Policy(name="house_rules"), Interactivity(name="policy")
    with pytest.raises(UsageError, match="nothing to check"):
        JudgeCheck(MRScorer(scorer_of().rollout, judge=judge, metrics=rules))
    one = asyncio.run(JudgeCheck(MRScorer(scorer_of().rollout, judge=judge, metrics=[rules, kind])).acheck(chats(1)[0]))
    assert {tuple(each.metrics) for each in one.judged} == {("policy",)}
    assert {each.score for each in one.judged} == {0.5}


def test_metrics_without_weight_leave_nothing_to_check():
    with pytest.raises(UsageError, match="No metric with a weight"):
        asyncio.run(JudgeCheck(scorer_of(metrics={"goal": 0.0, "token_penalty": 1.0})).acheck(chats(1)[0]))


def test_metrics_that_ask_no_judge_leave_nothing_to_check():
    with pytest.raises(UsageError, match="asks the judge"):
        JudgeCheck(scorer_of(metrics={"token_penalty": 1.0, "grounded": 1.0}))


# People


def write_rated(path: Path, n: int = 40) -> Path:
    """Two responses to each history: one with the milk, which people found good, and one without."""
    rows = [
        {
            "id": f"r{number}",
            "history_id": f"h{number // 2}",
            "history": [{"role": "user", "content": f"a {DRINKS[number // 2 % 12]} with oat milk, {number // 2}"}],
            "decision": {"role": "assistant", "content": "With oat milk." if number % 2 else "Without."},
            "goal": "oat milk",
            "human": number % 2,
        }
        for number in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refuse(error: InputError) -> None:
    raise error


def rated_figures(path: Path, is_met):
    judge = judge_of(is_met)
    people = PeopleCheck(scorer_of(judge=judge, window=0, samples=1, metrics={"goal": 1.0}))

    async def rate_all():
        return [outcome.value async for outcome in people.arate_all(read_rated_responses(path, refuse))]

    return {figure.name: figure.value for figure in judge_statistics([], asyncio.run(rate_all()))}


def test_a_judge_that_agrees_with_the_ratings_has_an_auc_and_a_kappa_of_1(tmp_path):
    found = rated_figures(
        write_rated(tmp_path / "rated.jsonl"), lambda point, number, said, request: "With oat" in said
    )
    assert found["rated: AUC"].mean == found["rated: kappa"].mean == 1
    assert [value.mean for name, value in found.items() if "margin" in name] == [1]


def test_a_judge_that_prefers_what_people_did_not_has_an_auc_of_0(tmp_path):
    found = rated_figures(write_rated(tmp_path / "rated.jsonl"), lambda point, number, said, request: "out" in said)
    assert found["rated: AUC"].mean == 0
    assert found["rated: kappa"].mean == -1


def test_a_judge_that_sees_no_difference_is_at_chance(tmp_path):
    found = rated_figures(write_rated(tmp_path / "rated.jsonl"), lambda point, number, said, request: True)
    assert found["rated: AUC"].mean == 0.5
    assert found["rated: kappa"].mean == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"human": "good"}, "1 (good) or 0 (bad)"),
        ({"history": "hi"}, "a list of messages"),
        ({"decision": None}, '"decision" or "response"'),
        ({"decision": {"role": "user", "content": "hi"}}, "end with a response"),
    ],
)
def test_a_row_that_is_no_rated_response_is_named(tmp_path, change, problem):
    path = write_rated(tmp_path / "rated.jsonl", 3)
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | change), *others]))
    reported = []
    assert len(read_rated_responses(path, reported.append)) == 2
    assert len(reported) == 1
    assert problem in str(reported[0])
    assert "rated.jsonl:1" in str(reported[0])


def export(tmp_path: Path, n: int = 24) -> Path:
    """Pairs of a bot that names the milk when it is told to be proactive, and of one that does not."""
    scorer = scorer_of(
        assistant=lambda request: "With oat milk!" if len(request.messages[0].content) > 99 else "Here.",
        user=lambda _: user_says("thanks", done=True),
        judge=judge_of(lambda point, number, said, request: "oat" in said),
        metrics={"goal": 1.0},
    )
    logs = [
        Conversation(id=f"c{number}", messages=as_messages(chat(f"a mocha, {number}", "There.")), goal=Goal(text="oat"))
        for number in range(n)
    ]
    PreferenceExporter(scorer, candidates=3).export(logs, tmp_path / "prefs.jsonl")
    return tmp_path / "prefs.jsonl"


def decide(pairs: Path, verdicts: list[str]) -> Path:
    turns = [json.loads(line) for line in pairs.with_name("prefs.turns.jsonl").read_text().splitlines()]
    rows = [
        {"pair": pair_id(turn), "decision": verdict, "by": "me"} for turn, verdict in zip(turns, verdicts, strict=True)
    ]
    path = pairs.with_name("prefs.decisions.json")
    path.write_text(json.dumps({"schema": "collab/decisions/v1", "of": {"file": pairs.name}, "decisions": rows}))
    return path


def reviewed_figures(pairs: Path, decisions: Path, is_met):
    people = PeopleCheck(scorer_of(judge=judge_of(is_met), metrics={"goal": 1.0}))
    reviewed = read_reviewed_pairs(pairs, read_decisions(decisions), refuse)

    async def compare_all():
        return [outcome.value async for outcome in people.acompare_all(reviewed)]

    found = asyncio.run(compare_all())
    return found, {figure.name: figure.value for figure in judge_statistics([], [], found)}


def test_pairs_that_people_keep_are_judged_again_by_their_futures(tmp_path):
    pairs = export(tmp_path)
    decisions = decide(pairs, ["keep"] * 18 + ["flip"] * 4 + ["drop"] * 2)
    found, figures = reviewed_figures(pairs, decisions, lambda point, number, said, request: "oat" in said)
    assert {pair.margin for pair in found} == {1.0}
    assert figures["pairs: same order"].mean == pytest.approx(18 / 22)
    assert figures["pairs: same order"].n == 22
    assert figures["pairs: kappa"].mean == pytest.approx(2 * 18 / 22 - 1)
    assert figures["pairs: AUC of margin"].mean == 0.5


def test_another_judge_has_an_order_of_its_own(tmp_path):
    pairs = export(tmp_path)
    _, figures = reviewed_figures(
        pairs, decide(pairs, ["keep"] * 24), lambda point, number, said, request: "oat" not in said
    )
    assert figures["pairs: same order"].mean == 0
    assert figures["pairs: kappa"].mean == -1


def test_decisions_on_other_pairs_are_an_error(tmp_path):
    pairs = export(tmp_path, 2)
    decisions = decide(pairs, ["keep", "keep"])
    decisions.write_text(decisions.read_text().replace('"pair": "', '"pair": "x'))
    with pytest.raises(InputError, match="none of the 2 pairs decided on"):
        read_reviewed_pairs(pairs, read_decisions(decisions), refuse)
    pairs.with_name("prefs.turns.jsonl").unlink()
    with pytest.raises(InputError, match=r"no prefs\.turns\.jsonl beside it"):
        read_reviewed_pairs(pairs, read_decisions(decisions), refuse)


def first_future(turn):
    return next(future for candidate in turn["candidates"] for future in candidate["futures"])


DAMAGE = {
    "a message that is none in the history": (lambda turn: turn["history"].insert(0, "hi"), '"history" must be'),
    "a message without content": (lambda turn: first_future(turn)["messages"].insert(0, {"role": "user"}), "message 1"),
    "another history": (lambda turn: turn.pop("history"), "it does not hold 1 of the 3 pairs decided on"),
    "a turn that is no number": (lambda turn: turn.update(turn="0"), '"turn" must be'),
    "a goal that is no text": (lambda turn: turn.update(goals=["oat", 7]), '"goals" a list of such texts'),
    "no goal": (lambda turn: turn.update(goal=""), '"goal" must be'),
    "a candidate that is none": (lambda turn: turn["candidates"].append(None), '"candidates" must be'),
    "a future without messages": (lambda turn: first_future(turn).update(messages=None), '"messages" must be'),
    "a message of a future that is none": (lambda turn: first_future(turn)["messages"].append(3), '"messages" must be'),
    "a future without a sample": (lambda turn: first_future(turn).pop("sample"), '"sample" of a future'),
    "a tool that is none": (lambda turn: turn.update(tools=["lookup"]), '"tools" must be'),
    "an ending that is none": (lambda turn: turn["history"][0].update(ended="tired"), '"ended" must be one of'),
}


@pytest.mark.parametrize(("damage", "problem"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_turn_is_reported_and_never_judged_without_what_cannot_be_read(tmp_path, damage, problem):
    pairs = export(tmp_path, 3)
    decisions = decide(pairs, ["keep"] * 3)
    path = pairs.with_name("prefs.turns.jsonl")
    first, *others = map(json.loads, path.read_text().splitlines())
    damage(first)
    path.write_text("".join(json.dumps(turn) + "\n" for turn in [first, *others]))
    reported = []
    assert len(read_reviewed_pairs(pairs, read_decisions(decisions), reported.append)) == 2
    assert len(reported) == 1
    assert problem in str(reported[0])
    assert "prefs.turns.jsonl" in str(reported[0])


def test_a_reply_that_was_cut_off_is_judged_again_as_one_that_was(tmp_path):
    pairs = export(tmp_path, 3)
    decisions = decide(pairs, ["keep"] * 3)
    path = pairs.with_name("prefs.turns.jsonl")
    turns = [json.loads(line) for line in path.read_text().splitlines()]
    for turn in turns:
        turn["history"][-1]["ended"] = "cut off"
    path.write_text("".join(json.dumps(turn) + "\n" for turn in turns))
    reviewed = read_reviewed_pairs(pairs, read_decisions(decisions), refuse)
    assert {pair.conversation.messages[-1].ended for pair in reviewed} == {Ending.CUT_OFF}
