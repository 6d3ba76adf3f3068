"""What a reply's log-probability is does not hang on what else is asked, and is the model's own."""

import math

import pytest
import torch
from collab_trl.log_probabilities import log_probabilities
from collab_trl.preference.tokens import Completion
from collab_trl.pretrained import read_adapter, read_model

pytestmark = pytest.mark.slow


def row(prompt, reply, learnt=None):
    return prompt, Completion(ids=reply, learnt=learnt or [1] * len(reply))


ROWS = [
    row([5, 6, 7], [8, 9]),
    row([5, 6, 7, 8, 9, 10, 11], [12]),
    row([9], [5, 6, 7, 8, 9, 10], [1, 1, 0, 0, 1, 1]),
    row([5, 6], [7, 8, 9, 10]),
]


@pytest.fixture(scope="module")
def adapted(tiny_base, tiny_adapter):
    return read_adapter(read_model(tiny_base, dtype=torch.float32), tiny_adapter)


def one_by_one(model, prompt, reply):
    """By the definition: token after token."""
    total = 0.0
    for place, (token, counts) in enumerate(zip(reply.ids, reply.learnt, strict=True)):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*prompt, *reply.ids[:place]]])).logits[0, -1]
        total += logits.log_softmax(-1)[token].item() if counts else 0.0
    return total


def test_it_is_the_sum_over_the_learnt_tokens_whatever_the_rows_beside_it(adapted):
    wanted = [one_by_one(adapted, *each) for each in ROWS]
    assert log_probabilities(adapted, ROWS) == pytest.approx(wanted, abs=1e-4)
    assert log_probabilities(adapted, ROWS[:1]) == pytest.approx(wanted[:1], abs=1e-4)
    assert log_probabilities(adapted, []) == []


def test_without_the_adapter_it_is_the_base_s(adapted, tiny_base):
    with adapted.disable_adapter():
        before = log_probabilities(adapted, ROWS)
    assert before == pytest.approx(log_probabilities(read_model(tiny_base, dtype=torch.float32), ROWS), abs=1e-5)
    after = log_probabilities(adapted, ROWS)
    assert not any(math.isclose(*both, abs_tol=1e-3) for both in zip(before, after, strict=True))


def test_rows_too_large_for_one_batch_go_in_several(adapted, monkeypatch):
    together = log_probabilities(adapted, ROWS)
    monkeypatch.setattr("collab_trl.log_probabilities.TOKENS", 8)
    assert log_probabilities(adapted, ROWS) == pytest.approx(together, abs=1e-5)


def test_a_row_too_large_by_itself_goes_through_the_head_in_stretches(adapted, monkeypatch):
    whole, widths = log_probabilities(adapted, ROWS), []

    def forward(*inputs, **settings):
        output = own(*inputs, **settings)
        widths.append(output.logits.shape[:2].numel())
        return output

    own = adapted.forward
    monkeypatch.setattr(adapted, "forward", forward)
    monkeypatch.setattr("collab_trl.log_probabilities.LOGITS", 2 * adapted.config.vocab_size)
    assert log_probabilities(adapted, ROWS) == pytest.approx(whole, abs=1e-4)
    assert max(widths) == 2


def test_a_model_in_training_stays_in_training(adapted):
    adapted.train()
    log_probabilities(adapted, ROWS)
    assert adapted.training
    adapted.eval()
