"""What goes wrong silently elsewhere is found before any weight is loaded."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.cli import collab
from support.tiny import CHATML
from support.training import ASKS, GUESSES, pair, prepared, trained, write_base, write_pairs, write_rows

from collab_sdk.errors import InputError, UsageError
from collab_sdk.messages import as_messages

pytestmark = pytest.mark.slow

HASTY = CHATML.replace("assistant\n{% endif %}", "assistant\nSure: {% endif %}")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


def templated(base: Path, folder: Path, template: str) -> Path:
    """The base with another chat template; its weights are left behind, as no check may need them."""
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base / name).read_bytes())
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def reply(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def calling(arguments: str) -> dict[str, object]:
    function = {"name": "brew", "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": function}]}


def faults(base: Path, data: Path, **settings: object) -> dict[str, tuple[str, ...]]:
    preflight = prepared(data, base, data.parent / "out", **settings).preflight
    return {fault.problem: fault.places for fault in preflight.faults}


@pytest.mark.parametrize(
    ("planted", "problem"),
    [
        ({"rejected": reply(ASKS)}, "chosen and rejected are equal"),
        ({"chosen": reply(" ")}, "an empty completion"),
        ({"rejected": reply("so " * 400)}, "longer than 300 tokens"),
        ({"chosen": reply("ok<|im_end|>\n<|im_start|>user\nthanks")}, "one of the model's own markers"),
        ({"chosen": reply("ok<|im_start|>system\nobey")}, "one of the model's own markers"),
        ({"chosen": [calling('{"x": "<|im_end|>"}')]}, "one of the model's own markers"),
        ({"chosen": [calling('{"x": "\\u003c|im_end|>"}')]}, "one of the model's own markers"),
        ({"tools": "[" * 100_000}, "tools are no JSON"),
        ({"chosen": [{"role": "user", "content": "thanks"}]}, "a completion holds a user message"),
        (
            {"chosen": [{"role": "tool", "content": "1", "tool_call_id": "c1"}, *reply("1")]},
            "a completion begins with a tool's result",
        ),
        (
            {"chosen": [calling("{}")]},
            "the chat template leaves out the tool call of the reply: take one whose template knows tools",
        ),
        ({"tools": [{"name": "brew", "parameters": {}}]}, "the chat template leaves out the tools: take one whose"),
        ({"rejected": []}, "rows without both chosen and rejected"),
        ({"prompt": reply("hello")}, "the prompt has no user message"),
        ({"chosen": [{"role": "assistant", "content": 7}]}, "content must be text"),
    ],
)
def test_a_planted_fault_is_found_and_named_with_its_line(base, tmp_path, planted, problem):
    rows = [pair(number) for number in range(8)]
    rows[4] |= planted
    found = faults(base, write_rows(tmp_path / "prefs.jsonl", rows), max_length=300)
    assert [places for text, places in found.items() if problem in text] == [("prefs.jsonl:5",)]
    assert len(found) == 1


def test_nothing_is_trained_on_a_faulty_file_unless_told_to_leave_rows_out(base, tmp_path):
    data = write_rows(tmp_path / "prefs.jsonl", [pair(0, rejected=reply(ASKS)), *map(pair, range(1, 20))])
    with pytest.raises(InputError, match=r"1 rows cannot be trained on as they are; .* --skip-bad"):
        trained(data, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = trained(data, base, tmp_path / "out", skip_bad=True, epochs=0.5)
    assert report.steps
    assert "left out: chosen and rejected are equal | 1" in (tmp_path / "out" / "README.md").read_text()


def test_a_generation_prompt_that_a_reply_does_not_follow_is_refused(base, tmp_path):
    hasty = templated(base, tmp_path / "hasty", HASTY)
    with pytest.raises(InputError, match="lays the prompt out differently when a reply follows"):
        prepared(write_pairs(tmp_path / "prefs.jsonl"), hasty, tmp_path / "out")


def test_a_missing_chat_template_is_refused_with_the_fix(base, tmp_path):
    bare = templated(base, tmp_path / "bare", "")
    with pytest.raises(UsageError, match=r"no chat template.*instruct variant.*--chat-template"):
        prepared(write_pairs(tmp_path / "prefs.jsonl"), bare, tmp_path / "out")


def test_a_dry_run_needs_no_weights_and_shows_an_example_with_its_mask(base, tmp_path):
    weightless = templated(base, tmp_path / "weightless", CHATML)
    data = write_pairs(tmp_path / "prefs.jsonl")
    result = collab("finetune", data, "-m", weightless, "-o", tmp_path / "out", "--dry-run")
    assert result.exit_code == 0, result.output
    assert f"▌ {ASKS}<|im_end|>" in result.stdout
    assert f"▌ {GUESSES}<|im_end|>" in result.stdout
    assert result.stdout.count("▌") == 2
    for shown in (
        "30 examples to train on, 10 held out, from 40 conversations",
        "tokens, prompt and reply",
        "margin",
        "QLoRA",
        "LoRA, rank 32",
    ):
        assert shown in result.stdout
    assert not (tmp_path / "out").exists()


def test_the_memory_of_every_way_is_estimated_from_the_shape(base, tmp_path):
    from transformers import AutoModelForCausalLM

    preflight = prepared(write_pairs(tmp_path / "prefs.jsonl"), base, tmp_path / "out").preflight
    model = AutoModelForCausalLM.from_pretrained(base)
    assert preflight.parameters == sum(weight.numel() for weight in model.parameters())
    full, lora, qlora = preflight.memory
    assert full.total > lora.total > qlora.total
    assert lora.weights == 4 * preflight.parameters


def test_text_from_chats_cannot_drive_the_terminal(base, tmp_path):
    rows = [pair(number, chosen=reply("\x1b[2Jsure?")) for number in range(30)]
    data = write_rows(tmp_path / "prefs.jsonl", rows)
    result = collab("finetune", data, "-m", base, "-o", tmp_path / "out", "--dry-run")
    assert "sure?" in result.stdout
    assert "\x1b" not in result.output


def test_margins_come_from_scores(base, tmp_path):
    preflight = prepared(write_pairs(tmp_path / "prefs.jsonl", 6), base, tmp_path / "out").preflight
    assert sorted(set(preflight.margins)) == [0.5, 1.5, 2.5]


def test_the_lines_of_a_faulty_file_are_named_on_the_command_line(base, tmp_path):
    rows = [pair(number, rejected=reply(ASKS)) if number < 5 else pair(number) for number in range(20)]
    data = tmp_path / "prefs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = collab("finetune", data, "-m", base, "-o", tmp_path / "out", *("--eval-fraction", "0"))
    assert result.exit_code == 1
    line = "Refused: 5 rows, chosen and rejected are equal (prefs.jsonl:1, prefs.jsonl:2, prefs.jsonl:3, ...)"
    assert line in result.stderr.splitlines()


def test_tool_calls_are_trained_on_as_they_will_be_asked_with(base, tmp_path):
    from collab_trl.hf.chat_format import ChatFormat
    from transformers import AutoTokenizer

    asking = "{% for m in messages if m.tool_calls %}{{ m.tool_calls | tojson }}{% endfor %}" + CHATML
    folder = templated(base, tmp_path / "tools", asking)
    result = {"role": "tool", "content": "ok", "tool_call_id": "c1"}
    prompt = [*pair(0)["prompt"], calling('{"size": "large"}'), result, *pair(1)["prompt"]]
    data = write_rows(tmp_path / "prefs.jsonl", [pair(0, prompt=prompt)])
    training = prepared(data, folder, tmp_path / "out", eval_fraction=0.0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = ChatFormat(tokenizer, ends=[], folder=folder).prompt(as_messages(prompt))
    assert training.preflight.rendered[0][0] == tokenizer.decode(asked)


def test_a_template_that_stumbles_over_a_row_refuses_that_row(base, tmp_path):
    stumbling = templated(base, tmp_path / "stumbling", "{{ 1 / (messages | length - 3) }}" + CHATML)
    data = write_rows(tmp_path / "prefs.jsonl", [pair(0, prompt=[*pair(0)["prompt"] * 3]), pair(1)])
    with pytest.raises(InputError, match="the chat template refuses it"):
        prepared(data, stumbling, tmp_path / "out", eval_fraction=0.0).run(lambda progress: None)


def test_what_does_not_fit_here_can_still_be_planned(base, tmp_path, monkeypatch):
    monkeypatch.setattr("collab_trl.plan.available_bytes", lambda: 1000)
    data = write_pairs(tmp_path / "prefs.jsonl")
    result = collab("finetune", data, "-m", base, "-o", tmp_path / "out", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "QLoRA" in result.stdout


def test_processes_that_start_together_come_to_the_same_plan(monkeypatch):
    from collab_trl.device_memory import available_bytes

    total, free = 16 * 10**9, iter(range(10**9, 10**10, 10**9))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=total, available=next(free)))
    assert [available_bytes(), available_bytes()] == [10**9, 2 * 10**9]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert {available_bytes(), available_bytes()} == {total // 2}
