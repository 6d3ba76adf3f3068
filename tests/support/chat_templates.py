"""What comes of rows under each chat template that TRL packages: right, refused, or right with a layout."""

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from collab_sdk.errors import CollabError
from collab_sdk.messages import as_messages
from support.tiny import packaged_templates, tiny_tokenizer

MARKS = (
    r"<\|[^|<>\s]+\|>|<[｜][^<>\s]+[｜]>|<(?:start|end)_of_turn>|<(?:bos|eos)>|<end_of_utterance>|<\|?turn\|?>"
    r"|<\|[a-z_]+>|<[a-z_]+\|>"
)
ENDS: Mapping[str, Sequence[str]] = {
    "gptoss": ("<|return|>", "<|call|>"),
    "glm4moe": ("<|user|>", "<|observation|>"),
    "gemma4": ("<turn|>", "<|tool_response>"),
    "diffusion_gemma": ("<turn|>", "<|tool_response>"),
}
"""Of models whose generation config names other tokens than the one that closes a turn."""
USER = {"role": "user", "content": "Where is parcel seven?"}
SAYS = {"role": "assistant", "content": "Nearly there."}
CALL = {
    "id": "call00005",
    "type": "function",
    "function": {"name": "look_up", "arguments": json.dumps({"parcel": "seven", "express": 5})},
}
CALLS = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "in the van", "tool_call_id": "call00005", "name": "look_up"}
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Finds a parcel.",
        "parameters": {"type": "object", "properties": {"parcel": {"type": "string", "description": "Its number."}}},
    },
}
BRIEF = {"role": "system", "content": "Be brief."}
POLITE = {"role": "developer", "content": "Stay polite."}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row, and the words that must be in its prompt and in what is learnt of its reply."""

    prompt: Sequence[Mapping[str, Any]]
    reply: Sequence[Mapping[str, Any]]
    shown: Sequence[str]
    learnt: Sequence[str]
    tools: Sequence[Mapping[str, Any]] = ()


SAID, CALLED = ("Nearly there.",), ("look_up", "seven", "express")
CASES: Mapping[str, Case] = {
    "system": Case(prompt=[BRIEF, USER], reply=[SAYS], shown=("Be brief.", "parcel seven?"), learnt=SAID),
    "developer": Case(prompt=[POLITE, USER], reply=[SAYS], shown=("Stay polite.", "parcel seven?"), learnt=SAID),
    "call as reply": Case(
        prompt=[USER], reply=[CALLS], shown=("look_up", "Finds a parcel."), learnt=CALLED, tools=[TOOL]
    ),
    "call beside text": Case(
        prompt=[USER],
        reply=[{**CALLS, "content": "One moment."}],
        shown=("look_up",),
        learnt=("One moment.", *CALLED),
        tools=[TOOL],
    ),
    "result": Case(
        prompt=[USER, CALLS, RESULT],
        reply=[SAYS],
        shown=("look_up", "express", "in the van"),
        learnt=SAID,
        tools=[TOOL],
    ),
    "whole turn": Case(
        prompt=[USER], reply=[CALLS, RESULT, SAYS], shown=("Finds a parcel.",), learnt=(*CALLED, *SAID), tools=[TOOL]
    ),
    "tools": Case(
        prompt=[USER], reply=[SAYS], shown=("look_up", "Finds a parcel.", "Its number."), learnt=SAID, tools=[TOOL]
    ),
    "thinking": Case(prompt=[USER], reply=[SAYS], shown=("parcel seven?",), learnt=SAID),
}
WAYS: Sequence[tuple[str, ...]] = (
    ("developer-as-system",),
    ("system-in-first-user",),
    ("no-thinking",),
    ("trl",),
    ("end-with-eos",),
    ("text-as-parts",),
    ("text-as-parts", "system-in-first-user"),
    ("text-as-parts", "developer-as-system"),
    ("developer-as-system", "system-in-first-user"),
    ("developer-as-system", "no-thinking"),
    ("developer-as-system", "trl"),
    ("text-as-parts", "end-with-eos"),
    ("text-as-parts", "system-in-first-user", "end-with-eos"),
    ("text-as-parts", "developer-as-system", "system-in-first-user", "end-with-eos"),
    ("no-thinking", "trl"),
)
"""The layouts that are tried in turn where a row is refused; `trl` is TRL's variant of the template for training."""


@cache
def _plain_tokenizer() -> Any:
    return tiny_tokenizer([json.dumps([TOOL, CALL])])


def with_template(template: str, *, tokenizer: Any = None) -> Any:
    """A tiny tokenizer that knows the marks of the template."""
    made = copy.deepcopy(tokenizer or _plain_tokenizer())
    made.chat_template = template
    made.add_special_tokens({"additional_special_tokens": sorted(set(re.findall(MARKS, template)))})
    made.bos_token = "<bos>"
    return made


def ends_of(name: str, tokenizer: Any) -> list[int]:
    """The tokens at which the generation config of the template's model ends a reply."""
    names = next((ends for family, ends in ENDS.items() if name.startswith(family)), ())
    return [tokenizer.convert_tokens_to_ids(end) for end in names]


@cache
def laid_out_by(name: str, layouts: tuple[str, ...] = ()) -> tuple[Any, Any, Any]:
    """The tokenizer, chat format and layout of a packaged template. Raises CollabError where they cannot be."""
    from collab_trl.chat_template import ChatTemplate
    from collab_trl.hf.chat_format import ChatFormat
    from collab_trl.preference.tokens import Layout

    source = f"{name}_training" if "trl" in layouts else name
    tokenizer = with_template(packaged_templates()[source])
    ChatTemplate.named(layouts=[each for each in layouts if each != "trl"]).put_into(tokenizer)
    form = ChatFormat(tokenizer, ends=ends_of(name, tokenizer), folder=Path(name))
    return tokenizer, form, Layout(tokenizer, form)


def problem_of(name: str, case: Case, layouts: tuple[str, ...] = ()) -> str | None:
    """Why the row is refused; None where it is laid out right. An AssertionError where it is silently wrong."""
    from collab_trl.preference.row_formats import Example
    from collab_trl.preference.tokens import FaultyExampleError

    example = Example(
        where="row", conversation="chat", prompt=tuple(case.prompt), chosen=tuple(case.reply), tools=tuple(case.tools)
    )
    try:
        tokenizer, form, layout = laid_out_by(name, layouts)
        tokens = layout.tokenize(example)
    except (CollabError, FaultyExampleError) as error:
        return str(error)
    prompt = tokenizer.decode(tokens.prompt)
    pieces = [
        (counts, tokenizer.decode([token for token, _ in together]))
        for counts, together in groupby(
            zip(tokens.chosen.ids, tokens.chosen.learnt, strict=True), key=lambda each: bool(each[1])
        )
    ]
    learnt = "".join(text for counts, text in pieces if counts)
    assert not [word for word in case.shown if word not in prompt], f"{name}: the prompt lacks a part: {prompt}"
    assert not [word for word in case.learnt if word not in learnt], f"{name}: not learnt: {pieces}"
    assert "in the van" not in learnt, f"{name}: a result is learnt: {pieces}"
    assert "think>" not in learnt, f"{name}: a thought is learnt: {pieces}"
    assert tokens.chosen.ids[tokens.chosen.learnt.index(1) :], name
    last = max(place for place, counts in enumerate(tokens.chosen.learnt) if counts)
    assert tokens.chosen.ids[last] in form.ends, f"{name}: the reply does not end: {pieces}"
    try:
        asked = form.prompt(
            as_messages([message for message in case.prompt if message["role"] != "developer"]), case.tools
        )
    except CollabError as error:
        assert "in a way that is not known here" in str(error), f"{name}: trained on, but not asked: {error}"
    else:
        assert "developer" in str(case.prompt) or asked == tokens.prompt, f"{name}: asked with another prompt"
    return None


def verdict(name: str, case: Case) -> str:
    """`right`, the layout with which it is, or why it is refused in any case."""
    problem = problem_of(name, case)
    if problem is None:
        return "right" + _of_thoughts(name, case)
    for layouts in WAYS:
        known = "trl" not in layouts or f"{name}_training" in packaged_templates()
        if known and problem_of(name, case, layouts) is None:
            said = " and ".join("`trl:…_training`" if each == "trl" else f"`{each}`" for each in layouts)
            return said + _of_thoughts(name, case, layouts)
    return f"refused: {_short(problem)}"


def _of_thoughts(name: str, case: Case, layouts: tuple[str, ...] = ()) -> str:
    """In the column about thoughts, what becomes of them, where the template knows any."""
    _, form, _ = laid_out_by(name, layouts)
    thinking = form.described().get("thinking", "") if case is CASES["thinking"] else ""
    return f"; {thinking.partition(':')[0]}" if thinking else ""


def _short(problem: str) -> str:
    problem = re.sub(r"^The chat template in \S+ ", "", problem.removeprefix("the chat template "))
    said = re.split(r": take|: --|: give| \(--", problem)[0].removeprefix("refuses it: ")
    return said.strip(".").replace("/user/assistant/...", "")


def table() -> Iterator[tuple[list[str], dict[str, str]]]:
    """The templates that fare alike, and what comes of each case under them."""
    names = [name for name in packaged_templates() if not name.endswith("_training")]
    verdicts = {name: {case: verdict(name, row) for case, row in CASES.items()} for name in names}
    alike: dict[str, list[str]] = {}
    for name, found in verdicts.items():
        alike.setdefault(json.dumps(found), []).append(name)
    for found_json, together in alike.items():
        yield together, json.loads(found_json)


def as_markdown() -> str:
    """The table, for docs/finetune.md."""
    lines = [["template", *CASES], ["---"] * (1 + len(CASES))]
    for names, found in table():
        lines.append([", ".join(f"`{name}`" for name in names), *found.values()])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
