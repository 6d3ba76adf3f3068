"""A model that calls tools learns from what it did, and not from what the tools gave back."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from support.fakes import judged, user_says
from support.local import replies
from support.playing import FAST, prepared
from support.training import calling, request, tool_pair, turn, write_rows, write_tool_base

from collab_sdk import ChatRequest, Engine, Evidence, MRScorer, Rollout, Simulator, as_chat_model
from collab_sdk.errors import InputError
from collab_sdk.messages import as_messages
from collab_sdk.models.base import CallRole
from collab_sdk.prompts import unfence
from collab_sdk.spec import ModelSettings, PairRule
from collab_sdk.testing import FakeChatModel
from collab_sdk.training import Play

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]
ASKED = [{"role": "user", "content": request(0)}]
STEPS = 80
NUMBER = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
LOOK_UP = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks an order up.",
        "parameters": {**NUMBER, "additionalProperties": False},
    },
}
"""As the function below is declared, which the model is then taught to call."""


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """It has been taught that it may look an order up and say so, or say so alone."""
    return taught(write_tool_base(tmp_path_factory.mktemp("base")))


def taught(folder: Path) -> Path:
    import torch
    from collab_trl.base import read_base
    from collab_trl.preference.row_formats import read_example
    from collab_trl.preference.tokens import Layout
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    base, model = read_base(str(folder)), AutoModelForCausalLM.from_pretrained(folder)
    layout = Layout(base.tokenizer, base.chat_format())
    tokens = [layout.tokenize(read_example({**tool_pair(5), "prompt": ASKED, "tools": json.dumps([LOOK_UP])}, "here"))]
    rows = [(each.prompt, side) for each in tokens for side in (each.chosen, each.rejected)]
    width = max(len(prompt) + len(side.ids) for prompt, side in rows)
    ids = torch.tensor([_padded(prompt + side.ids, width, 0) for prompt, side in rows])
    labels = [
        [-100] * len(prompt) + [i if counts else -100 for i, counts in zip(side.ids, side.learnt, strict=True)]
        for prompt, side in rows
    ]
    targets = torch.tensor([_padded(each, width, -100) for each in labels])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        model(input_ids=ids, labels=targets).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def _padded(tokens: Sequence[int], width: int, filler: int) -> list[int]:
    return [*tokens, *[filler] * (width - len(tokens))]


def opening(number: int) -> dict[str, Any]:
    """The order's state stands in the log."""
    return {"id": f"chat-{number}", "messages": [*ASKED, *turn(5)], "tools": [LOOK_UP], "goal": "to know the state"}


class Deeds:
    """1 for conversations in which the order was looked up."""

    name = "deeds"

    def rubric(self, goal: Any) -> None:
        return None

    def artefact(self, goal: Any) -> None:
        return None

    def value(self, evidence: Evidence) -> float:
        return float(any(message.role == "tool" and "open" in message.content for message in evidence.messages))


def play(*, tools: Any = "recorded", window: int = 0, candidates: int = 8, personas: Sequence[str] = ()) -> Play:
    engine = Engine()
    user = FakeChatModel(lambda _: user_says("thanks"), name="user")
    simulator = Simulator(user, personas=personas, engine=engine)
    unused = FakeChatModel([], name="replaced by the model in training")
    rollout = Rollout(
        assistant=unused,
        simulator=simulator,
        window=window,
        samples=1,
        temperature=1.0,
        max_tokens=60,
        tools=tools,
        calls_per_turn=3,
    )
    judge = FakeChatModel(lambda _: judged(), name="judge")
    scorer = MRScorer(rollout, metrics={Deeds(): 1.0}, judge=judge, min_samples=1)
    rule = PairRule(candidates=candidates, fixed_samples=True, min_confidence=0)
    return Play(scorer=scorer, exchanges=2, rule=rule)  # a user who says the same a third time is lost


def player(base: Path, **how: Any) -> tuple[Any, Any]:
    from collab_trl.base import read_base
    from collab_trl.online.histories import histories_of
    from collab_trl.online.player import Player
    from collab_trl.online.policy import Policy
    from transformers import AutoModelForCausalLM

    from collab_sdk.logs import get_log_format

    known, scorer = read_base(str(base)), play(**how).scorer
    chats = [get_log_format("openai").read(opening(0))]
    histories = histories_of(
        chats, known.chat_format(), scorer.rollout.toolbox, longest=2000, openings=False, learns_calls=True, faults={}
    )
    policy = Policy(AutoModelForCausalLM.from_pretrained(base), known.chat_format(), reply_limit=60)
    return Player(policy, scorer, histories), known.tokenizer


def parts(tokenizer: Any, completion: Sequence[int], mask: Sequence[int]) -> tuple[str, str]:
    """What the policy wrote in a sequence, and what others did."""
    both = list(zip(completion, mask, strict=True))
    return tuple(tokenizer.decode([token for token, own in both if own == whose]) for whose in (1, 0))


CALL = '<tool_call>\n{"name": "look_up", "arguments": {"order": 5}}\n</tool_call><|im_end|>'


def test_a_turn_with_calls_is_one_sequence_in_which_results_are_masked(base):
    from collab_trl.online.player import as_one_sequence

    playing, tokenizer = player(base, window=1)
    episodes = playing.play([0] * 12, draw="step-0")
    acted = [each for each in episodes if each.reward == 1.0]
    assert 2 < len(acted) < 12
    for episode in acted:
        prompt, completion, mask = as_one_sequence(episode.turns)
        assert tokenizer.decode(prompt).endswith(f"<|im_start|>user\n{request(0)}<|im_end|>\n<|im_start|>assistant\n")
        assert "Looks an order up." in tokenizer.decode(prompt)
        wrote, between = parts(tokenizer, completion, mask)
        assert wrote.startswith(f"{CALL}It is open.<|im_end|>")
        assert "<tool_response>\nstatus 5: open\n</tool_response>" in between
        assert "status 5" not in wrote
        assert "thanks" in between


def test_replies_that_are_compared_meet_the_same_user(base):
    met = []
    for step in range(6):
        playing, _ = player(base, window=1, personas=["terse", "polite", "vague", "impatient"])
        playing.play([0] * 6, draw=f"step-{step}/0")
        user = playing._scorer.rollout.simulator.model
        met.append({unfence("persona", request.messages[-1].content) for request in user.requests})
        assert len(user.requests) > 1
    assert [len(each) for each in met] == [1] * 6
    assert len(set.union(*met)) > 1


def test_what_nobody_can_run_teaches_nothing_and_stops_nothing(base):
    playing, _ = player(base, tools="none")
    episodes = playing.play([0] * 12, draw="step-0")
    called = [each for each in episodes if each.reward is None]
    assert 2 < len(called) < 12
    assert all(len(each.turns) == 1 for each in called)
    assert playing.statistics()["unscored"] == pytest.approx(len(called) / 12)


def share_that_acts(bot: str) -> float:
    requests = [
        ChatRequest(
            role=CallRole.ASSISTANT,
            messages=as_messages(ASKED),
            tools=(LOOK_UP,),
            sample=str(number),
            settings=ModelSettings(temperature=1.0, max_tokens=60),
        )
        for number in range(100)
    ]
    return fmean(bool(reply.tool_calls) for reply in replies(as_chat_model(bot), requests))


def test_grpo_learns_to_act_where_deeds_are_rewarded(base, tmp_path):
    data = write_rows(tmp_path / "chats.jsonl", map(opening, range(4)))
    settings = {"learning_rate": 1e-2, "batch_size": 32, "per_device_batch_size": 32, "epochs": 8.0, "play": play()}
    report = prepared("grpo", data, base, tmp_path / "out", **{**FAST, **settings}).run(lambda progress: None)
    before, after = share_that_acts(f"hf:{base}"), share_that_acts(report.bot)
    assert 0.2 < before < 0.8
    assert after > before + 0.1


@pytest.mark.parametrize("method", ["online-dpo", "rloo", "ppo"])
def test_methods_that_learn_from_replies_alone_refuse_chats_with_tools_in_one_line(method, base, tmp_path):
    data = write_rows(tmp_path / "chats.jsonl", map(opening, range(3)))
    with pytest.raises(
        InputError, match="this method learns from replies alone: take --method grpo or --rounds"
    ) as told:
        prepared(
            method,
            data,
            base,
            tmp_path / "out",
            **{**FAST, "batch_size": 16, "per_device_batch_size": 16, "play": play()},
        )
    assert "\n" not in str(told.value)
    plain = {"id": "plain", "messages": [{"role": "system", "content": "Only talk."}, *ASKED], "goal": "to know"}
    data = write_rows(tmp_path / "chats.jsonl", [*map(opening, range(3)), plain])
    preflight = prepared(
        method, data, base, tmp_path / "out", **{**FAST, "batch_size": 16, "per_device_batch_size": 16, "play": play()}
    ).preflight
    assert preflight.examples == 1
    assert [len(fault.places) for fault in preflight.faults] == [3]


def look_up(order: int) -> str:
    """Looks an order up."""
    return "open"


def test_rounds_pair_turns_with_calls_and_learn_from_them(base, tmp_path):
    asked = ({**opening(number), "messages": [*ASKED, {"role": "assistant", "content": "Hm."}]} for number in range(6))
    data = write_rows(tmp_path / "chats.jsonl", asked)
    settings = {
        "rounds": 1,
        "play": play(tools={"look_up": look_up}, window=1),
        "eval_fraction": 0.0,
        "learning_rate": 1e-3,
    }
    report = prepared("dpo", data, base, tmp_path / "out", **{**FAST, **settings}).run(lambda progress: None)
    assert report.steps > 0
    [first, *_] = [json.loads(line) for line in (tmp_path / "out/round-1/prefs.jsonl").read_text().splitlines()]
    assert {message["role"] for message in first["chosen"]} == {"assistant", "tool"}
    assert (first["score_chosen"], first["score_rejected"]) == (1.0, 0.0)
    assert [tool["function"]["name"] for tool in json.loads(first["tools"])] == ["look_up"]


def test_a_call_is_written_as_the_template_writes_it(base):
    """Or the sequence would end before what comes after it."""
    from collab_trl.base import read_base

    known = read_base(str(base))
    whole = known.chat_format().prompt(as_messages([*ASKED, calling(5)]), [LOOK_UP])
    assert CALL in known.tokenizer.decode(whole)


def test_rewards_in_training_are_measured_with_the_tools_of_a_score(base, tmp_path):
    from collab_trl.base import read_base
    from collab_trl.online.histories import histories_of, read_chats

    silent = {key: value for key, value in opening(0).items() if key != "tools"}
    asked = {"id": "chat-1", "messages": [*ASKED, {"role": "assistant", "content": "Hm."}], "tools": [LOOK_UP]}
    chats, _ = read_chats(write_rows(tmp_path / "chats.jsonl", [silent, asked]))
    assert [tool["function"]["name"] for tool in chats[0].tools] == ["look_up"]
    bare = [replace(chats[0], tools=())]
    toolbox, known = play().scorer.rollout.toolbox, read_base(str(base))
    [history] = histories_of(
        bare, known.chat_format(), toolbox, longest=2000, openings=False, learns_calls=True, faults={}
    )
    assert history.conversation.tools == history.tools
    assert [tool["function"]["name"] for tool in history.tools] == ["look_up"]
