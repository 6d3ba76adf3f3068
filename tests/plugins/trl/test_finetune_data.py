"""What the fine-tuner reads."""

import gzip
import json
from pathlib import Path

import pytest
from support.fakes import says as reply
from support.training import ASKS, GUESSES, pair, prepared, request, write_base, write_pairs, write_rows

from collab_sdk import MRScore, PreferencePair
from collab_sdk.logs import get_preference_format, preference_format_names
from collab_sdk.messages import as_messages


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


def user(number: int) -> dict[str, str]:
    return {"role": "user", "content": request(number)}


def says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


PAIRS = {
    "openai": lambda n: {
        "input": {"messages": [user(n)], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [says(ASKS)],
        "non_preferred_output": [says(GUESSES)],
    },
    "prompt within": lambda n: {"chosen": [user(n), says(ASKS)], "rejected": [user(n), says(GUESSES)]},
    "prompt twice": lambda n: {
        "prompt": request(n),
        "chosen": [user(n), says(ASKS)],
        "rejected": [user(n), says(GUESSES)],
    },
    "plain text": lambda n: {"prompt": request(n), "chosen": ASKS, "rejected": GUESSES},
    "with what the model thought": lambda n: {
        "prompt": request(n),
        "chosen": f"<think>\nhm\n</think>\n\n{ASKS}",
        "rejected": [says(GUESSES) | {"reasoning_content": "hm"}],
    },
}


@pytest.mark.parametrize("form", PAIRS.values(), ids=PAIRS)
def test_every_format_of_pairs_gives_the_same_example(base, tmp_path, form):
    ours = prepared(write_pairs(tmp_path / "ours.jsonl"), base, tmp_path / "out", eval_fraction=0.0).preflight
    data = write_rows(tmp_path / "theirs.jsonl", [form(number) for number in range(40)])
    theirs = prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight
    assert (theirs.examples, theirs.lengths, theirs.rendered) == (ours.examples, ours.lengths, ours.rendered)


def scored_pair(number: int) -> PreferencePair:
    """As the exporter holds it, from a conversation of several turns."""
    turns = [user(number), says("Sure, what else?"), {"role": "user", "content": "make it large"}]
    chosen, rejected = (MRScore(response=reply(text), futures=(), value=1.0, stderr=0.1) for text in (ASKS, GUESSES))
    prompt = as_messages(turns)
    return PreferencePair(conversation_id=f"chat-{number}", turn=1, prompt=prompt, chosen=chosen, rejected=rejected)


@pytest.mark.parametrize("name", preference_format_names())
def test_every_format_that_is_exported_is_read(base, tmp_path, name):
    rows = [row for number in range(4) for row in get_preference_format(name).rows(scored_pair(number))]
    data = write_rows(tmp_path / "prefs.jsonl", rows)
    method = name if name in ("sft", "kto") else "dpo"
    preflight = prepared(data, base, tmp_path / "out", method=method, eval_fraction=0.0).preflight
    assert preflight.examples == (8 if method == "kto" else 4)
    assert not preflight.faults
    prompt, counted = preflight.rendered[0]
    assert not counted
    assert prompt.count("<|im_start|>user") == 2
    assert "Sure, what else?" in prompt
    assert ASKS in preflight.rendered[1][0]


DECAF = {"role": "system", "content": "Only sell decaf."}
BEFORE = [{"role": "user", "content": "hello"}, says("hi, who is it?")]
TOOL = {"name": "brew", "parameters": {"type": "object"}}
TWICE = {"chosen": [user(0), says(ASKS)], "rejected": [user(0), says(GUESSES)]}
ASKED = {
    "completions repeat the end of the prompt": ({**TWICE, "prompt": [DECAF, user(0)]}, [DECAF, user(0)]),
    "completions repeat more than the prompt": (
        {side: [DECAF, *messages] for side, messages in TWICE.items()} | {"prompt": request(0)},
        [DECAF, user(0)],
    ),
    "a whole chat in place of the prompt": ({**TWICE, "messages": TWICE["chosen"]}, [user(0)]),
    "system in a field": (pair(0, prompt=request(0), system=DECAF["content"]), [DECAF, user(0)]),
    "system twice": (pair(0, prompt=[DECAF, user(0)], system="Only  sell decaf. "), [DECAF, user(0)]),
    "history in pairs": (
        pair(0, prompt=request(0), history=[["hello", "hi, who is it?"]], system=DECAF["content"]),
        [DECAF, *BEFORE, user(0)],
    ),
    "history twice": (pair(0, prompt=[*BEFORE, user(0)], history=BEFORE), [*BEFORE, user(0)]),
    "nothing in these fields": (pair(0, system="", history=[], functions=None), [user(0)]),
}


@pytest.mark.parametrize(("row", "prompt"), ASKED.values(), ids=ASKED)
def test_all_that_a_row_asks_with_is_in_the_prompt_whatever_field_it_is_in(tmp_path, row, prompt):
    example = read(tmp_path, row)
    assert list(example.prompt) == prompt
    assert (example.chosen, example.rejected) == ((says(ASKS),), (says(GUESSES),))


def test_functions_are_tools(tmp_path):
    assert read(tmp_path, pair(0, functions=[TOOL])).tools == ({"type": "function", "function": TOOL},)


LOOK = {"name": "look", "arguments": '{"a": 1}'}


def calls_of(*functions):
    calls = [{"id": f"call{n:05d}", "type": "function", "function": each} for n, each in enumerate(functions, 1)]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def test_calls_and_refusals_of_older_and_other_fields_are_in_the_prompt(tmp_path):
    called = [
        {"role": "assistant", "content": None, "function_call": LOOK},
        {"role": "function", "name": "look", "content": "open 17"},
    ]
    refused = {"role": "assistant", "content": None, "refusal": "I cannot do it."}
    prompt = read(tmp_path, pair(0, prompt=[user(1), *called, user(2), refused, user(0)])).prompt
    result = {"role": "tool", "name": "look", "content": "open 17", "tool_call_id": "call00001"}
    assert list(prompt) == [user(1), calls_of(LOOK), result, user(2), says("I cannot do it."), user(0)]
    [call, answer, _] = read(tmp_path, pair(0, chosen=[*called, says("Open.")])).chosen
    assert call["tool_calls"][0]["function"] == LOOK
    assert call["tool_calls"][0]["id"] == answer["tool_call_id"]


REFUSED = {
    **{
        f"arguments that are {arguments!r}": (
            pair(0, chosen=[calls_of({"name": "look", "arguments": arguments})]),
            "the arguments of a call in a reply are no JSON object",
        )
        for arguments in ("not json", None, "[1]", '"x"', [1])
    },
    "a function that nobody called": (
        pair(0, prompt=[user(1), {"role": "function", "name": "look", "content": "17"}, user(0)]),
        "a function message has no call before it",
    ),
    "two kinds of calls": (
        pair(0, chosen=[calls_of(LOOK) | {"function_call": LOOK}]),
        "function_call must be an object with name and arguments, and alone",
    ),
    "content and a refusal": (pair(0, chosen=[says(ASKS) | {"refusal": "No."}]), "a refusal must be text, without"),
    "speech alone": (
        pair(0, prompt=[user(1), {"role": "assistant", "content": None, "audio": {"id": "a"}}, user(0)]),
        "an assistant message has no content, and its audio is not read",
    ),
    "another prompt than is repeated": (
        {**TWICE, "prompt": [DECAF, user(1)]},
        "the prompt is another one than chosen and rejected begin with",
    ),
    "another system prompt than is repeated": (
        {side: [DECAF, *messages] for side, messages in TWICE.items()}
        | {"prompt": [{"role": "system", "content": "Sell anything."}, user(0)]},
        "the prompt is another one than chosen and rejected begin with",
    ),
    "two system prompts": (
        pair(0, prompt=[DECAF, user(0)], system="Sell anything."),
        "system is another one than the prompt's system message",
    ),
    "a system prompt that is no text": (pair(0, system=["Sell"]), "system must be text"),
    "history as text": (pair(0, history="hello"), "history must be a list of messages"),
    "two histories": (pair(0, prompt=[says("?"), user(0)], history=BEFORE), "history is not what the prompt begins"),
    "tools and functions": (pair(0, tools=[TOOL], functions=[TOOL]), "tools and functions in one row"),
    "a weight of 0": (pair(0, chosen=[says(ASKS) | {"weight": 0}]), "a reply has a weight of 0"),
}


@pytest.mark.parametrize(("row", "said"), REFUSED.values(), ids=REFUSED)
def test_a_row_of_which_not_all_would_be_learnt_is_refused_with_its_line(base, tmp_path, row, said):
    data = write_rows(tmp_path / "rows.jsonl", [pair(1), row])
    [fault] = prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight.faults
    assert fault.problem.startswith(said)
    assert fault.places == ("rows.jsonl:2",)


def read(tmp_path, row):
    """The example in a file of one row."""
    from collab_trl.preference.examples import read_examples

    [example] = read_examples(write_rows(tmp_path / "row.jsonl", [row]), method="dpo", eval_fraction=0.0).train
    return example


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [user(0), says(ASKS)]},
        {"prompt": [user(0)], "completion": [says(ASKS)]},
        {"prompt": request(0), "completion": ASKS},
        pair(0),
    ],
    ids=["messages", "completion", "text", "pair"],
)
def test_sft_reads_replies_with_or_without_a_worse_one(base, tmp_path, row):
    data = write_rows(tmp_path / "rows.jsonl", [row])
    preflight = prepared(data, base, tmp_path / "out", method="sft", eval_fraction=0.0).preflight
    assert [text.strip() for text, counted in preflight.rendered if counted] == [f"{ASKS}<|im_end|>"]


def test_a_pair_is_a_good_and_a_bad_reply_for_kto(base, tmp_path):
    data = write_pairs(tmp_path / "prefs.jsonl")
    preflight = prepared(data, base, tmp_path / "out", method="kto", eval_fraction=0.0).preflight
    assert (preflight.examples, preflight.conversations) == (80, 40)


def test_a_data_set_folder_is_read(base, tmp_path):
    from datasets import Dataset, DatasetDict

    rows = [pair(number) for number in range(40)]
    Dataset.from_list(rows).save_to_disk(tmp_path / "flat")
    DatasetDict({"train": Dataset.from_list(rows)}).save_to_disk(tmp_path / "split")
    for name in ("flat", "split"):
        assert prepared(tmp_path / name, base, tmp_path / "out", eval_fraction=0.0).preflight.examples == 40


def test_a_gzipped_file_is_read(base, tmp_path):
    data = write_pairs(tmp_path / "prefs.jsonl")
    zipped = tmp_path / "prefs.jsonl.gz"
    zipped.write_bytes(gzip.compress(data.read_bytes()))
    assert prepared(zipped, base, tmp_path / "out", eval_fraction=0.0).preflight.examples == 40


def test_tools_are_laid_out_by_the_template(base, tmp_path):
    template = (base / "chat_template.jinja").read_text()
    with_tools = write_base(tmp_path / "base")
    shown = "{% if tools %}{{ tools[0].function.name }}|{% endif %}"
    calls = "{% for m in messages if m.tool_calls %}{{ m.tool_calls | tojson }}{% endfor %}"
    (with_tools / "chat_template.jinja").write_text(shown + calls + template)
    tools = [{"name": "brew", "parameters": {"size": 1}}]  # as LLaMA-Factory writes them
    data = write_rows(tmp_path / "prefs.jsonl", [pair(0, tools=json.dumps(tools))])
    preflight = prepared(data, with_tools, tmp_path / "out", eval_fraction=0.0).preflight
    assert preflight.rendered[0][0].startswith("brew|")


def test_the_margin_of_a_row_is_the_one_that_it_says_and_not_the_difference_of_its_scores(base, tmp_path):
    data = write_rows(tmp_path / "prefs.jsonl", [pair(number, margin=0.25) for number in range(4)])
    preflight = prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight
    assert set(preflight.margins) == {0.25}


def test_a_file_may_be_one_json_array(base, tmp_path):
    data = tmp_path / "prefs.json"
    data.write_text(json.dumps([pair(number) for number in range(4)], indent=1))
    assert prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight.examples == 4


LOGGED = {
    "sharegpt": [{"from": "human", "value": request(0)}, {"from": "gpt", "value": ASKS}],
    "and the user goes on": [user(0), says(ASKS), {"role": "user", "content": "large"}],
}


@pytest.mark.parametrize("said", LOGGED.values(), ids=LOGGED)
def test_sft_learns_the_last_reply_of_a_logged_chat(base, tmp_path, said):
    data = write_rows(tmp_path / "chats.jsonl", [{"conversations" if "from" in said[0] else "conversation": said}])
    preflight = prepared(data, base, tmp_path / "out", method="sft", eval_fraction=0.0).preflight
    assert [text.strip() for text, counted in preflight.rendered if counted] == [f"{ASKS}<|im_end|>"]


@pytest.mark.parametrize(
    ("said", "margin"),
    [
        ({"margin": 0.5, "score_chosen": 3}, 0.5),
        ({"margin": True}, 1.5),
        ({"margin": "none"}, 1.5),
        ({"margin": "0.25"}, 0.25),
        ({"score_chosen": True}, None),
        ({"score_chosen": 10**400}, None),
        ({"score_rejected": None}, None),
    ],
)
def test_the_margin_of_a_row_is_read_the_same_for_training_and_in_the_report(base, tmp_path, said, margin):
    from collab_sdk.report.pair_rows import turn_of_pair

    row = pair(0, score_chosen=2.5, score_rejected=1.0) | said
    data = write_rows(tmp_path / "prefs.jsonl", [row])
    found = prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight.margins
    assert found == (() if margin is None else (margin,))
    assert turn_of_pair(row, 1)["pair"]["margin"] == margin


def test_a_margin_that_is_no_number_is_left_out(base, tmp_path):
    from datasets import Dataset

    Dataset.from_list([pair(n, score_chosen=float("nan")) for n in range(3)]).save_to_disk(tmp_path / "data")
    assert prepared(tmp_path / "data", base, tmp_path / "out", eval_fraction=0.0).preflight.margins == ()


def test_a_label_that_is_neither_true_nor_false_is_refused(base, tmp_path):
    rows = [
        {"prompt": request(n), "completion": ASKS, "label": label} for n, label in enumerate((True, 0, "bad", None))
    ]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    preflight = prepared(data, base, tmp_path / "out", method="kto", eval_fraction=0.0).preflight
    assert [fault.places for fault in preflight.faults] == [("rows.jsonl:3",), ("rows.jsonl:4",)]
