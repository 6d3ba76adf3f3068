"""Every preference format in the hands of those who train on it."""

import json
import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
from hypothesis import given, settings
from support.fakes import says
from support.tiny import knowing_tools, tiny_llama, tiny_tokenizer
from support.wild_pairs import wild_pairs

from collab_sdk.errors import OutputError
from collab_sdk.files import JsonlWriter, to_json
from collab_sdk.logs import get_preference_format, preference_format_names
from collab_sdk.messages import as_messages
from collab_sdk.preferences.files import ExportFiles
from collab_sdk.preferences.report import ScoredConversation, ScoredTurn
from collab_sdk.types import Conversation, Goal, MRScore, PreferencePair, Turn

ROOT = Path(__file__).parents[3]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
PROMPTS = [
    [{"role": "user", "content": "hi"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "Where?"},
        {"role": "user", "content": "in Rome"},
    ],
    [
        {"role": "assistant", "content": "Welcome! How can I help?"},
        {"role": "user", "content": "hello"},
        {"role": "user", "content": "weather in Rome?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "thanks"},
    ],
]


ORDER = {"id": "c2", "type": "function", "function": {"name": "order", "arguments": '{"n": 1, "to": {"go": true}}'}}
DEEDS = [
    [
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
        {"role": "assistant", "content": "What do you need?"},
    ],
    [{"role": "assistant", "content": "", "tool_calls": [ORDER]}],
]
"""A turn, and a decision."""


def pair(number: int) -> PreferencePair:
    """From the seventh on the better response is a call, or holds one."""

    def score(text: str, value: float) -> MRScore:
        response = as_messages(DEEDS[number % 2]) if number >= 6 and value > 0.5 else says(text)
        return MRScore(response=response, futures=(), value=value, stderr=None)

    return PreferencePair(
        conversation_id=f"chat-{number}",
        turn=number,
        prompt=as_messages(PROMPTS[number % 3]),
        chosen=score("What do you need?", 0.75),
        rejected=score(f"Here you are, guest {number}.", 0.5),
        tools=(TOOL,) if number % 3 == 2 or number >= 6 else (),
    )


def export(folder: Path, format: str, *, pairs: int = 6, name: str = "prefs.jsonl", eval_fraction: float = 0.0) -> Path:
    with ExportFiles(folder / name, format=format, eval_fraction=eval_fraction) as files:
        for one in map(pair, range(pairs)):
            turn = Turn(index=one.turn, history=one.prompt, response=says("x"))
            scored = ScoredConversation(goal=Goal(text="g"), turns=(ScoredTurn(turn=turn, pair=one),))
            files.write(Conversation(id=one.conversation_id, messages=one.prompt), scored)
    return folder / name


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# TRL


@pytest.fixture(scope="module")
def tokenizer():
    texts = (message["content"] for prompt in PROMPTS for message in prompt)
    return knowing_tools(tiny_tokenizer([*texts, json.dumps([TOOL, CALL, ORDER])]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # transformers and TRL, of their own settings
@pytest.mark.parametrize(
    ("format", "trainer"),
    [
        ("trl", "DPO"),
        ("trl-implicit", "DPO"),
        ("ultrafeedback", "DPO"),
        ("kto", "KTO"),
        ("sft", "SFT"),
        ("trl", "Reward"),
        ("trl-implicit", "Reward"),
        ("ultrafeedback", "Reward"),
    ],
)
def test_trl_prepares_every_row_as_it_is(format, trainer, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import trl
    from datasets import load_dataset
    from peft import LoraConfig

    path = export(tmp_path, format, pairs=9)
    dataset = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "hf"))
    if format == "ultrafeedback":  # whose prompt is text, which TRL takes beside sides of text only
        dataset = dataset.remove_columns(["prompt", "messages"])
    options = {"loss_type": "apo_zero_unpaired"} if trainer == "KTO" else {}
    settings = getattr(trl, f"{trainer}Config")(
        output_dir=str(tmp_path / "run"),
        use_cpu=True,
        bf16=False,
        report_to="none",
        per_device_train_batch_size=2,
        **options,
    )
    model = tiny_reward_model(tokenizer) if trainer == "Reward" else tiny_llama(tokenizer)
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="SEQ_CLS" if trainer == "Reward" else "CAUSAL_LM")
    made = getattr(trl, f"{trainer}Trainer")(
        model, args=settings, train_dataset=dataset, processing_class=tokenizer, peft_config=lora
    )
    assert len(made.train_dataset) == len(rows_of(path))
    assert_learnt_alike(made.train_dataset, path, tokenizer)
    batch = next(iter(made.get_train_dataloader()))
    assert "margin" not in batch or format == "trl"
    shown = [tokenizer.decode(ids) for key in batch if key.endswith("input_ids") for ids in batch[key]]
    assert any("What do you need?" in text or "Here you are." in text for text in shown)


def assert_learnt_alike(dataset, path, tokenizer):
    """TRL makes the tokens of the rows that `collab finetune` makes of them."""
    from collab_trl.hf.chat_format import ChatFormat
    from collab_trl.preference.row_formats import read_example
    from collab_trl.preference.tokens import Layout

    layout = Layout(tokenizer, ChatFormat(tokenizer, ends=[], folder=path.parent))
    examples = [layout.tokenize(read_example(row, "here")) for row in rows_of(path)]
    for made, ours in zip(dataset, examples, strict=True):
        completion = ours.chosen if ours.chosen else ours.rejected
        wholes = {"prompt_ids": ours.prompt, "completion_ids": completion.ids, "rejected_ids": ours.rejected.ids}
        wholes["input_ids"] = ours.prompt + completion.ids
        wholes["chosen_ids"] = ours.chosen.ids if "prompt_ids" in made else wholes["input_ids"]
        if "prompt_ids" not in made:
            wholes["rejected_ids"] = ours.prompt + ours.rejected.ids
        found = {name: made[name] for name in wholes if name in made}
        assert found
        assert found == {name: wholes[name] for name in found}


def tiny_reward_model(tokenizer):
    from transformers import LlamaForSequenceClassification

    config = tiny_llama(tokenizer).config
    config.num_labels = 1
    return LlamaForSequenceClassification(config)


# LLaMA-Factory (hiyouga/LLaMA-Factory ff6d4d1 and 0.9.5): SharegptDatasetConverter in data/converter.py skips a ranking
# row that it cannot align, FunctionFormatter in data/formatter.py reads calls, DefaultToolUtils in data/tool_utils.py
# the tools; an error of these ends the run.


LLAMA_FACTORY_INFO = {
    "file_name": "prefs.jsonl",
    "formatting": "sharegpt",
    "ranking": True,
    "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "tools": "tools"},
}


def converted(row: dict, info: dict) -> tuple[list[dict], str]:
    columns = info["columns"]
    messages, system = row[columns["messages"]], ""
    if messages and messages[0]["from"] == "system":
        system, messages = messages[0]["value"], messages[1:]
    for place, message in enumerate(messages):
        assert message["from"] in (("human", "observation"), ("gpt", "function_call"))[place % 2]
    assert len(messages) % 2 == 1
    sides = [row[columns["chosen"]], row[columns["rejected"]]]
    for side in sides:
        assert side["from"] in ("gpt", "function_call")
    for message in (*messages, *sides):
        assert isinstance(message["value"], str)
        if message["from"] == "function_call":
            assert_read_as_calls(message["value"])
    for tool in json.loads(row[columns["tools"]] or "[]"):
        assert isinstance(tool["name"], str)
        assert isinstance(tool["parameters"]["properties"], dict)
    return messages, system


def assert_read_as_calls(text: str) -> None:
    assert re.search("<tool_call>.*?</tool_call>|<think>.*?</think>", text, re.DOTALL) is None
    calls = json.loads(text)
    assert calls
    for call in calls:
        assert isinstance(call["name"], str)
        assert isinstance(call["arguments"], dict)


def test_llama_factory_finds_the_file_in_its_catalogue_and_takes_every_row(tmp_path):
    rows = rows_of(export(tmp_path, "llama-factory"))
    info = json.loads((tmp_path / "dataset_info.json").read_text())["prefs"]
    assert info == LLAMA_FACTORY_INFO
    plain, with_system, with_tools = [converted(row, info) for row in rows[:3]]
    assert plain == ([{"from": "human", "value": "hi"}], "")
    assert with_system[1] == "Be brief."
    greeting, welcome, request, call, result, *_ = with_tools[0]
    assert (greeting["value"], welcome["value"]) == ("", "Welcome! How can I help?")
    assert request["value"] == "hello\n\nweather in Rome?"
    assert json.loads(call["value"]) == [{"name": "weather", "arguments": {"city": "Rome"}}]
    assert result == {"from": "observation", "value": "rain"}
    assert json.loads(rows[2]["tools"]) == [TOOL["function"]]


def test_llama_factory_reads_calls_with_its_own_marks_in_them_and_tools_without_parameters():
    marked = {"q": "<tool_call>{}</tool_call><think>x</think>"}
    call = {**CALL, "function": {"name": "weather", "arguments": json.dumps(marked)}}
    response = as_messages([{"role": "assistant", "content": "", "tool_calls": [call]}])
    bare = {"type": "function", "function": {"name": "now"}}
    one = pair(0)
    one = replace(one, chosen=replace(one.chosen, response=response), tools=(bare,))
    [row] = get_preference_format("llama-factory").rows(one)
    converted(row, LLAMA_FACTORY_INFO)
    assert json.loads(row["chosen"]["value"]) == [{"name": "weather", "arguments": marked}]
    assert json.loads(row["tools"]) == [{"name": "now", "parameters": {"type": "object", "properties": {}}}]


def test_the_catalogue_keeps_what_is_in_it_and_has_the_held_out_file_too(tmp_path):
    (tmp_path / "dataset_info.json").write_text('{"mine": {"file_name": "mine.json"}}')
    export(tmp_path, "llama-factory", eval_fraction=0.5)
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert list(info) == ["mine", "prefs", "prefs.eval"]
    assert info["prefs.eval"]["file_name"] == "prefs.eval.jsonl"


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_catalogue_that_is_none_is_refused_before_the_first_row_and_left_alone(tmp_path, content):
    (tmp_path / "dataset_info.json").write_text(content)
    with pytest.raises(OutputError, match=r"Cannot add to .*dataset_info\.json"):
        export(tmp_path, "llama-factory")
    assert (tmp_path / "dataset_info.json").read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["dataset_info.json"]


# Axolotl (axolotl-ai-cloud/axolotl 067b021 and 0.19.0): `default` in prompt_strategies/dpo/chat_template.py keeps role
# and content of a message, renders a side behind a message of its own, and cuts the text where the side is first found.


def assert_learnt_by_axolotl(row: dict, *, trims: bool) -> None:
    assert row.keys() == {"messages", "chosen", "rejected"}
    for message in (*row["messages"], row["chosen"], row["rejected"]):
        assert message.keys() <= {"role", "content", "name"}
        assert message["role"] in ("user", "assistant", "system")
    opening = "<|im_start|>user\n[[dummy_message]]<|im_end|>\n<|im_start|>assistant\n"
    for side in (row["chosen"], row["rejected"]):
        text = side["content"]
        rendered = opening + (text.strip() if trims else text) + "<|im_end|>\n"
        assert rendered[rendered.find(text) :].rstrip() == text + "<|im_end|>"


@pytest.mark.slow
def test_axolotl_renders_every_row(tokenizer, tmp_path):
    for row in rows_of(export(tmp_path, "axolotl")):
        assert_learnt_by_axolotl(row, trims=True)
        prompt = tokenizer.apply_chat_template(row["messages"], add_generation_prompt=True, tokenize=False)
        assert row["messages"][-1]["content"] in prompt
        assert row["chosen"] != row["rejected"]


# OpenAI (guide "Direct preference optimization" of November 2026), Together (guides "Preference fine-tuning" and "Data
# preparation" of November 2026, validate_preference_openai of its client 1.5.35) and Fireworks (guide "Direct
# Preference Optimization" of November 2026)


def assert_taken_by_a_service(row: dict, format: str) -> None:
    assert row.keys() == {"input", "preferred_output", "non_preferred_output"}
    beside = {"parallel_tool_calls"} if format == "openai" else set()
    assert row["input"].keys() == {"messages", "tools"} | beside
    for side in (row["preferred_output"], row["non_preferred_output"]):
        [message] = side
        assert message.keys() == {"role", "content"}
        assert message["role"] == "assistant"
        assert message["content"].strip()
    messages = row["input"]["messages"]
    assert all(isinstance(message["content"], str) for message in messages)
    open_calls: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            open_calls.remove(message["tool_call_id"])
            continue
        assert not open_calls
        for call in message.get("tool_calls", ()):
            assert call["function"]["name"]
            assert isinstance(call["function"]["arguments"], str)
            open_calls.add(call["id"])
    assert not open_calls
    assert all(tool["function"]["name"] for tool in row["input"]["tools"])
    roles = [message["role"] for message in messages]
    if format == "together":
        assert roles[-1] != "assistant"
        assert all(one != other or one == "tool" for one, other in pairwise(roles))
    if format == "fireworks":
        assert set(roles) <= {"system", "user", "assistant"}
        assert "system" not in roles[1:]


SERVICES = ("openai", "together", "fireworks")


@pytest.mark.parametrize("format", SERVICES)
def test_hosted_trainers_get_the_columns_they_name_and_no_others(format, tmp_path):
    rows = rows_of(export(tmp_path, format))
    assert rows
    for row in rows:
        assert_taken_by_a_service(row, format)


def test_too_few_rows_for_fireworks_are_warned_of(tmp_path):
    with pytest.warns(UserWarning, match=r"prefs\.jsonl has 2 rows, and fireworks takes no fewer than 3"):
        export(tmp_path, "fireworks", pairs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export(tmp_path, "fireworks", pairs=4)  # one has calls in its prompt


# TRL 1.16 (data_utils.py, the trainers' `_prepare_dataset`): sides are lists of messages, an implicit prompt is what
# both begin with, tools are parsed from text; chat templates take arguments that are objects.


def assert_taken_by_trl(row: dict) -> None:
    if "label" in row:
        sides = [row["completion"]]
        assert isinstance(row["label"], bool)
    elif "rejected" not in row:
        sides = [row["messages"]]
    else:
        sides = [row["chosen"], row["rejected"]]
    if isinstance(row.get("prompt"), list):
        assert row["prompt"]
        assert all(side[0]["role"] == "assistant" for side in sides)
        messages = [*row["prompt"], *(message for side in sides for message in side)]
    else:
        messages = [message for side in sides for message in side]
        if len(sides) == 2:
            shared = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(*sides, strict=False)))
            assert any(message["role"] == "user" for message in sides[0][:shared])
            assert all(message["role"] in ("assistant", "tool") for side in sides for message in side[shared:])
    for message in messages:
        assert isinstance(message["content"], str)
        for call in message.get("tool_calls", ()):
            assert isinstance(call["function"]["arguments"], dict)
    assert isinstance(json.loads(row.get("tools", "[]")), list)


@pytest.mark.slow
def test_the_table_in_the_docs_is_what_trl_makes_of_calls(tmp_path):
    """By its own templates, of rows that `load_dataset` read."""
    command = [sys.executable, ROOT / "benchmarks" / "rendered_rows.py", "--json", tmp_path / "table.json"]
    done = subprocess.run(command, env=os.environ | {"HF_HOME": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert rows[0]["text"] == "encoded twice"
    lines = [" | ".join([f"`{row.pop('template')}`", *row.values()]) for row in rows]
    docs = (ROOT / "docs" / "formats.md").read_text()
    assert "\n".join(f"| {line} |" for line in lines) in docs


# All

RULES = {
    "axolotl": lambda row: [assert_learnt_by_axolotl(row, trims=trims) for trims in (False, True)],
    "llama-factory": lambda row: converted(row, LLAMA_FACTORY_INFO),
    **{format: partial(assert_taken_by_a_service, format=format) for format in SERVICES},
    **dict.fromkeys(("trl", "trl-implicit", "kto", "sft", "ultrafeedback"), assert_taken_by_trl),
}


@pytest.mark.parametrize("format", preference_format_names())
@settings(max_examples=120)
@given(pair=wild_pairs())
def test_every_row_of_a_wild_pair_is_as_its_consumer_wants_it(format, pair):
    writer = get_preference_format(format)
    if writer.cannot_hold(pair) is None:
        for row in writer.rows(pair):
            RULES[format](json.loads(to_json(row)))


RECORDED = {"axolotl": 4, "fireworks": 4, "together": 4}
"""Of the six pairs: two have calls in the prompt, behind two messages of the user's in a row."""


@pytest.mark.parametrize("format", preference_format_names())
def test_the_way_back_from_every_row_is_in_the_file_of_turns(format, tmp_path):
    path = export(tmp_path, format)
    lines = path.read_text().splitlines()
    turns = [turn for turn in rows_of(tmp_path / "prefs.turns.jsonl") if turn["written_to"]]
    assert len(turns) == RECORDED.get(format, 6)
    for turn in turns:
        assert turn["written_to"]["file"] == "prefs.jsonl"
        row = json.loads(lines[turn["written_to"]["line"] - 1])
        number = int(turn["conversation_id"].removeprefix("chat-"))
        assert row == get_preference_format(format).rows(pair(number))[0]


def test_a_writer_never_changes_the_pair(tmp_path):
    one = pair(2)
    before = json.dumps([message.to_dict() for message in one.prompt])
    for writer in map(get_preference_format, preference_format_names()):
        with JsonlWriter(tmp_path / "out") as out:
            for row in writer.rows(one):
                out.write(row)
    assert json.dumps([message.to_dict() for message in one.prompt]) == before
