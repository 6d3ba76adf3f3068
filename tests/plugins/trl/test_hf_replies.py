"""What a local model answers, and that nothing but the request decides it."""

import asyncio
import json
from functools import partial

import pytest
import torch
from support.cli import collab, write_chats
from support.local import REPLIES, asked, replies

from collab_sdk import ChatRequest, Engine, ModelSettings, Rollout, Simulator, as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import ModelCallError, UsageError
from collab_sdk.spec import ROLE_DEFAULTS, Limits, Price

pytestmark = pytest.mark.slow


def mixed(n: int = 24) -> list[ChatRequest]:
    """Requests of different lengths, limits and temperatures."""
    return [
        asked(
            "a mocha please " * (1 + 5 * number % 13),
            sample=str(number),
            temperature=number % 3 / 2,
            max_tokens=3 + number,
        )
        for number in range(n)
    ]


@pytest.fixture
def batches(monkeypatch):
    """The rows of every forward pass."""
    from transformers import LlamaForCausalLM

    seen, forward = [], LlamaForCausalLM.forward

    def watched(self, input_ids, **options):
        seen.append(len(input_ids))
        return forward(self, input_ids, **options)

    monkeypatch.setattr(LlamaForCausalLM, "forward", watched)
    return seen


@pytest.fixture
def positional(tiny_base, tmp_path):
    """A model of random weights that knows tokens by absolute positions, and heeds all of them."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    torch.manual_seed(3)
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    end = tokenizer.eos_token_id
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, eos_token_id=end, bos_token_id=None)
    model = GPT2LMHeadModel(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_reply_is_the_same_alone_and_in_a_batch_where_every_token_counts(positional):
    model = as_chat_model(f"hf:{positional}?dtype=float32")
    alone = [reply for request in mixed() for reply in replies(model, [request])]
    assert len({reply.content for reply in alone}) > 20
    assert replies(model, mixed()) == alone


def test_a_reply_is_the_same_alone_and_in_a_batch(tiny_base, batches):
    model = as_chat_model(f"hf:{tiny_base}?dtype=float32")
    alone = [reply for request in mixed() for reply in replies(model, [request])]
    assert max(batches) == 1
    assert replies(model, mixed()) == alone
    assert max(batches) > 1


def test_a_reply_at_temperature_0_is_what_transformers_generates(tiny_base):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    theirs, tokenizer = (each.from_pretrained(tiny_base) for each in (AutoModelForCausalLM, AutoTokenizer))
    requests = [asked(text, temperature=0.0) for text in ("a mocha please", "plan a hike", "hm " * 40)]
    for request, reply in zip(requests, replies(as_chat_model(f"hf:{tiny_base}?dtype=float32"), requests), strict=True):
        chat = [message.to_dict() for message in request.messages]
        inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")
        [tokens] = theirs.generate(**inputs, do_sample=False, max_new_tokens=50)
        expected = tokens[inputs["input_ids"].shape[1] :]
        assert reply.content == tokenizer.decode(expected, skip_special_tokens=True)
        assert reply.completion_tokens == len(expected)
        assert reply.prompt_tokens == inputs["input_ids"].shape[1]


def test_samples_differ_and_repeat(tiny_base):
    model = as_chat_model(f"hf:{tiny_base}")
    draws = [asked(sample=str(number)) for number in range(30)]
    first = replies(model, draws)
    assert len({reply.content for reply in first}) > 2
    assert {reply.content for reply in first} & set(REPLIES)
    assert replies(model, reversed(draws)) == first[::-1]


def test_a_reply_says_why_it_ended_and_what_it_took(tiny_base):
    cut, whole = replies(
        as_chat_model(f"hf:{tiny_base}"), [asked(temperature=0.0, max_tokens=1), asked(temperature=0.0)]
    )
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 1)
    assert whole.finish_reason == "stop"
    assert whole.prompt_tokens > 5
    assert whole.usd == 0


def test_a_local_model_is_asked_with_settings_of_its_own(tiny_base):
    sure = as_chat_model(f"hf:{tiny_base}", temperature=0.0, max_tokens=2)
    rollout = Rollout(assistant=sure, simulator="offline", engine=Engine())
    assert rollout.settings == ModelSettings(temperature=0.0, max_tokens=2)
    free = rollout.with_assistant(f"hf:{tiny_base}")
    assert free.settings == ROLE_DEFAULTS["assistant"]
    with pytest.raises(UsageError, match="does not take the setting top_p: it takes max_tokens, temperature"):
        as_chat_model(f"hf:{tiny_base}", top_p=0.5)


def test_settings_of_a_local_model_are_options_of_the_command_line(tiny_base, tmp_path):
    def scored(*options):
        roles = ("-a", f"hf:{tiny_base}", "--simulator", "offline", "--metric", "interactivity=1")
        return collab("score", write_chats(tmp_path / "chats.jsonl", 1), *roles, *options, "--json")

    said = {}
    for temperature in ("0", "1.5"):
        result = scored("--assistant-option", f"temperature={temperature}", "--cache", tmp_path / "cache")
        assert result.exit_code == 0, result.output
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        assert all(row["made_with"]["assistants"][0]["settings"] == {"temperature": float(temperature)} for row in rows)
        futures = [future for row in rows for future in row["futures"]]
        said[temperature] = [message["content"] for future in futures for message in future["messages"]]
    assert said["0"] != said["1.5"]
    refused = scored("--assistant-option", "top_p=0.5")
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[-1].endswith(
        "does not take the setting top_p: it takes max_tokens, temperature."
    )


def test_a_local_model_costs_nothing(tiny_base):
    assert as_chat_model(f"hf:{tiny_base}").price == Price(prompt=0, completion=0)


def test_models_on_one_base_share_it_and_keep_apart(tiny_base, tiny_adapter, batches):
    requests = mixed(12)
    plain, tuned = (as_chat_model(f"hf:{path}?dtype=float32") for path in (tiny_base, f"{tiny_base}@{tiny_adapter}"))
    before, after = replies(plain, requests), replies(tuned, requests)
    assert before != after

    async def both():
        return await asyncio.gather(*(model.achat(request) for request in requests for model in (plain, tuned)))

    mingled = run_sync(both())
    assert (mingled[::2], mingled[1::2]) == (before, after)


def test_a_batch_that_does_not_fit_into_memory_is_halved(tiny_base, batches, monkeypatch):
    from transformers import LlamaForCausalLM

    requests = mixed(16)
    expected = replies(as_chat_model(f"hf:{tiny_base}?dtype=float32"), requests)
    forward = LlamaForCausalLM.forward

    def small_device(self, input_ids, **options):
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, input_ids, **options)

    monkeypatch.setattr(LlamaForCausalLM, "forward", small_device)
    batches.clear()
    assert replies(as_chat_model(f"hf:{tiny_base}?dtype=float32"), requests) == expected
    assert max(batches) in (2, 3)


def test_a_chat_that_fits_nowhere_is_lost_and_the_others_are_not(tiny_base):
    model = as_chat_model(f"hf:{tiny_base}")

    async def together():
        calls = (model.achat(request) for request in (asked("hm " * 5000), asked(temperature=0.0)))
        return await asyncio.gather(*calls, return_exceptions=True)

    too_long, answered = run_sync(together())
    assert isinstance(too_long, ModelCallError)
    assert "the model takes 2,048" in str(too_long)
    assert answered.content in REPLIES


def test_a_call_that_nobody_waits_for_any_more_leaves_the_others_alone(tiny_base):
    model = as_chat_model(f"hf:{tiny_base}")

    async def give_one_up():
        kept, dropped = (asyncio.create_task(model.achat(asked(temperature=0.0))) for _ in range(2))
        await asyncio.sleep(0)
        dropped.cancel()
        return await kept

    assert run_sync(give_one_up()).content in REPLIES


def test_an_engine_waits_for_a_local_model_however_long_it_loads(tiny_base):
    engine = Engine(limits=Limits(timeout=1e-9))
    reply = run_sync(engine.call(as_chat_model(f"hf:{tiny_base}"), asked(temperature=0.0)))
    assert reply.content in REPLIES


def test_an_engine_lets_enough_calls_in_to_fill_batches(tiny_base, batches):
    engine, model = Engine(limits=Limits(concurrency=32)), as_chat_model(f"hf:{tiny_base}")

    async def many():
        call = partial(engine.call, model)
        await asyncio.gather(*(call(asked(sample=str(number), temperature=0.0)) for number in range(64)))

    run_sync(many())
    assert max(batches) >= 8


def test_a_local_model_that_cannot_play_the_user_loses_its_samples_only(tiny_base):
    simulator = Simulator(f"hf:{tiny_base}", engine=Engine())
    chat = [{"role": "user", "content": "a mocha please"}, {"role": "assistant", "content": "Which size?"}]
    with pytest.raises(Exception, match="ran into its token limit"):
        simulator.reply(chat, goal="a large mocha")
