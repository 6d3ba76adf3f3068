"""What makes training faster must not change what is learnt."""

from typing import Any

import pytest
from support.training import pair, trained, write_base, write_rows

pytestmark = pytest.mark.slow

SHARING = ("llama", "mistral", "qwen2", "qwen3", "smollm3")
SHAPE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "sliding_window": None,
}


def batch() -> dict[str, Any]:
    """Pairs of very different lengths."""
    import torch
    from collab_trl.preference.collators import PairCollator

    torch.manual_seed(0)
    rows = [
        {name: torch.randint(3, 50, (length,)).tolist() for name, length in zip(names, lengths, strict=True)}
        for names in [("prompt_ids", "chosen_ids", "rejected_ids")]
        for lengths in [(7, 3, 9), (12, 5, 1), (4, 4, 4), (1, 1, 2)]
    ]
    for n, row in enumerate(rows):
        for side in ("chosen", "rejected"):  # every third token is a tool's
            row[f"{side}_learnt"] = [int((n + place) % 3 > 0) for place in range(len(row[f"{side}_ids"]))]
    collated: dict[str, Any] = PairCollator(pad_token_id=0, says_prompt_lengths=True)(rows)
    return collated


def log_probs_and_gradient(model, inputs):
    import torch

    labels = inputs["input_ids"].masked_fill(inputs.pop("completion_mask") == 0, -100)
    values = model(**inputs, labels=labels, fused_lm_head=True).log_probs
    weight = model.model.layers[0].self_attn.q_proj.weight
    loss = (values * torch.linspace(0, 1, values.numel()).view_as(values)).sum()
    return values.detach(), torch.autograd.grad(loss, weight)[0]


def test_every_model_type_that_shares_prompts_is_tested():
    from collab_trl.preference.prefix_sharing import SHARING as KNOWN

    assert set(SHARING) == KNOWN


@pytest.mark.parametrize("model_type", SHARING)
def test_a_prompt_computed_once_gives_what_computing_it_twice_gives(model_type):
    import torch
    from collab_trl.preference.prefix_sharing import can_share, share_prefixes
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    config = AutoConfig.for_model(model_type, **SHAPE)
    assert can_share(config)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config)
    add_fused_lm_head(model)
    apart = batch()
    apart.pop("prompt_lengths")
    expected = log_probs_and_gradient(model, apart)
    share_prefixes(model)
    shared = log_probs_and_gradient(model, batch())
    torch.testing.assert_close(shared, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("gpt2", {}),
        ("gemma3_text", {}),
        ("mistral", {"sliding_window": 64}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 64}),
    ],
)
def test_models_that_do_not_attend_to_everything_compute_both(model_type, changes):
    from collab_trl.preference.prefix_sharing import can_share
    from transformers import AutoConfig

    shape = {**SHAPE, **changes, "max_window_layers": 0} if changes else {}
    assert not can_share(AutoConfig.for_model(model_type, **shape))


def test_sharing_the_prompt_trains_the_same_adapter(tmp_path, monkeypatch):
    base = write_base(tmp_path / "base")
    said = {"role": "assistant", "content": "Of course! Anything else?"}
    rows = [pair(n, prompt=[*pair(n + 3)["prompt"], said, *pair(n)["prompt"]]) for n in range(24)]
    data = write_rows(tmp_path / "prefs.jsonl", rows)
    once = trained(data, base, tmp_path / "once", batch_size=8, per_device_batch_size=4, patience=0)
    monkeypatch.setattr("collab_trl.preference.preflight.can_share", lambda config: False)
    monkeypatch.setattr("collab_trl.preference.tokens.Tokens.together", property(lambda tokens: tokens.length))
    twice = trained(data, base, tmp_path / "twice", batch_size=8, per_device_batch_size=4, patience=0)
    found = [{name: figure.mean for name, figure in each.held_out.after.items()} for each in (once, twice)]
    assert found[0] == pytest.approx(found[1], abs=2e-2)


def test_batches_are_of_like_length_and_in_no_order():
    from collab_trl.length_grouping import grouped

    lengths = [(7 * n) % 101 for n in range(400)]
    order = grouped(lengths, batch=8, seed="0/0")
    assert sorted(order) == list(range(400))
    batches = [[lengths[at] for at in order[first : first + 8]] for first in range(0, 400, 8)]
    assert all(max(batch) - min(batch) <= 4 for batch in batches)
    firsts = [batch[0] for batch in batches]
    assert firsts != sorted(firsts)
    assert firsts != sorted(firsts, reverse=True)


def test_every_epoch_has_an_order_of_its_own_and_every_run_the_same():
    from collab_trl.length_grouping import grouped

    lengths = [n % 17 for n in range(100)]
    assert grouped(lengths, batch=8, seed="0/0") == grouped(lengths, batch=8, seed="0/0")
    assert grouped(lengths, batch=8, seed="0/0") != grouped(lengths, batch=8, seed="0/1")
