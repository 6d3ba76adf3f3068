"""What the fine-tuner reads, and what it holds out."""

import gzip
import json
from pathlib import Path

import pytest
from support.fakes import says as reply
from support.training import ASKS, GUESSES, pair, prepared, request, write_base, write_pairs, write_rows

from collab_sdk import MRScore, PreferencePair
from collab_sdk.errors import InputError
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


def turns(number: int, **fields: object) -> list[dict]:
    """Two pairs of one conversation."""
    later = [user(number), says(ASKS), {"role": "user", "content": "large"}]
    return [pair(number, **fields), pair(number, prompt=later, turn=1, **fields)]


@pytest.mark.parametrize("with_ids", [True, False])
def test_the_turns_of_a_conversation_are_held_out_together(base, tmp_path, with_ids):
    rows = [row for number in range(40) for row in turns(number)]
    if not with_ids:
        rows = [{key: value for key, value in row.items() if key != "conversation_id"} for row in rows]
    preflight = prepared(write_rows(tmp_path / "prefs.jsonl", rows), base, tmp_path / "out").preflight
    trained_on = len(preflight.trained_on)
    assert 0 < trained_on < preflight.conversations == 40
    assert preflight.examples == 2 * trained_on
    assert preflight.held_out == 2 * (40 - trained_on)


def test_what_is_held_out_does_not_change_when_chats_are_added(base, tmp_path):
    before = prepared(write_pairs(tmp_path / "less.jsonl", 20), base, tmp_path / "out")
    after = prepared(write_pairs(tmp_path / "more.jsonl", 40), base, tmp_path / "out")
    few, many = before.preflight.trained_on, after.preflight.trained_on
    assert few < many
    held_out = {pair(number)["conversation_id"] for number in range(20)} - few
    assert held_out
    assert not held_out & many


def test_a_file_that_export_prefs_held_out_is_used_as_such(base, tmp_path):
    data = write_pairs(tmp_path / "prefs.jsonl", 20)
    write_rows(tmp_path / "prefs.eval.jsonl", [pair(number) for number in range(20, 25)])
    preflight = prepared(data, base, tmp_path / "out").preflight
    assert (preflight.examples, preflight.held_out) == (20, 5)
    write_rows(tmp_path / "prefs.eval.jsonl", [pair(3)])
    with pytest.raises(InputError, match=r"1 conversations are in prefs\.jsonl too"):
        prepared(data, base, tmp_path / "out")


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
