"""What TRL makes of exported chats with tools: load_dataset, the DPO, KTO and SFT trainers, and seven chat templates.

    python benchmarks/rendered_rows.py [--templates llama3_1 ...] [--json out.json]

Pairs that are made here are written as `export-prefs` writes them, loaded with `load_dataset("json")`, and tokenised by
the trainers with each of the templates, which come with TRL. The text of the tokens is compared with how the model of
the template writes a call. Nothing is downloaded: model and tokenizer are tiny and made on the spot.

`text` is what a template makes of a call whose arguments are JSON text, as model APIs have them. `load` tells whether
`load_dataset` gives back what was written. `DPO` reads `trl` rows, and `implicit` is DPO with `trl-implicit` rows; KTO
and SFT read `kto` and `sft` rows. They hold different calls, with their results, in prompts and in sides.
`two` is DPO with two calls in one message, `beside` is DPO with a call that has text beside it.

right: calls, results and texts stand there as the model of the template writes them; encoded twice: the arguments are a
string of JSON; left out: a call, a result or a text is missing; error: the trainer or the template raises one.
"""

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from table import finish

from collab_sdk.files import JsonlWriter, parse_json
from collab_sdk.logs import get_preference_format
from collab_sdk.messages import as_messages
from collab_sdk.types import MRScore, PreferencePair

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.tiny import packaged_templates, tiny_llama, tiny_tokenizer

Messages = list[dict[str, Any]]
QUOTE = '<|"|>'
RIGHT: Mapping[str, str] = {
    "llama3_1": '{"name": "order", "parameters": {"item": "mocha", "n": 2}}',
    "qwen2_5": '<tool_call>\n{"name": "order", "arguments": {"item": "mocha", "n": 2}}\n</tool_call>',
    "qwen3": '<tool_call>\n{"name": "order", "arguments": {"item": "mocha", "n": 2}}\n</tool_call>',
    "gptoss": '<|channel|>commentary json<|message|>{"item": "mocha", "n": 2}<|call|>',
    "glm4moe": "<arg_key>item</arg_key>\n<arg_value>mocha</arg_value>\n<arg_key>n</arg_key>\n<arg_value>2</arg_value>",
    "gemma4": f"call:order{{item:{QUOTE}mocha{QUOTE},n:2}}",
    "deepseekv3": 'order\n```json\n{"item": "mocha", "n": 2}\n```',
}
"""How the model of each template writes the call."""
ENCODED_TWICE = ('\\"item\\"', '{{"item"', f'{QUOTE}{{"item"')
FORMATS = {"DPO": ("DPO", "trl"), "implicit": ("DPO", "trl-implicit"), "KTO": ("KTO", "kto"), "SFT": ("SFT", "sft")}
ARGUMENTS = '{"item": "mocha", "n": 2}'
TOOLS = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "At the café.",
            "parameters": {"type": "object", "properties": {key: {"type": kind, "description": "It."}}},
        },
    }
    for name, key, kind in (("order", "item", "string"), ("look_up", "guest", "object"))
)


def call(id: str = "call00001", name: str = "order", arguments: str = ARGUMENTS) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict[str, Any], text: str = "") -> dict[str, Any]:
    return {"role": "assistant", "content": text, "tool_calls": list(calls)}


def result(text: str, *, of: str = "call00001") -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": of}


ASKED = [{"role": "user", "content": "Two mochas, please."}]
ORDERED = [*ASKED, calling(call()), result("ORDERED 2"), {"role": "assistant", "content": "They are on their way."}]
SEEN = [calling(call(name="look_up", arguments='{"guest": {"name": "Zoë", "nr": [1, null]}}')), result("A regular.")]
PAIRS: Mapping[str, Sequence[tuple[Messages, Messages]]] = {
    "a call": [
        ([*ORDERED, {"role": "user", "content": "Thanks!"}], [{"role": "assistant", "content": "You are welcome."}]),
        (ASKED, ORDERED[1:]),
        ([*ASKED, *SEEN], [calling(call("call00002"))]),
        (ASKED[:1], [{"role": "assistant", "content": "Which milk?"}]),
    ],
    "two": [(ASKED, [calling(call("call00002", name="look_up", arguments='{"guest": {"name": "Zoë"}}'), call())])],
    "beside": [(ASKED, [calling(call(), text="One moment.")])],
}


def exported(format: str, kind: str, path: Path) -> Path:
    """The rows of the pairs, as `export-prefs` writes them."""
    with JsonlWriter(path) as out:
        for number, (history, better) in enumerate(PAIRS[kind]):
            pair = PreferencePair(
                conversation_id=f"chat-{number}",
                turn=number,
                prompt=as_messages(history),
                chosen=_score(better, 0.75),
                rejected=_score([{"role": "assistant", "content": "I cannot do that."}], 0.25),
                tools=TOOLS,
            )
            assert get_preference_format(format).cannot_hold(pair) is None
            for row in get_preference_format(format).rows(pair):
                out.write(row)
    return path


def _score(response: Messages, value: float) -> MRScore:
    return MRScore(response=as_messages(response), futures=(), value=value, stderr=None)


def judged(texts: Sequence[str], needed: Mapping[str, int]) -> str:
    """What became of the calls; `needed` tells how often each text must be there, the rendered call among them."""
    whole = "".join(texts)
    if any(mark in whole for mark in ENCODED_TWICE):
        return "encoded twice"
    return "right" if all(whole.count(text) >= times for text, times in needed.items()) else "left out"


def trained(trainer: str, format: str, kind: str, template: str, tokenizer: Any, folder: Path) -> str:
    """What the trainer makes of the rows of a format with a template."""
    import trl
    from datasets import load_dataset
    from peft import LoraConfig

    path = exported(format, kind, folder / f"{format}-{kind}.jsonl".replace(" ", "-"))
    dataset = load_dataset("json", data_files=str(path), split="train", cache_dir=str(folder / "cache"))
    options = {"loss_type": "apo_zero_unpaired"} if trainer == "KTO" else {}
    settings = getattr(trl, f"{trainer}Config")(
        output_dir=str(folder / "run"),
        use_cpu=True,
        bf16=False,
        report_to="none",
        per_device_train_batch_size=2,
        **options,
    )
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    model = tiny_llama(tokenizer)
    try:
        made = getattr(trl, f"{trainer}Trainer")(
            model, args=settings, train_dataset=dataset, processing_class=tokenizer, peft_config=lora
        )
    except Exception as error:  # whatever a template raises is what this measures
        print(f"{template} {trainer} {format} {kind}: {type(error).__name__}: {error}"[:160], file=sys.stderr)
        return "error"
    texts = [tokenizer.decode(ids) for row in made.train_dataset for ids in _learnt(row)]
    return judged(texts, _needed(kind, template))


def _learnt(row: Mapping[str, Any]) -> Iterator[Sequence[int]]:
    """The tokens of a prompt with the better response; of a labelled response, with that."""
    if "input_ids" in row:
        yield row["input_ids"]
    elif row.get("label", True):
        yield [*row["prompt_ids"], *row.get("chosen_ids", row.get("completion_ids", ()))]


def _needed(kind: str, template: str) -> Mapping[str, int]:
    if kind == "a call":
        return {RIGHT[template]: 3, "ORDERED 2": 2, "A regular.": 1, "Zoë": 1, "on their way": 2}
    if kind == "two":
        return {RIGHT[template]: 1, "Zoë": 1}
    return {RIGHT[template]: 1, "One moment.": 1}


def loaded(folder: Path) -> str:
    """Whether load_dataset gives back the rows that were written."""
    from datasets import load_dataset

    for _, format in FORMATS.values():
        path = exported(format, "a call", folder / f"{format}.jsonl")
        table = load_dataset("json", data_files=str(path), split="train", cache_dir=str(folder / "cache"))
        if [dict(row) for row in table] != [parse_json(line) for line in path.read_bytes().splitlines()]:
            return "changed"
    return "right"


def as_text(template: str, tokenizer: Any) -> str:
    """What the template makes of arguments that are text."""
    try:
        text = tokenizer.apply_chat_template([*ORDERED, *ASKED], tools=list(TOOLS), tokenize=False)
    except Exception:  # whatever a template raises is what this measures
        return "error"
    return judged([text], {RIGHT[template]: 1, "ORDERED 2": 1})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", nargs="+", choices=sorted(RIGHT), default=list(RIGHT))
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    import datasets
    import transformers
    import trl

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    tokenizer = tiny_tokenizer([str(PAIRS), str(TOOLS), *RIGHT.values()])
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load = loaded(folder)
        for template in options.templates:
            tokenizer.chat_template = packaged_templates()[template]
            row = {"template": template, "text": as_text(template, tokenizer), "load": load}
            for column, (trainer, format) in FORMATS.items():
                row[column] = trained(trainer, format, "a call", template, tokenizer, folder)
            for kind in ("two", "beside"):
                row[kind] = trained("DPO", "trl", kind, template, tokenizer, folder)
            rows.append(row)
    versions = {module.__name__: module.__version__ for module in (datasets, transformers, trl)}
    finish(rows, [], options.path, versions=versions)


if __name__ == "__main__":
    main()
