import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.fakes import chat, judged, scorer_of

from collab_sdk import ChatReply, Conversation, Engine, Goal, PreferenceExporter, read_conversations
from collab_sdk.errors import (
    BotError,
    BudgetError,
    EndpointError,
    ModelCallError,
    OutputError,
    UnknownNameError,
    UsageError,
)
from collab_sdk.messages import as_messages
from collab_sdk.preferences import Choice, Refusal, SamplingRule
from collab_sdk.preferences.noise import PILOT_TURNS
from collab_sdk.prompts import load_prompt
from collab_sdk.spec import Limits

PROACTIVE = load_prompt("proactive").text


def conversations(*ids: str, texts: tuple[str, ...] = ("a coffee", "Here.", "no, a mocha", "Sorry, here.")):
    """The first says just these texts, the others that it is for somebody, so that no two are the same."""
    openings = [texts[0], *(f"{texts[0]} for the person called {name}" for name in ids[1:])]
    goal = Goal(text="SECRET-GOAL: mocha")
    said = (as_messages(chat(opening, *texts[1:])) for opening in openings)
    return [Conversation(id=name, messages=messages, goal=goal) for name, messages in zip(ids, said, strict=True)]


def candidate_writer(request):
    """A bot that asks only under the proactive prompt."""
    if PROACTIVE in request.messages[0].content:
        return "Which one?"
    return f"Here, as you like it. {len(request.messages)}"


def prefers_questions(request):
    """A judge that likes conversations with the proactive answer best."""
    return judged(0.9 if "Which one?" in request.messages[-1].content else 0.4)


def exporter_of(**options):
    rule = {
        name: options.pop(name)
        for name in ("candidates", "min_margin", "min_confidence", "max_pairs", "fixed_samples", "judge_groups")
        if name in options
    }
    options = {"assistant": candidate_writer, "judge": prefers_questions, "metrics": {"goal": 1.0}} | options
    return PreferenceExporter(scorer_of(**options), **rule)


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_better_candidate_of_a_turn_is_chosen_over_the_worse(tmp_path):
    report = exporter_of().export(conversations("c1"), tmp_path / "prefs.jsonl")
    first = rows(tmp_path / "prefs.jsonl")[0]
    assert first["prompt"] == chat("a coffee")
    assert first["chosen"] == [{"role": "assistant", "content": "Which one?"}]
    assert first["rejected"][0]["content"] in ("Here.", "Here, as you like it. 1")
    assert first["score_chosen"] == pytest.approx(0.9)
    assert first["score_rejected"] == pytest.approx(0.4)
    assert (first["conversation_id"], first["turn"]) == ("c1", 0)
    assert (report.conversations, report.turns, report.pairs) == (1, 2, 2)


def test_no_goal_and_no_proactive_prompt_leaks_into_a_row(tmp_path):
    exporter_of().export(conversations("c1", "c2"), tmp_path / "prefs.jsonl")
    text = (tmp_path / "prefs.jsonl").read_text()
    assert text
    assert "SECRET-GOAL" not in text
    assert "proactive" not in text.lower()
    for row in rows(tmp_path / "prefs.jsonl"):
        assert row["prompt"][-1]["role"] == "user"
        assert row["chosen"] != row["rejected"]


def test_the_proactive_prompt_joins_a_system_prompt_for_the_draw_and_is_gone_in_its_futures(tmp_path):
    exporter = exporter_of()
    messages = as_messages([{"role": "system", "content": "Be a barista."}, *chat("a coffee", "Here.")])
    exporter.export([Conversation(id="c1", messages=messages, goal=Goal(text="mocha"))], tmp_path / "prefs.jsonl")
    draws = [request for request in exporter.scorer.rollout.assistant.requests if "candidate" in request.sample]
    futures = [request for request in exporter.scorer.rollout.assistant.requests if "future" in request.sample]
    assert [request.messages[0].content for request in draws].count(f"Be a barista.\n\n{PROACTIVE}") == 1
    assert {request.messages[0].content for request in futures} == {"Be a barista."}
    assert [message["content"] for message in rows(tmp_path / "prefs.jsonl")[0]["prompt"]] == [
        "Be a barista.",
        "a coffee",
    ]


class WorstOverBest(PreferenceExporter):
    """Two futures a candidate, whatever comes of them, and the pair the wrong way round."""

    def sampling_rule(self, goals, pilot=None, *, rounds=1):
        return SamplingRule(first=2, ceiling=2)

    def choose(self, scores, pilot, *, goals):
        worst, *_, best = sorted(scores, key=float)
        return Choice(chosen=worst, rejected=best)


def test_an_exporter_of_ones_own_decides_how_much_is_played_and_which_pair_is_kept(tmp_path):
    own = WorstOverBest(scorer_of(assistant=candidate_writer, judge=prefers_questions, metrics={"goal": 1.0}))
    own.export(conversations("c1", "c2"), tmp_path / "prefs.jsonl")
    assert {row["rejected"][0]["content"] for row in rows(tmp_path / "prefs.jsonl")} == {"Which one?"}
    turns = [turn for turn in rows(tmp_path / "prefs.turns.jsonl") if "candidates" in turn]
    assert {len(candidate["futures"]) for turn in turns for candidate in turn["candidates"]} == {2}


def test_a_second_export_makes_no_call_and_writes_the_same_bytes(tmp_path):
    logged = conversations("c1", "c2", "c3")
    exporter_of(engine=Engine(cache=tmp_path / "cache")).export(logged, tmp_path / "a.jsonl")
    again = Engine(cache=tmp_path / "cache")
    exporter_of(engine=again).export(logged, tmp_path / "b.jsonl")
    assert again.ledger.total.calls == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    turns = [(tmp_path / f"{name}.turns.jsonl").read_text() for name in "ab"]
    assert turns[0] == turns[1].replace("b.jsonl", "a.jsonl")


def test_a_run_stopped_by_its_budget_keeps_what_is_done_and_goes_on_from_there(tmp_path):
    logged = conversations(*(f"c{number}" for number in range(6)))
    exporter_of().export(logged, tmp_path / "whole.jsonl")
    stops = 0
    for _ in range(100):
        engine = Engine(cache=tmp_path / "cache", limits=Limits(max_calls=40, concurrency=4))
        try:
            exporter_of(engine=engine).export(logged, tmp_path / "prefs.jsonl")
            break
        except BudgetError:
            stops += 1
            assert not (tmp_path / "prefs.jsonl").exists()
    assert stops >= 2
    assert (tmp_path / "prefs.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_what_is_done_when_a_run_stops_can_be_read_in_the_partial_file(tmp_path):
    bot = exporter_of().scorer.rollout.assistant
    last = f"c{PILOT_TURNS // 2 + 1}/"

    def judge(request):
        is_after_the_pilot = any(last in asked.sample for asked in bot.requests)
        return EndpointError("quota used up") if is_after_the_pilot else prefers_questions(request)

    logged = conversations(*(f"c{number}" for number in range(PILOT_TURNS // 2 + 4)))
    exporter = exporter_of(assistant=bot, judge=judge, engine=Engine(limits=Limits(concurrency=1)))
    with pytest.raises(EndpointError, match="quota used up"):
        exporter.export(logged, tmp_path / "prefs.jsonl")
    done = rows(tmp_path / "prefs.jsonl.partial")
    ids = {row["conversation_id"] for row in done}
    assert len(ids) >= PILOT_TURNS // 2
    assert ids == {each.id for each in logged[: len(ids)]}


def test_an_error_of_one_conversation_does_not_stop_the_others(tmp_path):
    def judge(request):
        if "write down" in request.messages[0].content:
            return ModelCallError("content policy")
        return prefers_questions(request)

    broken = Conversation(id="broken", messages=as_messages(chat("x", "y")))
    [first, last] = conversations("c1", "c2")
    report = exporter_of(judge=judge).export([first, broken, last], tmp_path / "prefs.jsonl")
    assert {name: str(error) for name, error in report.failed.items()} == {"broken": "content policy"}
    assert [row["conversation_id"] for row in rows(tmp_path / "prefs.jsonl")] == ["c1", "c1", "c2", "c2"]


def refusal_of(tmp_path, **options) -> Refusal:
    report = exporter_of(**options).export(conversations("c1", texts=("a coffee", "Here.")), tmp_path / "prefs.jsonl")
    assert (tmp_path / "prefs.jsonl").read_text() == ""
    [refusal] = report.refused
    return refusal


def test_a_margin_under_the_minimum_is_refused(tmp_path):
    assert refusal_of(tmp_path, min_margin=0.6) is Refusal.MARGIN


def test_a_tie_is_refused_even_without_a_minimum(tmp_path):
    assert refusal_of(tmp_path, min_margin=0.0, judge=lambda _: judged(0.5)) is Refusal.MARGIN


def test_a_margin_that_another_draw_could_turn_is_refused(tmp_path):
    def judge(request):
        text = request.messages[-1].content
        lucky = ("future-0" in text) == ("Which one?" in text)
        return judged(0.8 if lucky else 0.1)

    assert refusal_of(tmp_path, judge=judge, fixed_samples=True) is Refusal.NOISE


def test_candidates_that_all_say_the_same_are_refused_before_a_future_is_paid_for(tmp_path):
    exporter = exporter_of(assistant=lambda _: "Here. ")
    report = exporter.export(conversations("c1", texts=("a coffee", "Here.")), tmp_path / "prefs.jsonl")
    assert report.refused == {Refusal.ONE_CANDIDATE: 1}
    assert "simulator" not in exporter.scorer.engine.ledger.by_role()


def test_a_candidate_that_cannot_be_drawn_costs_neither_its_turn_nor_its_conversation(tmp_path):
    def assistant(request):
        return BotError("out of order") if request.sample == "c1/candidate-1" else candidate_writer(request)

    report = exporter_of(assistant=assistant).export(conversations("c1", "c2"), tmp_path / "prefs.jsonl")
    assert report.failed == {}
    assert report.candidates_lost == 2
    assert report.lost["out of order"] == 2
    assert {row["conversation_id"] for row in rows(tmp_path / "prefs.jsonl")} == {"c1", "c2"}
    turn = rows(tmp_path / "prefs.turns.jsonl")[0]
    assert ([candidate["source"] for candidate in turn["candidates"]], turn["lost"]) == (
        ["logged", "proactive"],
        ["out of order"],
    )


def ends_questions_with(finish_reason: str, content: str = "Which one?"):
    """A bot whose proactive answer, which judges like best, does not end by itself."""

    def assistant(request):
        if PROACTIVE in request.messages[0].content:
            return ChatReply(content=content, finish_reason=finish_reason)
        return candidate_writer(request)

    return assistant


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
def test_a_candidate_that_was_cut_off_is_scored_and_never_chosen(tmp_path, finish_reason):
    exporter = exporter_of(assistant=ends_questions_with(finish_reason))
    exporter.export(conversations("c1", texts=("a coffee", "Here.")), tmp_path / "prefs.jsonl")
    assert not any("Which one?" in str(row["chosen"]) for row in rows(tmp_path / "prefs.jsonl"))
    [turn] = rows(tmp_path / "prefs.turns.jsonl")
    [cut] = [each for each in turn["candidates"] if each["source"] == "proactive"]
    assert cut["mr"] == 0.9
    assert cut["messages"][-1]["ended"] == {"length": "cut off", "content_filter": "filtered"}[finish_reason]


def test_a_candidate_that_was_cut_off_may_be_rejected(tmp_path):
    def judge(request):
        return judged(0.1 if "Which one?" in request.messages[-1].content else 0.9)

    exporter = exporter_of(assistant=ends_questions_with("length"), judge=judge)
    exporter.export(conversations("c1", texts=("a coffee", "Here.")), tmp_path / "prefs.jsonl")
    [row] = rows(tmp_path / "prefs.jsonl")
    assert row["rejected"] == [{"role": "assistant", "content": "Which one?"}]


@pytest.mark.parametrize("finish_reason", ["length", "content_filter", "stop"])
def test_a_candidate_without_a_word_is_none_and_counted(tmp_path, finish_reason):
    async def no_wait(_: float) -> None: ...

    engine = Engine(sleep=no_wait)
    exporter = exporter_of(assistant=ends_questions_with(finish_reason, ""), engine=engine)
    report = exporter.export(conversations("c1", texts=("a coffee", "Here.")), tmp_path / "prefs.jsonl")
    assert report.candidates_lost == 1
    assert report.lost["a drawn response was empty"] == 1
    [turn] = rows(tmp_path / "prefs.turns.jsonl")
    assert "proactive" not in [candidate["source"] for candidate in turn["candidates"]]


def test_candidates_that_cannot_be_scored_are_refused(tmp_path):
    def judge(request):
        return prefers_questions(request) if "Which one?" in request.messages[-1].content else ModelCallError("no")

    assert refusal_of(tmp_path, judge=judge) is Refusal.UNSCORED


def test_a_conversation_gives_at_most_max_pairs_those_with_the_largest_margins(tmp_path):
    def judge(request):
        text = request.messages[-1].content
        return judged((0.9 if "no, a mocha" in text else 0.7) if "Which one?" in text else 0.2)

    report = exporter_of(judge=judge, max_pairs=1).export(conversations("c1"), tmp_path / "prefs.jsonl")
    assert [row["turn"] for row in rows(tmp_path / "prefs.jsonl")] == [1]
    assert report.refused == {Refusal.CAP: 1}


def test_the_held_out_share_is_split_by_conversation(tmp_path):
    logged = conversations(*(f"c{number}" for number in range(30)))
    exporter_of().export(logged, tmp_path / "prefs.jsonl", eval_fraction=0.3)
    train = {row["conversation_id"] for row in rows(tmp_path / "prefs.jsonl")}
    held_out = {row["conversation_id"] for row in rows(tmp_path / "prefs.eval.jsonl")}
    assert train
    assert held_out
    assert not train & held_out
    assert len(train | held_out) == 30


def test_a_chat_that_was_logged_four_times_is_on_one_side_and_its_pairs_are_written_once(tmp_path):
    logged = [
        Conversation(id=f"{chat.id}-{copy}", messages=chat.messages, goal=chat.goal)
        for copy in range(4)
        for chat in conversations(*(f"c{number}" for number in range(30)))
    ]
    report = exporter_of().export(logged, tmp_path / "prefs.jsonl", eval_fraction=0.3)
    train, held_out = (rows(tmp_path / name) for name in ("prefs.jsonl", "prefs.eval.jsonl"))
    assert train
    assert held_out
    words = [json.dumps([row["prompt"], row["chosen"], row["rejected"]]) for row in train + held_out]
    assert len(set(words)) == len(words) == report.written >= 60
    assert report.repeated == report.pairs - len(words) > 60
    names = [{row["conversation_id"].partition("-")[0] for row in side} for side in (train, held_out)]
    assert not names[0] & names[1]
    refused = [turn for turn in rows(tmp_path / "prefs.turns.jsonl") if turn["refused"]]
    assert len([turn for turn in refused if "word for word" in turn["refused"]]) == report.repeated
    assert {turn["written_to"] for turn in refused} == {None}


def test_chats_that_all_begin_with_the_same_long_message_are_warned_about(tmp_path):
    said = [as_messages(chat("I have got a question.", "Here.", f"no, a mocha {n}", "Sorry.")) for n in range(20)]
    goal = Goal(text="SECRET-GOAL: mocha")
    logged = [Conversation(id=f"c{n}", messages=messages, goal=goal) for n, messages in enumerate(said)]
    with pytest.warns(UserWarning, match=r"has no row: chats are held out by what their users say first"):
        exporter_of().export(logged, tmp_path / "prefs.jsonl", eval_fraction=0.4)


def test_the_turns_file_holds_every_candidate_and_the_way_back_from_a_strict_row(tmp_path):
    exporter_of().export(conversations("c1"), tmp_path / "prefs.jsonl", format="openai")
    first = rows(tmp_path / "prefs.turns.jsonl")[0]
    assert [candidate["source"] for candidate in first["candidates"]] == ["logged", "sampled", "proactive"]
    assert first["candidates"][0]["observed"]["reward"] is not None
    assert first["candidates"][1]["observed"] is None
    assert len(first["candidates"][2]["futures"]) == 2
    assert first["written_to"] == {"file": "prefs.jsonl", "line": 1}


def test_futures_are_spent_where_best_and_worst_are_not_yet_apart(tmp_path):
    def judge(request):
        text = request.messages[-1].content
        draws = [number for number in range(9) if f"future-{number}" in text]
        wobble = 0.3 if draws and draws[0] % 2 else 0.0
        return judged((0.6 if "Which one?" in text else 0.5) + wobble)

    logged = conversations("c1", texts=("a coffee", "Here."))
    adaptive = exporter_of(judge=judge).export(logged, tmp_path / "adaptive.jsonl")
    fixed = exporter_of(judge=judge, fixed_samples=True).export(logged, tmp_path / "fixed.jsonl")
    [turn] = rows(tmp_path / "adaptive.turns.jsonl")
    futures = {candidate["source"]: len(candidate["futures"]) for candidate in turn["candidates"]}
    assert futures["proactive"] > 2
    assert [future["sample"] for future in turn["candidates"][2]["futures"]] == list(range(futures["proactive"]))
    assert fixed.samples == 9
    assert adaptive.samples == sum(futures.values())


@pytest.mark.parametrize("target", ["missing/prefs.jsonl", "."])
def test_an_output_that_cannot_be_written_is_found_before_any_call(tmp_path, target):
    exporter = exporter_of()
    with pytest.raises(OutputError):
        exporter.export(conversations("c1"), tmp_path / target)
    assert exporter.scorer.engine.ledger.total.calls == 0


def test_an_unknown_format_lists_the_known_ones(tmp_path):
    with pytest.raises(UnknownNameError, match="Known: axolotl, fireworks, kto"):
        exporter_of().export(conversations("c1"), tmp_path / "prefs.jsonl", format="csv")


@pytest.mark.parametrize("options", [{"candidates": 1}, {"min_margin": -1}, {"max_pairs": 0}])
def test_an_impossible_rule_is_refused(options):
    with pytest.raises(UsageError):
        exporter_of(**options)


def test_progress_is_told_after_every_conversation(tmp_path):
    told = []
    exporter_of().export(
        conversations("c1", "c2"),
        tmp_path / "p.jsonl",
        on_progress=lambda report: told.append((report.begun, report.conversations)),
    )
    assert told == [(1, 0), (2, 0), (2, 1), (2, 2)]


@pytest.mark.parametrize("format", ["trl", "llama-factory"])
def test_an_export_of_nothing_leaves_an_earlier_one_as_it_was(tmp_path, format):
    target = tmp_path / "prefs.jsonl"
    assert exporter_of().export([], target, format=format).conversations == 0
    assert not list(tmp_path.iterdir())
    exporter_of().export(conversations("c1"), target, format=format)
    earlier = {path: path.read_bytes() for path in tmp_path.iterdir()}
    exporter_of().export([], target, format=format)
    no_goal = [Conversation(id="c2", messages=conversations("c2")[0].messages)]
    failing = exporter_of(judge=lambda _: ModelCallError("content policy"))
    assert list(failing.export(no_goal, target, format=format).failed) == ["c2"]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == earlier


def test_no_pair_has_another_history_than_its_sides_answer(tmp_path):
    call = {"id": "c1", "type": "function", "function": {"name": "stock", "arguments": "{}"}}
    begun = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "12", "tool_call_id": "c1"},
    ]
    some, none, yes, no = (chat("", text)[1:] for text in ("There is some.", "None left.", "Yes.", "No."))
    messages = as_messages([*chat("a coffee"), *begun, *some, *chat("rye?"), *yes])
    others = {0: (as_messages([*begun, *none]),), 1: (as_messages(no),)}
    conversation = Conversation(id="c", messages=messages, goal=Goal(text="rye"), alternatives=others)

    def dislikes_the_others(request):
        return judged(
            0.4 if "None left." in request.messages[-1].content or "No." in request.messages[-1].content else 0.9
        )

    exporter_of(candidates=2, judge=dislikes_the_others).export([conversation], tmp_path / "p.jsonl")
    first, second = rows(tmp_path / "p.jsonl")
    assert as_messages(first["prompt"]) == messages[:1]
    assert [side[-1] for side in (first["chosen"], first["rejected"])] == [*some, *none]
    assert as_messages(second["prompt"]) == messages[:5]
    assert (second["chosen"], second["rejected"]) == (yes, no)


def test_implicit_prompts_that_part_early_make_no_pair_of_one_history_and_another_ones_reply(tmp_path):
    better, worse = chat("Hi", "Hello.", "Rye?", "Yes."), chat("Hi", "Yo.", "Bye", "Bye.")
    (tmp_path / "log.jsonl").write_text(json.dumps({"chosen": better, "rejected": worse}))
    read = read_conversations([tmp_path / "log.jsonl"], on_error=print)
    for format in ("trl", "trl-implicit"):
        exporter_of().export(read, tmp_path / "p.jsonl", format=format)
        written = rows(tmp_path / "p.jsonl") if (tmp_path / "p.jsonl").exists() else []
        assert not any("Rye?" in str(row) and "Bye" in str(row) for row in written)


def test_chats_without_a_goal_whose_first_replies_are_all_alike_give_pairs_at_later_turns(tmp_path):
    texts = ("hi", "Hello!", "a coffee", "Here.")
    open_goal = {"goal": "a coffee", "open": [{"point": "milk", "values": ["oat milk", "no milk"]}]}

    def judge(request):
        if "write down" in request.messages[0].content:
            return json.dumps(open_goal)
        return prefers_questions(request)

    def bot(request):
        return "Hello!" if request.messages[-1].content.startswith("hi") else candidate_writer(request)

    logged = [replace(each, goal=None) for each in conversations(*(f"c{n}" for n in range(8)), texts=texts)]
    report = exporter_of(assistant=bot, judge=judge).export(logged, tmp_path / "p.jsonl")
    assert report.refused[Refusal.ONE_CANDIDATE] == 8
    assert {row["turn"] for row in rows(tmp_path / "p.jsonl")} == {1}
