"""Pairs as wild logs and models make them: any text, calls in parallel, results out of order, broken arguments."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from collab_sdk.messages import Message, as_messages, deeds_of, is_decision
from collab_sdk.models import without_reasoning
from collab_sdk.types import MRScore, PreferencePair

Row = dict[str, Any]
Draw = Callable[..., Any]
TOOLS = tuple(
    {"type": "function", "function": {"name": name, "description": "d", "parameters": schema}}
    for name, schema in (
        ("weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}),
        ("order", {"type": "object"}),
    )
)
MARKS = (
    "", " ", "\n", "user", "No", "[[dummy_message]]", "{{content}}", "<think>", "</think>", "<tool_call>", "null",
    "</tool_call>", "<|im_end|>", '{"a": 1}', "\ud800", "\u2028", "\0", "Zoë 😀", "<image>", "\\", "\t x \t", "human",
)  # fmt: skip
texts = st.text(max_size=12) | st.sampled_from(MARKS) | st.lists(st.sampled_from(MARKS), max_size=3).map("".join)
said = texts.filter(str.strip)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(-1e9, 1e9) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=3,
)
objects = st.dictionaries(texts, values, max_size=2).map(json.dumps)
BROKEN = ("[1]", "5", '"x"', '{"city": "Ro', "five", '{"n": NaN}', '{"n": 18446744073709551616}', '{"":' * 200)
names = st.sampled_from(["weather", "order"])


def spoken(role: str, words: st.SearchStrategy[str] = texts) -> st.SearchStrategy[list[Row]]:
    return words.map(lambda text: [{"role": role, "content": text}])


def several(parts: st.SearchStrategy[list[Row]], *, least: int = 0) -> st.SearchStrategy[list[Row]]:
    """None, one or two of the parts, in a row."""
    return st.lists(parts, min_size=least, max_size=2).map(lambda found: [row for part in found for row in part])


@st.composite
def steps(draw: Draw, *, answered: bool = True) -> list[Row]:
    """A message that calls, with the results in any order; some may be missing, unless all are to be `answered`."""
    arguments = st.sampled_from(BROKEN) if draw(st.integers(0, 9)) == 0 else objects | st.just("")
    made = [
        {"id": f"c{n}", "type": "function", "function": {"name": draw(names), "arguments": draw(arguments)}}
        for n in range(draw(st.integers(1, 3)))
    ]
    ids = draw(st.permutations([call["id"] for call in made]))
    found = ids if answered else ids[: draw(st.integers(0, len(ids)))]
    results = [{"role": "tool", "content": draw(texts), "tool_call_id": id} for id in found]
    return [{"role": "assistant", "content": draw(st.just("") | texts), "tool_calls": made}, *results]


@st.composite
def histories(draw: Draw, *, calls: bool) -> list[Row]:
    """What a response answers: it ends with the user, or, for a decision, with the results of calls."""
    messages = draw(several(spoken("system") | spoken("assistant")))
    for _ in range(draw(st.integers(0, 2))):
        messages += draw(several(spoken("user"), least=1))
        if calls:
            messages += draw(several(steps() | steps(answered=False)))
        messages += draw(several(spoken("assistant") | spoken("system")))
    messages += draw(several(spoken("user"), least=1))
    return messages + (draw(steps()) if calls and draw(st.integers(0, 3)) == 0 else [])


@st.composite
def responses(draw: Draw, *, calls: bool) -> list[Row]:
    """A text, a decision that is a call, or a turn with calls and results."""
    if not calls or draw(st.booleans()):
        return draw(spoken("assistant", said))
    made = draw(steps())
    return draw(st.sampled_from([made[:1], [*made, *draw(spoken("assistant", said))]]))


@st.composite
def wild_pairs(draw: Draw) -> PreferencePair:
    """Two responses to one history that say or do different things, linked and without thoughts, as pairs are made."""
    calls = draw(st.booleans())
    history = draw(histories(calls=calls).filter(_is_as_read))
    both = st.lists(responses(calls=calls).map(lambda side: _read([*history, *side])), min_size=2, max_size=2)
    wholes = draw(both.filter(lambda wholes: _differ(*(whole[len(history) :] for whole in wholes))))
    chosen, rejected = (
        MRScore(response=whole[len(history) :], futures=(), value=value, stderr=None)
        for whole, value in zip(wholes, (0.75, 0.5), strict=True)
    )
    return PreferencePair(
        conversation_id=draw(st.text("abc", min_size=1)),
        turn=draw(st.integers(0, 9)),
        prompt=wholes[0][: len(history)],
        chosen=chosen,
        rejected=rejected,
        tools=draw(st.sampled_from([(), TOOLS[:1], TOOLS])) if calls else (),
    )


def _is_as_read(rows: list[Row]) -> bool:
    """Whether no message is of thoughts alone where the assistant's next follows: in a log, both are one message."""
    messages = _read(rows)
    return not any(
        one.reasoning and not is_decision(one) and one.role == following.role for one, following in pairwise(messages)
    )


def _read(rows: list[Row]) -> tuple[Message, ...]:
    return without_reasoning(as_messages(rows))


def _differ(one: tuple[Message, ...], other: tuple[Message, ...]) -> bool:
    return is_decision(one[-1]) and is_decision(other[-1]) and deeds_of(one) != deeds_of(other)
