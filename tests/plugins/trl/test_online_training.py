"""A model that is trained on what it says itself learns to say what is rewarded."""

import json
import shutil
from itertools import count
from statistics import fmean

import pytest
from support import training
from support.local import REQUESTS, asked, replies
from support.playing import FAST, WANTED, Wanted, logged, opening, play, prepared, write_openings
from support.training import write_rows

from collab_sdk import as_chat_model
from collab_sdk.errors import InputError, ModelCallError, OutputError

METHODS = ["grpo", "online-dpo", "rloo", "ppo"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def openings(tmp_path_factory):
    return write_openings(tmp_path_factory.mktemp("logs") / "openings.jsonl")


def weights(folder):
    return (folder / "adapter_model.safetensors").read_bytes()


def history(folder, method):
    return json.loads((folder / "metrics.json").read_text())["history"][method]


def share_of_wanted(bot):
    """Of 300 replies, drawn with the same random numbers from every bot."""
    requests = [asked(text, sample=str(number)) for text in REQUESTS for number in range(60)]
    return fmean(reply.content == WANTED for reply in replies(as_chat_model(bot), requests))


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("grpo", {"epochs": 12.0}),
        ("rloo", {"epochs": 12.0}),
        ("ppo", {"epochs": 6.0, "learning_rate": 3e-3}),
        ("online-dpo", {"epochs": 30.0, "batch_size": 10, "per_device_batch_size": 10, "beta": 1.0}),
    ],
)
def test_the_model_learns_to_say_what_is_rewarded(method, settings, openings, tiny_base, tmp_path):
    output = tmp_path / "out"
    slow = {"learning_rate": 6e-3, "batch_size": 50, "per_device_batch_size": 50, "play": play(window=0, candidates=10)}
    report = prepared(method, openings, tiny_base, output, **{**slow, **settings}).run(lambda progress: None)
    assert share_of_wanted(report.bot) > share_of_wanted(f"hf:{tiny_base}") + 0.04
    log = history(output, method)
    for figure in ("reward", "kl", "reply_tokens", "ask_rate", "unscored"):
        assert logged(log, figure), f"{figure} is not logged"
    assert set(logged(log, "unscored")) == {0.0}
    assert logged(log, "kl")[-1] > 0.0
    assert report.steps == log[-1]["step"]
    assert (output / "README.md").exists()
    assert (output / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("method", METHODS)
def test_a_training_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(method, openings, tiny_base, tmp_path):
    settings = {"epochs": 2.0} | ({"batch_size": 5, "per_device_batch_size": 5} if method == "online-dpo" else {})

    def stop(progress):
        if progress.step >= 2 * progress.steps // 3:
            raise KeyboardInterrupt

    prepared(method, openings, tiny_base, tmp_path / "whole", **settings).run(lambda progress: None)
    with pytest.raises(KeyboardInterrupt):
        prepared(method, openings, tiny_base, tmp_path / "stopped", **settings).run(stop)
    report = prepared(method, openings, tiny_base, tmp_path / "stopped", **settings).run(lambda progress: None)
    assert report.resumed
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")


def test_a_training_of_most_steps_writes_checkpoints_as_every_other(openings, tiny_base, tmp_path):
    def stop(progress):
        if progress.step >= 3:
            raise KeyboardInterrupt

    training = prepared("grpo", openings, tiny_base, tmp_path / "out", epochs=100.0, max_steps=4)
    with pytest.raises(KeyboardInterrupt):
        training.run(stop)
    assert training.run(lambda progress: None).resumed


@pytest.mark.parametrize("method", METHODS)
def test_a_reply_without_a_reward_teaches_nothing(method, openings, tiny_base, tmp_path):
    broken = play(metric=Wanted(broken=lambda evidence: True))
    output = tmp_path / "out"
    prepared(method, openings, tiny_base, output, play=broken, epochs=1.0, beta=0.0).run(lambda progress: None)
    assert set(logged(history(output, method), "unscored")) == {1.0}
    from safetensors.torch import load_file

    learnt = load_file(output / "adapter_model.safetensors")
    assert all(not tensor.any() for name, tensor in learnt.items() if "lora_B" in name)


def test_a_user_who_fails_now_and_then_costs_those_replies_alone(openings, tiny_base, tmp_path):
    calls = iter(range(10**6))

    def user(request):
        return ModelCallError("gone") if next(calls) % 3 == 0 else '{"message": "a toast", "done": false, "reason": ""}'

    output = tmp_path / "out"
    prepared("grpo", openings, tiny_base, output, play=play(user=user), epochs=1.0).run(lambda progress: None)
    unscored = fmean(logged(history(output, "grpo"), "unscored"))
    assert 0.1 < unscored < 0.6


def test_every_user_message_is_answered_and_the_last_that_nobody_has_answered_too(tiny_base, tmp_path):
    said = [
        {"role": "user", "content": "a mocha please"},
        {"role": "assistant", "content": "Sure, done."},
        {"role": "user", "content": "a toast"},
    ]
    data = write_rows(tmp_path / "chats.jsonl", [opening(0), opening(1, messages=said)])
    assert prepared("grpo", data, tiny_base, tmp_path / "out").preflight.examples == 3


def test_a_chat_that_is_too_long_is_refused_or_left_out(tiny_base, tmp_path):
    long = [{"role": "user", "content": "a mocha please " * 200}]
    data = write_rows(tmp_path / "chats.jsonl", [opening(0), opening(1, messages=long)])
    training = prepared("grpo", data, tiny_base, tmp_path / "out", max_length=100)
    [fault] = training.preflight.faults
    assert "longer than 100 tokens" in fault.problem
    assert fault.places == ("chat-1, turn 0",)


def test_two_rounds_learn_from_what_the_model_says_in_each(tiny_base, tmp_path):
    output, openings = tmp_path / "out", write_openings(tmp_path / "openings.jsonl", 40)
    settings = {**FAST, "eval_fraction": 0.0, "patience": 0}
    report = prepared("dpo", openings, tiny_base, output, rounds=2, **settings).run(lambda progress: None)
    figures = [json.loads((output / f"round-{number}" / "figures.json").read_text()) for number in (1, 2, 3)]
    rewards = [figure["reward"] for figure in figures]
    assert rewards[2] > rewards[0]
    assert figures[0]["kl"] == 0 < figures[2]["kl"]
    assert all({"reply_tokens", "ask_rate", "lost"} <= figure.keys() for figure in figures)
    assert report.bot == f"hf:{tiny_base}@{output}"
    assert weights(output) == weights(output / "round-2" / "adapter")
    assert f"{output.name}={output}" in report.serve["vLLM"]
    assert f"{output.name}={output}" in (output / "README.md").read_text()
    assert not list(output.rglob("merged"))
    assert share_of_wanted(report.bot) > share_of_wanted(f"hf:{tiny_base}")


def test_chats_are_on_one_side_in_all_rounds_and_the_last_is_compared_with_the_base(tiny_base, tmp_path):
    """Though other chats are lost in each round, and what follows a greeting is said anew."""
    rows = [opening(number, messages=[{"role": "user", "content": f"latte {number}"}]) for number in range(60)]
    openings, output = write_rows(tmp_path / "openings.jsonl", rows), tmp_path / "out"
    calls = count()

    def broken(evidence):
        return next(calls) % 9 == 0

    settings = {**FAST, "patience": 0, "play": play(metric=Wanted(broken=broken), candidates=3), "epochs": 2.0}
    report = prepared("dpo", openings, tiny_base, output, rounds=2, **settings).run(lambda progress: None)
    sides = {name: set() for name in ("prefs.jsonl", "prefs.eval.jsonl")}
    for number in (1, 2):
        for name, said in sides.items():
            lines = (output / f"round-{number}" / name).read_text().splitlines()
            found = {json.loads(line)["prompt"][0]["content"] for line in lines}
            assert found, (number, name)
            said |= found
    assert sides["prefs.jsonl"].isdisjoint(sides["prefs.eval.jsonl"])
    assert report.held_out.against == "its base"
    assert report.held_out.before["margin"].mean == pytest.approx(base_margin(tiny_base, output), abs=1e-3)


def base_margin(base, output):
    """Of the pairs that are held out of the second round."""
    from collab_trl.pretrained import read_model

    held_out = output / "round-2" / "prefs.eval.jsonl"
    pairs = training.prepared(held_out, base, output / "none", eval_fraction=0.0).compared
    return margin(read_model(base, dtype="float32"), pairs)


def test_a_round_begins_where_the_one_before_it_ended_on_a_base_in_bfloat16(tiny_base, tmp_path):
    """A base in bfloat16 has no room for an update this small: merged into it, most of it would be lost."""
    from collab_trl.pretrained import read_adapter, read_model

    output, openings = tmp_path / "out", write_openings(tmp_path / "openings.jsonl", 40)
    base = in_bfloat16(tiny_base, tmp_path / "base")
    settings = {**FAST, "learning_rate": 3e-3, "eval_fraction": 0.0, "patience": 0}
    prepared("dpo", openings, base, output, rounds=2, **settings).run(lambda progress: None)
    pairs = training.prepared(output / "round-2" / "prefs.jsonl", base, tmp_path / "none", eval_fraction=0.0).compared
    assert len(pairs.rows) <= settings["batch_size"], "the first step has all of them"
    first = history(output / "round-2" / "adapter", "dpo")[0]
    model = read_model(base, dtype="float32")
    before = margin(model, pairs)
    ended = margin(read_adapter(model, output / "round-1" / "adapter"), pairs)
    begun = first["logps/chosen"] - first["logps/rejected"]
    assert abs(ended - before) > 0.01
    assert begun - before == pytest.approx(ended - before, rel=2e-3)


def in_bfloat16(base, folder):
    from transformers import AutoModelForCausalLM

    shutil.copytree(base, folder)
    AutoModelForCausalLM.from_pretrained(base).bfloat16().save_pretrained(folder)
    return folder


def margin(model, pairs):
    """How much likelier the chosen replies are than the rejected ones, in nats, on average."""
    from collab_trl.log_probabilities import log_probabilities

    chosen, rejected = (fmean(log_probabilities(model, side)) for side in zip(*pairs.rows, strict=True))
    return chosen - rejected


def test_rounds_that_were_stopped_go_on_and_more_can_be_asked_for(openings, tiny_base, tmp_path):
    settings = {**FAST, "eval_fraction": 0.0, "patience": 0, "epochs": 1.0}

    def stop(progress):
        if progress.stage.startswith("round 2"):
            raise KeyboardInterrupt

    for output, rounds, on_progress in (("whole", 2, print), ("stopped", 2, stop), ("stopped", 1, print)):
        training = prepared("dpo", openings, tiny_base, tmp_path / output, rounds=rounds, **settings)
        if on_progress is stop:
            with pytest.raises(KeyboardInterrupt):
                training.run(stop)
        else:
            training.run(on_progress)
    prepared("dpo", openings, tiny_base, tmp_path / "stopped", rounds=2, **settings).run(lambda progress: None)
    last = [tmp_path / output / "round-2" / "adapter" for output in ("whole", "stopped")]
    assert weights(last[0]) == weights(last[1])


def test_a_round_whose_pairs_are_all_held_out_says_so_each_time(openings, tiny_base, tmp_path):
    settings = {"epochs": 1.0, "beta": 0.1, "play": play(candidates=3), "eval_fraction": 0.999}
    for _ in range(2):
        training = prepared("dpo", openings, tiny_base, tmp_path / "out", rounds=1, **settings)
        with pytest.raises(InputError, match=r"round 1: all \d+ pairs are held out, and none is left to train on"):
            training.run(lambda progress: None)


def test_a_folder_with_rounds_of_another_training_is_left_alone(openings, tiny_base, tmp_path):
    settings = {**FAST, "eval_fraction": 0.0, "patience": 0, "epochs": 1.0}
    prepared("dpo", openings, tiny_base, tmp_path / "out", rounds=1, **settings).run(lambda progress: None)
    other = prepared("dpo", openings, tiny_base, tmp_path / "out", rounds=1, **{**settings, "beta": 0.3})
    with pytest.raises(OutputError, match=r"holds another training \(it differs in beta\)"):
        other.run(lambda progress: None)
