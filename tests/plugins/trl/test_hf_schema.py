"""Replies of a local model that are held to a JSON Schema, and what it refuses as a server would."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from collab_trl.hf.grammar import Grammars
from support.local import asked, replies

from collab_sdk import Engine, Message, as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import ParameterRefusedError
from collab_sdk.models.dialect import Dialect, ReplyFormat

pytestmark = pytest.mark.slow

VERDICT = {
    "type": "object",
    "properties": {
        "done": {"type": "boolean"},
        "size": {"enum": ["small", "large"]},
        "points": {"type": "integer", "minimum": 0, "maximum": 10},
        "met": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    },
    "required": ["done", "size", "points", "met"],
    "additionalProperties": False,
}
SAYING = {
    "type": "object",
    "properties": {"message": {"type": "string"}},
    "required": ["message"],
    "additionalProperties": False,
}


@pytest.fixture
def model(tiny_base):
    return as_chat_model(f"hf:{tiny_base}?dtype=float32")


def verdicts(n: int = 12):
    return [asked(sample=str(number), reply_schema=VERDICT, max_tokens=200) for number in range(n)]


def test_a_reply_is_the_object_of_its_schema_at_any_temperature(model):
    said = replies(model, [*verdicts(), asked(reply_schema=VERDICT, temperature=0.0, max_tokens=200)])
    objects = [json.loads(reply.content) for reply in said]
    assert {reply.finish_reason for reply in said} == {"stop"}
    for each in objects:
        assert list(each) == ["done", "size", "points", "met"]
        assert isinstance(each["done"], bool)
        assert each["size"] in ("small", "large")
        assert 0 <= each["points"] <= 10
        assert 1 <= len(each["met"]) <= 3
    assert len({reply.content for reply in said}) > 5
    assert not any("  " in reply.content or "\n" in reply.content for reply in said)


def test_free_rows_and_those_with_a_schema_leave_each_other_alone(model):
    requests = [*verdicts(6), *(asked(sample=str(number)) for number in range(6))]
    alone = [reply for request in requests for reply in replies(model, [request])]
    assert replies(model, requests) == alone


def test_a_batch_that_is_made_anew_begins_its_objects_anew(tiny_base, model, monkeypatch):
    from transformers import LlamaForCausalLM

    expected = replies(model, verdicts())
    forward = LlamaForCausalLM.forward

    def breaks_down(self, input_ids, **options):
        if len(input_ids) > 3 and breaks_down.after <= 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        breaks_down.after -= 1
        return forward(self, input_ids, **options)

    breaks_down.after = 8
    monkeypatch.setattr(LlamaForCausalLM, "forward", breaks_down)
    assert replies(model, verdicts()) == expected


def test_an_object_that_runs_into_its_limit_says_so(model):
    [cut] = replies(model, [asked(reply_schema=SAYING, max_tokens=6)])
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 6)


def test_an_endpoint_that_is_asked_for_any_object_gives_one(model):
    loose = Dialect(reply_format=ReplyFormat.OBJECT)
    said = replies(model, [replace(each, dialect=loose) for each in verdicts(6)])
    assert all(reply.content.startswith("{") for reply in said)
    assert not any(reply.content.startswith('{"done"') for reply in said)


def test_a_schema_that_no_grammar_can_be_made_of_is_refused(model):
    unknown = {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}
    with pytest.raises(ParameterRefusedError, match="cannot be held to this schema") as caught:
        replies(model, [asked(reply_schema=unknown)])
    assert caught.value.parameter == "response_format"


def test_a_thought_that_the_template_begins_ends_before_the_object(tiny_base):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    end = tokenizer.eos_token_id
    [mark] = tokenizer.encode("}")
    constraint = Grammars(tokenizer, ends=[end]).constraint(SAYING, after=lambda tokens: tokens[-1] == mark)
    said = tokenizer.encode("hm }")
    for n in range(len(said)):
        allowed = constraint.allowed(len(tokenizer))
        assert not allowed[end]
        assert allowed.sum() == len(tokenizer) - 1  # the thought is free, but it cannot end the reply
        constraint.take(said[: n + 1])
    allowed = constraint.allowed(len(tokenizer) + 5)
    assert tokenizer.decode(int(allowed.nonzero()[0])).startswith("{")
    assert not allowed[end]
    assert not allowed[len(tokenizer) :].any()


def test_a_template_without_system_role_is_answered_all_the_same(tiny_base, tmp_path):
    base = shutil.copytree(tiny_base, tmp_path / "base")
    template = base / "chat_template.jinja"
    picky = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    template.write_text(picky + template.read_text())
    request = asked("a mocha please", temperature=0.0)
    briefed = replace(request, messages=(Message(role="system", content="Be brief."), *request.messages))
    folded = replace(request, messages=(Message(role="user", content="Be brief.\n\na mocha please"),))
    engine, model = Engine(), as_chat_model(f"hf:{base}?dtype=float32")
    with pytest.warns(UserWarning, match="does not take the system role"):
        said = run_sync(engine.call(model, briefed))
    assert said.prompt_tokens == run_sync(engine.call(model, folded)).prompt_tokens
