"""What a report is made of, and what becomes of decisions; without a browser."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cli import collab, write_chats
from support.reports import called, came_back, rows_of, said, tool_turn, write_rows

from collab_sdk import MRScore, PreferencePair
from collab_sdk.errors import MissingExtraError
from collab_sdk.logs import get_preference_format, preference_format_names, read_conversations
from collab_sdk.messages import as_messages
from collab_sdk.report import fields, write_report
from collab_sdk.report.packing import script_json
from collab_sdk.report.plots import histogram
from collab_sdk.report.turns import pair_id

FORMATS = sorted(preference_format_names())


def exported(folder, *options, chats=4):
    logs = write_chats(folder / "chats.jsonl", chats)
    result = collab("export-prefs", logs, "--model", "offline", "-o", folder / "p.jsonl", *options)
    assert result.exit_code == 0, result.output
    return folder / "p.jsonl"


def pairs_of(folder):
    return [turn for turn in rows_of(folder / "p.turns.jsonl") if turn["pair"]]


def decided(path, *decisions, of="p.jsonl"):
    rows = [{"pair": pair, "decision": decision, "by": by} for pair, decision, by in decisions]
    path.write_text(json.dumps({"schema": "collab/decisions/v1", "of": {"file": of}, "decisions": rows}))
    return path


def apply(folder, *decisions):
    file = decided(folder / "d.json", *decisions)
    return collab("report", "--apply", file, folder / "p.jsonl", "-o", folder / "r.jsonl")


@pytest.mark.filterwarnings("ignore:.*takes no fewer than")
@pytest.mark.parametrize("format", FORMATS)
def test_decisions_are_applied_to_every_format(tmp_path, format):
    exported(tmp_path, "--format", format)
    before, pairs = rows_of(tmp_path / "p.jsonl"), pairs_of(tmp_path)
    size = len(before) // len(pairs)
    ids = [pair_id(turn) for turn in pairs]
    result = apply(tmp_path, (ids[0], "flip", "Ada"), (ids[1], "drop", "Bo"), (ids[2], "keep", "Ada"))
    assert result.exit_code == 0, result.output
    after = rows_of(tmp_path / "r.jsonl")
    assert after[size:] == before[2 * size :], "the others are as they were, byte for byte"
    flipped = {"chosen": pairs[0]["pair"]["rejected"], "rejected": pairs[0]["pair"]["chosen"]}
    assert json.dumps(after[:size]) != json.dumps(before[:size])
    turns = rows_of(tmp_path / "r.turns.jsonl")
    reviewed = {pair_id(turn): turn for turn in turns if turn["pair"]}
    [turn] = [turn for turn in turns if turn.get("review", {}).get("decision") == "flip"]
    assert {side: turn["pair"][side] for side in flipped} == flipped
    assert turn["pair"]["margin"] == -pairs[0]["pair"]["margin"]
    assert turn["review"]["by"] == "Ada"
    [dropped] = [turn for turn in turns if turn.get("review", {}).get("decision") == "drop"]
    assert (dropped["pair"], dropped["written_to"], dropped["refused"]) == (None, None, "a reviewer dropped the pair")
    assert [turn["written_to"]["line"] for turn in turns if turn["pair"]] == list(range(1, len(after) + 1, size))
    assert len(reviewed) == len(pairs) - 1
    again = collab("report", "--apply", tmp_path / "d.json", tmp_path / "r.jsonl", "-o", tmp_path / "rr.jsonl")
    assert again.exit_code == 3, "what was flipped or dropped is not there to be flipped or dropped again"
    assert rows_of(tmp_path / "rr.jsonl") == after


def with_calls(folder, format, chosen, rejected):
    """An export of one pair whose history and sides are messages with calls."""
    turn = tool_turn(pair={"chosen": chosen, "rejected": rejected, "margin": 1.5})
    turn["candidates"] = [
        {**one, "messages": side} for one, side in zip(turn["candidates"], (chosen, rejected), strict=True)
    ]
    scores = [
        MRScore(response=as_messages(side), futures=(), value=mr, stderr=0.1)
        for side, mr in ((chosen, 2.0), (rejected, 0.5))
    ]
    fields = {"conversation_id": "order-5", "turn": 1, "prompt": as_messages(turn["history"])}
    pair = PreferencePair(chosen=scores[0], rejected=scores[1], **fields)
    write_rows(folder / "p.jsonl", list(get_preference_format(format).rows(pair)))
    write_rows(folder / "p.turns.jsonl", [turn])
    return turn


FAILS = [called("cancel_order", '{"order":5}'), came_back("error: shipped"), said("It is too late.")]
LIES = [said("I have cancelled it.")]
OTHER = [called("look_up", "", text="Let me see.")]


@pytest.mark.parametrize("format", ["kto", "sft", "trl", "trl-implicit", "ultrafeedback"])
@pytest.mark.parametrize(
    "sides", [(FAILS, LIES), (LIES, FAILS), (FAILS[:1], OTHER)], ids=["calls", "text", "decisions"]
)
def test_pairs_with_calls_are_reviewed(tmp_path, format, sides):
    chosen, rejected = sides
    turn = with_calls(tmp_path, format, chosen, rejected)
    before = rows_of(tmp_path / "p.jsonl")
    for verdict in ("keep", "flip", "flip"):
        result = apply(tmp_path, (pair_id(turn), verdict, "Ada"))
        assert result.exit_code == 0, result.output
        after, [turn] = rows_of(tmp_path / "r.jsonl"), rows_of(tmp_path / "r.turns.jsonl")
        assert (after == before) is (verdict == "keep")
        assert len(after) == len(before)
        for name in ("", ".turns"):
            (tmp_path / f"r{name}.jsonl").rename(tmp_path / f"p{name}.jsonl")
        before = after
        if format == "sft":
            calls = [call["function"] for message in after[0]["messages"] for call in message.get("tool_calls", ())]
            assert all(isinstance(call["arguments"], dict) for call in calls), "as chat templates take them"
    assert turn["pair"]["chosen"] == chosen, "flipped twice"
    assert fields.deeds(turn["pair"]["rejected"]) == fields.deeds(rejected)


@pytest.mark.parametrize("format", ["trl", "trl-implicit"])
def test_pairs_with_calls_are_reviewed_without_a_sidecar(tmp_path, format):
    with_calls(tmp_path, format, FAILS, LIES)
    (tmp_path / "p.turns.jsonl").unlink()
    assert collab("report", tmp_path / "p.jsonl").exit_code == 0
    result = apply(tmp_path, (pair_id_of(tmp_path / "p.jsonl", 1), "flip", "Ada"))
    assert result.exit_code == 0, result.output
    [before], [after] = rows_of(tmp_path / "p.jsonl"), rows_of(tmp_path / "r.jsonl")
    assert (after["chosen"], after["rejected"]) == (before["rejected"], before["chosen"])
    [turn] = rows_of(tmp_path / "r.turns.jsonl")
    assert [message["role"] for message in turn["history"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]


def test_a_side_is_the_same_however_its_arguments_are_written():
    [call] = called("cancel", '{"order": 5, "why": "late"}')["tool_calls"]
    same = {"name": "cancel", "arguments": {"why": "late", "order": 5}}
    assert fields.deeds(
        [{"role": "assistant", "content": None, "tool_calls": [{**call, "id": None, "function": same}]}]
    )
    spellings = ['{"order": 5, "why": "late"}', '{"why":"late","order":5}', same["arguments"]]
    deeds = {fields.deeds([called("cancel", arguments)]) for arguments in spellings}
    assert len(deeds) == 1
    assert fields.deeds([called("cancel", '{"order": "5", "why": "late"}')]) not in deeds
    assert fields.deeds([called("cancel", "")]) == fields.deeds([called("cancel", {})]), "no arguments are none"


@pytest.mark.parametrize(
    ("schema", "command"), [("collab/score/v1", "score"), ("collab/scored-turn/v1", "export-prefs")]
)
def test_a_file_of_an_earlier_version_is_refused_in_a_line_that_says_what_to_do(tmp_path, schema, command):
    write_rows(tmp_path / "p.jsonl", [{"prompt": "hi", "chosen": "yes", "rejected": "no"}])
    name = "p.turns.jsonl" if command == "export-prefs" else "s.jsonl"
    write_rows(tmp_path / name, [{"schema": schema, "conversation_id": "c", "turn": 0, "response": "yes"}])
    commands = [["report", tmp_path / name]]
    if command == "export-prefs":
        decisions = decided(tmp_path / "d.json", ("feed", "keep", "Ada"))
        commands.append(["report", "--apply", decisions, tmp_path / "p.jsonl", "-o", tmp_path / "r.jsonl"])
    for arguments in commands:
        result = collab(*arguments)
        assert result.exit_code == 1
        assert f"{name}:1: a row of {schema}, in which responses are text without calls" in result.stderr
        assert f"run collab {command} again" in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_metric_of_some_conversations_has_its_part_in_the_mean_margin():
    from collab_sdk.report.pair_statistics import PairStatistics
    from collab_sdk.report.turns import conversations_of

    plain = tool_turn(conversation_id="no tools", pair={**tool_turn()["pair"], "margin": 1.0})
    for candidate in plain["candidates"]:
        del candidate["metrics"]["grounded"]
    statistics = PairStatistics()
    for chat in conversations_of([tool_turn(), plain]):
        statistics.add(chat)
    [plot] = [plot for plot in statistics.overview({}).plots if plot.title == "What the margin is made of"]
    assert plot.caption.startswith("goal +1.00 (67\xa0%), grounded +0.50 (33\xa0%)")
    [table] = [table for table in statistics.overview({}).tables if table.title == "Chosen and rejected"]
    assert ("calls of tools, mean", "1.00", "0.00") in table.rows


def test_the_confidence_of_pairs_says_how_many_are_in_the_wrong_order():
    from collab_sdk.report.pair_statistics import PairStatistics
    from collab_sdk.report.turns import conversations_of

    sure, silent = (
        tool_turn(conversation_id=str(place), pair={**tool_turn()["pair"], "margin": 1.0, **known})
        for place, known in enumerate(({"confidence": 0.9}, {}))
    )
    for turns, said_of_order in (([sure] * 20, ["By their confidence, about 2 of 20 pairs"]), ([silent] * 20, [])):
        statistics = PairStatistics()
        for chat in conversations_of(turns):
            statistics.add(chat)
        overview = statistics.overview({})
        found = [remark.text.partition(" may be in")[0] for remark in overview.remarks if "wrong order" in remark.text]
        assert found == said_of_order
        assert ("Margin and confidence" in [plot.title for plot in overview.plots]) is bool(said_of_order)


def test_the_mean_of_few_rewards_is_a_number_and_no_count():
    from collab_sdk.report.score_statistics import ScoreStatistics
    from collab_sdk.report.turns import conversations_of

    turns = [tool_turn(conversation_id=str(place)) for place in range(3)]
    for turn, reward in zip(turns, (1.0, 1.0, 0.0), strict=True):
        turn["candidates"][0] |= {"mr": reward, "metrics": {"goal": reward}}
    statistics = ScoreStatistics()
    for chat in conversations_of(turns):
        statistics.add(chat)
    overview = statistics.overview({})
    assert overview.plots[0].caption == "Mean 0.67 (n=3); 3 turns."
    assert overview.tables[0].rows == (("goal", "0.67 (n=3)", "3"),)


def test_an_evaluation_shows_counts_where_there_is_no_interval_and_warns_of_many_figures():
    from collab_sdk.report.comparison_overviews import evaluation_overview
    from collab_sdk.stats import estimate_amount, estimate_difference, estimate_mean

    def figure(name, n):
        wins = [[(0, 1)]] * (n - 1) + [[(1, 1)]]
        return {
            "name": name,
            "means": [estimate_mean([[pair[side]] for [pair] in wins]).to_dict() for side in (0, 1)],
            "differences": [estimate_difference(wins).to_dict()],
        }

    row = {"task": "logs", "bots": ["a", "b"], "figures": [figure("few", 5), figure("many", 30)], "results": []}
    row["figures"].append({"name": "broken", "means": [estimate_amount([[float("inf")]]).to_dict()]})
    [table] = evaluation_overview(row).tables
    assert table.rows[0] == ("few", "1 of 5", "5 of 5", "+0.800 (4 up, 0 down of 5)")
    assert table.rows[1][2] == "1.000 [0.886, 1.000]"
    assert table.rows[2] == ("broken", "- (not finite, n=1)")
    assert "of 3 such, about 1 will miss by chance" in table.note


@pytest.mark.parametrize(
    ("low", "mean", "high", "claim", "mood"),
    [
        (0.20, 0.26, 0.32, "are more typical of their place than what real users write there", "look"),
        (0.45, 0.50, 0.56, "fit the conversation as well as the real users', by this test", "good"),
        (0.61, 0.67, 0.73, "fit the conversation less well than the real users'", "look"),
    ],
)
def test_a_conditional_test_below_chance_is_a_difference_as_one_above_it(low, mean, high, claim, mood):
    from collab_sdk.report.comparison_overviews import check_overview

    fits = {"name": "fits, AUC", "simulated": {"mean": mean, "low": low, "high": high, "n": 100}}
    [remark] = check_overview({"figures": [fits]}).remarks
    assert remark.mood == mood
    assert remark.text.startswith(f"Simulated replies {claim}")
    assert f"{mean:.2f} [{low:.2f}, {high:.2f}]" in remark.text


def test_a_flipped_row_has_its_scores_with_its_sides(tmp_path):
    exported(tmp_path)
    [first, *_] = pairs_of(tmp_path)
    assert apply(tmp_path, (pair_id(first), "flip", "Ada")).exit_code == 0
    before, after = rows_of(tmp_path / "p.jsonl")[0], rows_of(tmp_path / "r.jsonl")[0]
    assert after["chosen"] == before["rejected"]
    assert after["score_chosen"] == before["score_rejected"]
    assert after["margin"] == -before["margin"]


def test_pairs_that_are_held_out_are_reviewed_too(tmp_path):
    exported(tmp_path, "--eval-fraction", "0.5")
    held_out = next(turn for turn in pairs_of(tmp_path) if turn["written_to"]["file"] == "p.eval.jsonl")
    result = apply(tmp_path, (pair_id(held_out), "drop", ""))
    assert result.exit_code == 0, result.output
    assert len(rows_of(tmp_path / "r.eval.jsonl")) == len(rows_of(tmp_path / "p.eval.jsonl")) - 1
    assert rows_of(tmp_path / "r.jsonl") == rows_of(tmp_path / "p.jsonl")


def test_a_public_preference_file_is_reported_on_and_reviewed_without_a_sidecar(tmp_path):
    exported(tmp_path, "--format", "openai")
    (tmp_path / "p.turns.jsonl").unlink()
    assert collab("report", tmp_path / "p.jsonl").exit_code == 0
    page = (tmp_path / "p.html").read_text()
    assert "#review" in page
    ids = [pair_id_of(tmp_path / "p.jsonl", number) for number in (1, 2)]
    result = apply(tmp_path, (ids[0], "drop", "Ada"), (ids[1], "flip", "Ada"))
    assert result.exit_code == 0, result.output
    before, after = rows_of(tmp_path / "p.jsonl"), rows_of(tmp_path / "r.jsonl")
    assert after[0]["preferred_output"] == before[1]["non_preferred_output"]
    assert after[1:] == before[2:]


def pair_id_of(path, number):
    from collab_sdk.report.pair_rows import turn_of_pair

    return pair_id(turn_of_pair(rows_of(path)[number - 1], number))


def test_decisions_that_fit_nothing_are_one_line(tmp_path):
    exported(tmp_path)
    [first, *_] = pairs_of(tmp_path)
    result = apply(tmp_path, (pair_id(first), "keep", "Ada"), ("feed" * 4, "drop", "Ada"))
    assert result.exit_code == 3
    assert "1 of the pairs decided on are not in p.jsonl: feedfeedfeedfeed" in result.stderr
    decided(tmp_path / "other.json", ("feed" * 4, "drop", "Ada"), of="other.jsonl")
    (tmp_path / "r.jsonl").unlink()
    result = collab("report", "--apply", tmp_path / "other.json", tmp_path / "p.jsonl", "-o", tmp_path / "r.jsonl")
    assert result.exit_code == 1
    assert "none of the 1 pairs decided on (they are of other.jsonl) is in it" in result.stderr
    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "no decisions: expected the file that the report page saved"),
        ('{"schema":"collab/decisions/v1","decisions":[]}', "nothing was decided"),
        ('{"schema":"collab/decisions/v1","decisions":[{"decision":"keep"}]}', "decision 1: it names no pair"),
        ('{"schema":"collab/decisions/v1","decisions":[{"pair":"a","decision":"kep"}]}', "Did you mean 'keep'?"),
        (
            '{"schema":"collab/decisions/v1","decisions":[{"pair":"a","decision":"keep"},{"pair":"a","decision":"drop"}]}',
            "a is to be keep and drop",
        ),
    ],
)
def test_a_file_of_decisions_that_is_none_is_one_line(tmp_path, text, said):
    exported(tmp_path)
    (tmp_path / "d.json").write_text(text)
    result = collab("report", "--apply", tmp_path / "d.json", tmp_path / "p.jsonl", "-o", tmp_path / "r.jsonl")
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "r.jsonl").exists()


def test_files_that_belong_to_different_exports_are_not_mixed(tmp_path):
    exported(tmp_path)
    [first, *_] = pairs_of(tmp_path)
    rows = rows_of(tmp_path / "p.jsonl")
    write_rows(tmp_path / "p.jsonl", rows[1:])
    result = apply(tmp_path, (pair_id(first), "keep", "Ada"))
    assert result.exit_code == 1
    assert "p.jsonl: line 1 is not the pair that p.turns.jsonl has there" in result.stderr


def test_nothing_that_is_read_is_replaced(tmp_path):
    path = exported(tmp_path)
    before = path.read_bytes()
    [first, *_] = pairs_of(tmp_path)
    decisions = decided(tmp_path / "d.json", (pair_id(first), "keep", "Ada"))
    for command in (["report", path, "-o", path], ["report", "--apply", decisions, path, "-o", path]):
        result = collab(*command)
        assert result.exit_code == 2
        assert "would be replaced" in result.stderr
    assert collab("report", "--apply", decisions, path).exit_code == 2, "it is not said where to"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        ("", "the file is empty"),
        ("words\n", "not a chat log"),
        ('{"a": 1}\n', "no report can be made of rows with 'a'"),
        ('{"messages": [{"role": "user", "content": "hi"}]}\n', "no report can be made of rows with 'messages'"),
    ],
)
def test_what_is_no_file_of_ours_is_one_line(tmp_path, content, said):
    if content is not None:
        (tmp_path / "x.jsonl").write_text(content)
    result = collab("report", tmp_path / "x.jsonl")
    assert result.exit_code == 1
    assert said in result.stderr.splitlines()[-1] or said in result.stderr
    assert not (tmp_path / "x.html").exists()


def test_the_same_file_gives_the_same_page(tmp_path):
    path = exported(tmp_path)
    for name in ("a.html", "b.html"):
        write_report(path, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_page_names_no_address_but_its_own(tmp_path):
    write_report(exported(tmp_path), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    allowed = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")
    for address in allowed:
        page = page.replace(address, "")
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page


def test_without_the_extra_the_command_to_get_it_is_named(tmp_path, monkeypatch):
    path = exported(tmp_path)
    monkeypatch.setattr("collab_sdk.report.page.page.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'collab-sdk\[report\]'"):
        write_report(path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    demo = collab("demo", "-o", tmp_path / "demo")
    assert demo.exit_code == 0
    assert demo.stdout.splitlines()[-1].startswith("For a page to look at: pip install 'collab-sdk[report]'")


def test_the_demo_ends_by_naming_its_report(tmp_path):
    result = collab("demo", "-o", tmp_path / "demo")
    assert result.stdout.splitlines()[-1] == f"Report: {tmp_path / 'demo' / 'report.html'} (open it in a browser)"
    assert (tmp_path / "demo" / "report.html").read_text().startswith("<!doctype html>")


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = "conversation_id turn goal history candidates lost pair refused written_to made_with review response mr".split()
PARTS = st.dictionaries(st.sampled_from(NAMES), ANY_JSON, max_size=8)


@given(rows=st.lists(PARTS, min_size=1, max_size=4))
def test_odd_rows_of_turns_still_make_conversations(rows):
    from collab_sdk.report.index import Index
    from collab_sdk.report.pair_statistics import PairStatistics
    from collab_sdk.report.turns import conversations_of

    index, statistics = Index(kind="pairs"), PairStatistics()
    for chat in conversations_of(rows):
        index.add(chat, block=0)
        statistics.add(chat)
        json.dumps(chat, allow_nan=False)
    assert sum(line["turns"] for line in index.lines) == len(rows)


@given(value=ANY_JSON)
def test_json_in_a_script_element_ends_no_element(value):
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


@pytest.mark.parametrize("value", [10**400, -1e300, float("nan"), float("inf"), True, "1", None])
def test_what_is_no_measure_is_as_good_as_absent(value):
    assert fields.number(value) is None


@given(value=ANY_JSON)
def test_fields_take_any_json(value):
    assert isinstance(fields.text(value), str)
    assert fields.count(value) >= 0
    assert isinstance(fields.messages(value), list)
    assert isinstance(list(fields.futures(value)), list)


def test_a_decision_without_a_sidecar_is_told_from_what_led_to_it(tmp_path):
    led = [said("order 5?", "user"), called("look_up", '{"order": 5}'), came_back("SHIPPED")]
    row = {"chosen": [*led, said("It has shipped.")], "rejected": [*led, said("It is lost.")]}
    write_rows(tmp_path / "p.jsonl", [row])
    result = apply(tmp_path, (pair_id_of(tmp_path / "p.jsonl", 1), "flip", "Ada"))
    assert result.exit_code == 0, result.output
    [turn] = rows_of(tmp_path / "r.turns.jsonl")
    assert [message["role"] for message in turn["history"]] == ["user", "assistant", "tool"]
    assert [len(side["messages"]) for side in turn["candidates"]] == [1, 1]
    [chat] = read_conversations([tmp_path / "p.jsonl"])
    [*_, decision] = chat.decisions()
    assert decision.history == as_messages(led)
    assert [fields.said([message.to_dict() for message in other]) for other in decision.alternatives] == ["It is lost."]


@pytest.mark.parametrize(
    ("reviewed", "flipped", "said_of_it"),
    [
        (19, 3, "19 decisions to keep or flip; 1 more to see how often MR agrees with the reviewer."),
        (20, 3, "MR's order is the reviewer's in 85\xa0% [64, 95] of 20 pairs kept or flipped."),
        (20, 10, "MR's order is the reviewer's in 50\xa0% [30, 70] of 20 pairs kept or flipped. That may be chance."),
    ],
)
def test_from_twenty_decisions_on_the_overview_says_how_often_mr_agrees_by_margin(reviewed, flipped, said_of_it):
    from collab_sdk.report.pair_statistics import PairStatistics
    from collab_sdk.report.turns import conversations_of

    statistics = PairStatistics()
    for place in range(reviewed + 1):
        decision = "drop" if place == reviewed else "flip" if place < flipped else "keep"
        margin = (-1 if decision == "flip" else 1) * (place + 1) / 10
        turn = tool_turn(conversation_id=str(place), pair={**tool_turn()["pair"], "margin": margin})
        [chat] = conversations_of([{**turn, "review": {"decision": decision, "by": "Ada"}}])
        statistics.add(chat)
    overview = statistics.overview({})
    assert [remark.text for remark in overview.remarks if "reviewer" in remark.text] == [said_of_it]
    tables = [table.rows for table in overview.tables if table.title == "MR beside the reviewer"]
    if reviewed < 20:
        assert not tables
    elif flipped == 3:
        small, middle, large = ("small (to 0.60)", "3 of 6", "6"), ("mid (to 1.30)", "7 of 7", "7"), "large (to 2.00)"
        assert tables == [(("all", "85\xa0% [64, 95]", "20"), small, middle, (large, "7 of 7", "7"))]


def test_scores_of_a_file_that_does_not_say_what_made_them_are_not_called_mr(tmp_path):
    rows = [
        {"prompt": [said(f"{place}?", "user")], "chosen": [said("a")], "rejected": [said("b")]}
        | {"score_chosen": 9.0, "score_rejected": 2.0}
        for place in range(20)
    ]
    write_rows(tmp_path / "p.jsonl", rows)
    result = apply(tmp_path, *((pair_id_of(tmp_path / "p.jsonl", place), "keep", "Ada") for place in range(1, 21)))
    assert "The score's order is the reviewer's in 100\xa0% [84, 100] of 20 pairs kept or flipped." in result.stderr
    for name in ("p", "r"):
        write_report(tmp_path / f"{name}.jsonl", tmp_path / f"{name}.html")
        page = (tmp_path / f"{name}.html").read_text()
        assert '"Worst reply first (lowest score)"' in page
        assert "Score of candidates" in page
        assert "Score, mean" in page
        assert "MR of candidates" not in page
    assert "The score&#39;s order is the reviewer&#39;s" in page
    assert "score and reviewer agree" in page


def test_applying_decisions_says_how_often_mr_agrees(tmp_path):
    turns = [
        tool_turn(conversation_id=f"c{place}", written_to={"file": "p.jsonl", "line": place}) for place in range(1, 21)
    ]
    rows = [
        {"prompt": turn["history"], **{side: turn["pair"][side] for side in ("chosen", "rejected")}} for turn in turns
    ]
    write_rows(tmp_path / "p.jsonl", rows)
    write_rows(tmp_path / "p.turns.jsonl", turns)
    verdicts = ["flip"] * 2 + ["keep"] * 18
    result = apply(tmp_path, *((pair_id(turn), verdict, "Ada") for turn, verdict in zip(turns, verdicts, strict=True)))
    assert result.exit_code == 0, result.output
    assert "MR's order is the reviewer's in 90\xa0% [70, 98] of 20 pairs kept or flipped." in result.stderr


def test_lost_futures_are_counted_by_side_and_with_what_they_could_change():
    from collab_sdk.report.pair_statistics import PairStatistics
    from collab_sdk.report.turns import conversations_of

    turn = tool_turn()
    turn["candidates"][0] |= {"n": 3, "n_ok": 1, "bounds": [1.2, 2.0]}
    [chat] = conversations_of([turn])
    assert chat["turns"][0]["candidates"][0]["bounds"] == [1.2, 2.0]
    statistics = PairStatistics()
    statistics.add(chat)
    overview = statistics.overview({})
    assert "2 of 4 futures (50\xa0%) were lost and are in no score." in [remark.text for remark in overview.remarks]
    [table] = [table for table in overview.tables if table.title == "Chosen and rejected"]
    assert ("futures lost", "2 of 3", "0 of 1") in table.rows


@pytest.mark.parametrize("values", [[1.18] * 3, [1.18, 1.18 + 1e-9], [0.0], [-2500, 3, 40000], [1e12, 1e12]])
def test_labels_of_ticks_differ_and_hide_no_offset(values):
    svg = histogram({"turns": ("accent", values)}, x="MR")
    labels = re.findall(r"<text[^>]*>([^<]+)</text>", svg)
    numbers = labels[: labels.index("MR")]
    assert numbers
    assert len(set(numbers)) == len(numbers)
    assert len(numbers) == 1 or max(values) - min(values) > 1e-6
    assert not [label for label in labels if label.startswith("+") or "1e−" in label], "an offset beside the axis"
