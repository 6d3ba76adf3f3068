"""What requests to a local model have in common is computed once, and changes no reply."""

import pytest
import torch
from collab_trl.hf import batch
from collab_trl.hf.prefixes import PrefixTree
from support.local import asked, replies

from collab_sdk import ChatRequest, Message, as_chat_model

pytestmark = pytest.mark.slow
HISTORY = "a large latte to go and a train to book " * 8


@pytest.fixture
def read(monkeypatch):
    """How many tokens each forward pass has read, padding included."""
    from transformers import LlamaForCausalLM

    seen, forward = [], LlamaForCausalLM.forward

    def watched(self, input_ids, **options):
        seen.append(input_ids.numel())
        return forward(self, input_ids, **options)

    monkeypatch.setattr(LlamaForCausalLM, "forward", watched)
    return seen


def exact(folder):
    return as_chat_model(f"hf:{folder}?dtype=float32")


def going_on(*texts: str, sample: str = "0", **settings) -> ChatRequest:
    """A request whose history ends with `texts`, said in turn by assistant and user."""
    request = asked(HISTORY, sample=sample, **settings)
    turns = (Message(role=("assistant", "user")[place % 2], content=text) for place, text in enumerate(texts))
    return ChatRequest(
        role=request.role, messages=(*request.messages, *turns), sample=sample, settings=request.settings
    )


def futures() -> list[ChatRequest]:
    return [going_on(size, who, sample=size + who) for size in ("Small?", "Large?") for who in ("yes", "no", "a mocha")]


def save(model, tokenizer, folder):
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tokenizer(tiny_base):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_base)


@pytest.fixture
def windowed(tokenizer, tmp_path):
    """A model of random weights whose layers see the last 20 tokens only."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(3)
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=20,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return save(MistralForCausalLM(config), tokenizer, tmp_path)


@pytest.fixture
def recurrent(tokenizer, tmp_path):
    """A model of random weights that keeps more of what it has read than keys and values."""
    from transformers import Lfm2Config, Lfm2ForCausalLM

    torch.manual_seed(3)
    config = Lfm2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention"],
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    return save(Lfm2ForCausalLM(config), tokenizer, tmp_path)


def test_what_requests_share_is_read_once(tiny_base, read):
    model = exact(tiny_base)
    [first] = replies(model, [going_on(max_tokens=1)])
    read.clear()
    replies(model, [going_on(sample=str(number), max_tokens=1) for number in range(6)])
    assert sum(read) == 6  # the last token of the prompt, once for each row
    read.clear()
    again = replies(exact(tiny_base), [going_on("Sure.", str(number), max_tokens=1) for number in range(6)])
    assert sum(read) < first.prompt_tokens + sum(reply.prompt_tokens - first.prompt_tokens for reply in again)


def test_a_turn_reads_only_what_was_said_since_the_last(tiny_base, read):
    model = exact(tiny_base)
    [reply] = replies(model, [going_on(temperature=0.0)])
    read.clear()
    [after] = replies(model, [going_on(reply.content, "a toast", temperature=0.0, max_tokens=1)])
    new = after.prompt_tokens - reply.prompt_tokens - reply.completion_tokens
    assert sum(read) <= new + 2


@pytest.mark.parametrize("kind", ["tiny_base", "windowed", "recurrent"])
def test_a_reply_is_the_same_whatever_was_computed_before(kind, request, monkeypatch):
    folder = request.getfixturevalue(kind)
    monkeypatch.setattr(batch, "PREFIX_SHARE", 0.0)
    model = exact(folder)
    alone = [reply for each in futures() for reply in replies(model, [each])]
    monkeypatch.setattr(batch, "PREFIX_SHARE", 0.1)
    del model
    model = exact(folder)
    assert replies(model, futures()) == alone
    assert replies(model, futures()) == alone
    assert [reply for each in futures()[::-1] for reply in replies(model, [each])] == alone[::-1]


def test_a_reply_of_a_model_with_windows_is_what_transformers_generates(windowed, tokenizer):
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(windowed)
    requests = [going_on(*turns, temperature=0.0, max_tokens=12) for turns in ((), ("Which?", "a mocha"), ("Hm?", "b"))]
    for request, reply in zip(requests, replies(exact(windowed), requests), strict=True):
        chat = [message.to_dict() for message in request.messages]
        inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")
        [tokens] = theirs.generate(**inputs, do_sample=False, max_new_tokens=12)
        said = tokenizer.decode(tokens[inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert reply.content == said.strip()


def test_a_model_keeps_nothing_beyond_its_share_of_memory(tiny_base, read, monkeypatch):
    monkeypatch.setattr(batch, "PREFIX_SHARE", 0.0)
    model = exact(tiny_base)
    for _ in range(2):
        read.clear()
        [reply] = replies(model, [going_on(max_tokens=1)])
        assert sum(read) >= reply.prompt_tokens


def test_a_model_in_training_keeps_nothing_from_before_a_step(tiny_base, tokenizer):
    from collab_trl.hf.chat_format import ChatFormat
    from collab_trl.online.policy import Policy
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    form = ChatFormat(tokenizer, ends=[], folder=tiny_base)
    policy = Policy(model, form, reply_limit=20)
    before = replies(policy, futures())
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)), alpha=0.2)
    after = replies(policy, futures())
    assert after != before
    assert after == replies(Policy(model, form, reply_limit=20), futures())


def states(n: int, value: float = 0.0) -> list[torch.Tensor]:
    return [torch.full((2, n, 4), value) for _ in range(2)]


def size(n: int) -> int:
    return sum(state.nbytes for state in states(n))


def test_sequences_share_what_they_have_in_common():
    tree = PrefixTree()
    tree.add((1, 2, 3, 4), states(4, 1.0))
    tree.add((1, 2, 5), states(3, 2.0))
    assert [tree.known(each) for each in ((1, 2, 3, 4, 9), (1, 2, 5), (1, 2, 9), (7,), ())] == [4, 3, 2, 0, 0]
    joined = torch.cat([piece[0] for piece in tree.states((1, 2, 5))], dim=1)
    assert joined[0, :, 0].tolist() == [1.0, 1.0, 2.0]
    tree.trim(size(5))
    assert tree.known((1, 2, 3, 4)) == 4


def test_what_was_unused_for_longest_is_given_up_first():
    tree = PrefixTree()
    for last in (3, 4, 5):
        tree.add((1, 2, last), states(3))
    list(tree.states((1, 2, 3)))
    tree.trim(size(4))
    assert [tree.known((1, 2, last)) for last in (3, 4, 5)] == [3, 2, 3]
    tree.trim(0)
    assert tree.known((1, 2, 3)) == 0
