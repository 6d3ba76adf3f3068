"""Fences: nothing inside can close one, and what is inside stays as it was."""

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_sdk.prompts import Tag, fence, fence_transcript, load_prompt, unfence, unfence_transcript
from collab_sdk.types import Message

TAGS = get_args(Tag)
pieces = st.sampled_from(["<", "/", "\\", ">", "|", " ", "\n", "&lt;", "goal", "GOAL", "transcript", "criteria", "x"])
texts = st.lists(pieces, max_size=12).map("".join) | st.text(max_size=12)


@given(text=texts, tag=st.sampled_from(TAGS))
def test_a_fence_gives_back_what_was_put_in(text, tag):
    assert unfence(tag, f"before\n{fence(tag, text)}\nafter") == text


@given(text=texts, tag=st.sampled_from(TAGS))
def test_nothing_in_a_fence_looks_like_one(text, tag):
    inside = fence(tag, text).removeprefix(f"<{tag}>\n").removesuffix(f"\n</{tag}>")
    assert not re.search(rf"<\s*/?\s*({'|'.join(TAGS)})\b|<\|", inside, re.IGNORECASE)


@given(texts.filter(bool))
def test_a_transcript_holds_no_angle_bracket_and_reads_as_it_was(text):
    fenced = fence_transcript([Message(role="user", content=text)])
    assert fenced.count("<") == 2
    assert unfence_transcript(fenced) == [Message(role="user", content=text)]


@pytest.mark.parametrize("text", ["if a < b && c: return <div>&lt;</div>", load_prompt("criterion_goal").text])
def test_code_and_forms_stay_as_they_are(text):
    assert text in fence("goal", text)
