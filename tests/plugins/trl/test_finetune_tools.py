"""Calls are learnt, their results are not, and what is trained on is what TRL's templates make of the rows."""

import json
import re
from pathlib import Path

import pytest
from support.chat_templates import ends_of, with_template
from support.cli import collab
from support.fakes import says
from support.tiny import packaged_templates
from support.training import (
    LOOK_UP,
    calling,
    pair,
    prepared,
    request,
    tool_pair,
    trained,
    turn,
    write_base,
    write_rows,
    write_tool_base,
)

from collab_sdk.files import JsonlWriter
from collab_sdk.logs import get_preference_format
from collab_sdk.messages import as_messages
from collab_sdk.types import MRScore, PreferencePair

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]
USER = {"role": "user", "content": request(0)}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_tool_base(tmp_path_factory.mktemp("base"))


# What is learnt

CALL = '<tool_call>\n{"name": "look_up", "arguments": {"order": %d}}\n</tool_call><|im_end|>'


def learnt(preflight) -> list[str]:
    return [text.strip() for text, counts in preflight.rendered if counts]


def test_the_loss_counts_calls_and_texts_and_no_results(base, tmp_path):
    data = write_rows(tmp_path / "prefs.jsonl", [tool_pair(3)])
    preflight = prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight
    assert learnt(preflight) == [CALL % 3, "It is open.<|im_end|>", "Done, I have looked.<|im_end|>"]
    between = [text for text, counts in preflight.rendered[1:] if not counts]
    assert between == [
        "\n<|im_start|>user\n<tool_response>\nstatus 3: open\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
        *("\n", "\n"),  # which the model, having ended its turn, does not write
    ]
    assert '"description": "Looks an order up."' in preflight.rendered[0][0]


SIDES = {
    "a decision": ([calling(1)], [CALL % 1]),
    "a call with text beside it": ([calling(1, "One moment.")], [f"One moment.\n{CALL % 1}"]),
    "two messages in a row": ([*pair(0)["chosen"], calling(1)], ["Which size would you like?<|im_end|>", CALL % 1]),
    "a turn that was broken off": (turn(1)[:2], [CALL % 1]),
    "two rounds": ([*turn(1)[:2], *turn(2)], [CALL % 1, CALL % 2, "It is open.<|im_end|>"]),
}


@pytest.mark.parametrize("method", ["dpo", "sft", "kto"])
@pytest.mark.parametrize(("side", "words"), SIDES.values(), ids=SIDES)
def test_every_kind_of_side_is_learnt(base, tmp_path, method, side, words):
    row = tool_pair(0) | {"chosen": side}
    data = write_rows(tmp_path / "prefs.jsonl", [row])
    preflight = prepared(data, base, tmp_path / "out", eval_fraction=0.0, method=method).preflight
    assert not preflight.faults
    assert learnt(preflight)[: len(words)] == words


def test_arguments_as_text_or_as_objects_and_bare_tools_make_no_difference(base, tmp_path):
    bare = json.dumps([LOOK_UP["function"]])
    objects = json.loads(json.dumps(turn(0)).replace('"{\\"order\\": 0}"', '{"order": 0}'))
    assert objects != turn(0)
    rows = [tool_pair(0), tool_pair(0) | {"tools": bare}, tool_pair(0) | {"chosen": objects}]
    rendered = {
        prepared(
            write_rows(tmp_path / "one.jsonl", [row]), base, tmp_path / "out", eval_fraction=0.0
        ).preflight.rendered
        for row in rows
    }
    assert len(rendered) == 1


def test_a_turn_in_messages_is_learnt_whole_and_what_came_before_is_not(base, tmp_path):
    before = [USER, *turn(1), {"role": "user", "content": "and another?"}]
    data = write_rows(tmp_path / "chats.jsonl", [{"messages": [*before, *turn(2)], "tools": [LOOK_UP]}])
    preflight = prepared(data, base, tmp_path / "out", eval_fraction=0.0, method="sft").preflight
    assert learnt(preflight) == [CALL % 2, "It is open.<|im_end|>"]


def test_whole_conversations_that_share_a_call_differ_from_there_on(base, tmp_path):
    sides = {"chosen": [USER, *turn(1)], "rejected": [USER, *turn(1)[:2], *pair(0)["rejected"]]}
    data = write_rows(tmp_path / "prefs.jsonl", [{**sides, "tools": [LOOK_UP]}])
    preflight = prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight
    assert learnt(preflight) == ["It is open.<|im_end|>", "Here you are, all done.<|im_end|>"]


@pytest.mark.parametrize("method", ["dpo", "sft", "kto"])
def test_training_makes_calls_likelier_and_leaves_results_alone(base, tmp_path, method):
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    data = write_rows(tmp_path / "prefs.jsonl", map(tool_pair, range(24)))
    report = trained(data, base, tmp_path / "out", method=method, epochs=3.0, eval_fraction=0.0)
    assert report.steps > 0
    tokenizer = AutoTokenizer.from_pretrained(base)
    before, after = (
        AutoModelForCausalLM.from_pretrained(base),
        AutoPeftModelForCausalLM.from_pretrained(tmp_path / "out"),
    )

    def rose(messages: list[dict], more: list[dict]) -> float:
        """By how much a model trained that way finds `more` likelier, a token."""
        texts = [json.loads(json.dumps(messages + add)) for add in ([], more)]
        prompt, whole = (tokenizer.apply_chat_template(each, tools=[LOOK_UP], return_dict=False) for each in texts)
        found = []
        for model in (before, after):
            with torch.no_grad():
                logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)
            found.append(sum(float(logits[at - 1, whole[at]]) for at in range(len(prompt), len(whole))))
        return (found[1] - found[0]) / (len(whole) - len(prompt))

    user = {"role": "user", "content": request(40)}
    call = json.loads(json.dumps(calling(7)).replace('"{\\"order\\": 7}"', '{"order": 7}'))
    assert rose([user], [call]) > 0.2
    assert rose([user, call], [turn(7)[1]]) < rose([user], [call]) / 2


def test_a_base_whose_template_knows_no_tools_is_refused_in_one_line(tmp_path):
    plain = write_base(tmp_path / "base")
    data = write_rows(tmp_path / "prefs.jsonl", [*map(tool_pair, range(3)), *map(pair, range(20))])
    result = collab("finetune", data, "-m", plain, "-o", tmp_path / "out", *("--eval-fraction", "0"))
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Refused:")]
    assert (
        "the chat template leaves out the tools and the tool call of the reply: take one whose template knows tools"
        in line
    )
    assert line.endswith("(prefs.jsonl:1, prefs.jsonl:2, prefs.jsonl:3)")


# What TRL makes of our rows

CANNOT = {
    **dict.fromkeys("deepseek_r1_distill lfm2 llama3 phi3 phi3_5 qwen2_5_vl".split(), "leaves out the tools|tool call"),
    **dict.fromkeys("cohere cohere2 gemma3".split(), "refuses it: Conversation roles must alternate"),
    "deepseekv3": "refuses it: can only concatenate|leaves out the tools",
    "gemma": "refuses it: System role not supported",
    "glm4moe": "nothing ends the reply, .*: --chat-template trl:glm4moe_training",
    **dict.fromkeys("idefics3 smolvlm".split(), "refuses it: str object has no element 0"),
    "llava_next": "does not work",
    **dict.fromkeys(
        "nemotron_3_5_lightning nemotron_3_nano nemotron_3_super nemotron_3_ultra".split(),
        "begins each reply with a thought .*: --layout no-thinking",
    ),
}
"""Templates with which these rows cannot be trained on as they are, and what is said of them."""


def pairs() -> list[PreferencePair]:
    """Calls in the prompt alone; a decision; a whole turn, with nested arguments."""
    nested = turn(6)
    nested[0]["tool_calls"][0]["function"]["arguments"] = '{"order": 6, "how": {"deep": [1, "two", {"three": true}]}}'
    prompt = [{"role": "system", "content": "Be brief."}, USER, *turn(5), {"role": "user", "content": "And order 6?"}]
    sides = [says("Which one?"), as_messages([calling(6)]), as_messages(nested)]

    def score(response, value: float) -> MRScore:
        return MRScore(response=response, futures=(), value=value, stderr=None)

    return [
        PreferencePair(
            conversation_id=f"chat-{number}",
            turn=1,
            prompt=as_messages(prompt),
            chosen=score(side, 1.0),
            rejected=score(says("Done, I have looked."), 0.0),
            tools=(LOOK_UP,),
        )
        for number, side in enumerate(sides)
    ]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """As they are in the file, and as `datasets` hands them to TRL."""
    datasets = pytest.importorskip("datasets")
    folder = tmp_path_factory.mktemp("rows")
    written = [row for one in pairs() for row in get_preference_format("trl").rows(one)]
    with JsonlWriter(folder / "prefs.jsonl") as out:
        for row in written:
            out.write(row)
    file = str(folder / "prefs.jsonl")
    return written, datasets.load_dataset("json", data_files=file, split="train", cache_dir=str(folder / "cache"))


@pytest.mark.parametrize("name", packaged_templates())
def test_rows_with_calls_give_the_text_that_trl_trains_on_with_every_template_that_it_packages(name, rows):
    from collab_trl.hf.chat_format import ChatFormat
    from collab_trl.preference.row_formats import read_example
    from collab_trl.preference.tokens import FaultyExampleError, Layout

    from collab_sdk.errors import EndpointError

    tokenizer = with_template(packaged_templates()[name])
    problem = CANNOT.get(name, CANNOT.get(name.removesuffix("_training")) if name != "glm4moe_training" else None)
    for written, loaded in zip(*rows, strict=True):
        try:
            form = ChatFormat(tokenizer, ends=ends_of(name, tokenizer), folder=Path(name))
            tokens = Layout(tokenizer, form).tokenize(read_example(written, "here"))
        except (FaultyExampleError, EndpointError) as error:
            assert problem is not None, f"{name}: {error}"
            assert re.search(problem, str(error))
            continue
        assert problem is None
        for side, completion in (("chosen", tokens.chosen), ("rejected", tokens.rejected)):
            theirs = tokenizer.apply_chat_template(
                loaded["prompt"] + loaded[side], tools=json.loads(loaded["tools"]), tokenize=False
            )
            assert tokenizer.decode(tokens.prompt + completion.ids) == theirs
            written_by_model = tokenizer.decode(
                [token for token, counts in zip(completion.ids, completion.learnt, strict=True) if counts]
            )
            assert "status 6: open" not in written_by_model
            assert all(
                call["function"]["name"] in written_by_model for m in written[side] for call in m.get("tool_calls", [])
            )


def test_results_are_learnt_from_in_the_order_of_their_calls(base, tmp_path):
    calls = [{**each, "id": id} for id in ("a", "b") for each in calling(1)["tool_calls"]]
    both = {**calling(1), "tool_calls": calls}
    results = [{"role": "tool", "content": f"of {id}", "tool_call_id": id} for id in ("b", "a")]
    row = tool_pair(0) | {"prompt": [USER, both, *results, *pair(0)["chosen"], USER]}
    preflight = prepared(write_rows(tmp_path / "p.jsonl", [row]), base, tmp_path / "out", eval_fraction=0.0).preflight
    shown = "".join(text for text, _ in preflight.rendered)
    assert 0 < shown.find("of a") < shown.find("of b")


def test_calls_beside_no_parts_of_content_are_calls_alone(base, tmp_path):
    row = tool_pair(0) | {"chosen": [{**calling(1), "content": []}]}
    preflight = prepared(write_rows(tmp_path / "p.jsonl", [row]), base, tmp_path / "out", eval_fraction=0.0).preflight
    assert learnt(preflight)[:1] == [CALL % 1]
