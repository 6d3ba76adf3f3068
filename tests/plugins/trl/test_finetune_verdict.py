"""A run judges itself: what is better than its base is said to be, and nothing else is."""

import json
import math
import re
from dataclasses import replace
from random import Random

import pytest
from collab_trl.output.card import model_card
from collab_trl.output.verdict import costs, verdict_of
from markdown_it import MarkdownIt
from support.cli import collab
from support.training import ASKS, GUESSES, guest, pair, trained, write_base, write_pairs, write_rows

from collab_sdk.errors import UnknownNameError
from collab_sdk.stats import estimate_difference
from collab_sdk.training import HeldOut, RepliesCompared

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]
FAST = ("--learning-rate", "2e-2", "--batch-size", 8, "--epochs", 2, "--eval-fraction", 0.4, "--dtype", "float32")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("verdict") / "base")


def reversed_pair(number):
    row = pair(number)
    return {**row, "chosen": row["rejected"], "rejected": row["chosen"]}


def metrics_of(output):
    return json.loads((output / "metrics.json").read_text())


def test_an_adapter_that_is_better_is_said_to_be_and_ends_well(base, tmp_path):
    data, output = write_pairs(tmp_path / "prefs.jsonl"), tmp_path / "out"
    result = collab("finetune", data, "-m", base, "-o", output, *FAST)
    assert result.exit_code == 0, result.output
    assert "Better than its base: on" in result.stderr
    assert f"Adapter: {output}" in result.stderr
    [first] = [line for line in (output / "README.md").read_text().splitlines() if line.startswith("**")][:1]
    assert first == f"**{metrics_of(output)['verdict']['said']}**"
    lines = result.stderr.splitlines()
    shown = [sum(line.startswith(f"  {who} ") for line in lines) for who in ("asked", "base", "adapter")]
    assert shown == [3, 3, 3], "three held-out replies of both"


def test_pairs_in_no_order_end_in_a_sentence(base, tmp_path):
    random = Random(3)
    rows = [pair(number) if random.random() < 0.5 else reversed_pair(number) for number in range(40)]
    data, output = write_rows(tmp_path / "prefs.jsonl", rows), tmp_path / "out"
    result = collab("finetune", data, "-m", base, "-o", output, *FAST, "--loss", "sigmoid=1")
    assert result.exit_code == 3, result.output
    assert metrics_of(output)["verdict"]["found"] in ("no different", "worse")
    assert "from its base: on" in result.stderr or "than its base: on" in result.stderr
    assert "Adapter:" not in result.stderr
    assert "it is not worth serving as it is" in result.stderr
    assert "Serve it" not in result.stderr


def test_a_few_pairs_end_in_a_sentence(base, tmp_path):
    data, output = write_pairs(tmp_path / "prefs.jsonl", 20), tmp_path / "out"
    result = collab("finetune", data, "-m", base, "-o", output)
    assert result.exit_code == 3, result.output
    assert "at least 8 are needed" in result.stderr
    assert f"What was trained is in {output}." in result.stderr, "of what is not known, nothing is said"
    assert "Adapter:" not in result.stderr


def test_one_that_learnt_the_reverse_of_what_is_held_out_is_worse(base, tmp_path):
    data = write_rows(tmp_path / "prefs.jsonl", [pair(number) for number in range(20)])
    write_rows(tmp_path / "prefs.eval.jsonl", [reversed_pair(number) for number in range(20, 40)])
    report = trained(data, base, tmp_path / "out", patience=0)
    assert report.verdict.found == "worse"
    assert not report.verdict.is_good
    assert "Worse than its base" in report.verdict.said


def test_a_training_that_hardly_moved_is_told_from_none(base, tmp_path):
    report = trained(write_pairs(tmp_path / "prefs.jsonl"), base, tmp_path / "out", learning_rate=1e-9)
    assert not report.verdict.is_good
    assert report.held_out.update < 1e-6
    assert "try" in report.verdict.said


def test_with_nothing_to_be_held_out_nothing_is_judged(base, tmp_path):
    data = write_pairs(tmp_path / "prefs.jsonl", 20)
    result = collab("finetune", data, "-m", base, "-o", tmp_path / "out", *FAST, "--eval-fraction", 0)
    assert result.exit_code == 0, result.output
    assert "Nothing was held out, so it is not known" in result.stderr
    assert "Adapter:" in result.stderr


def test_what_the_models_say_themselves_and_what_was_forgotten_are_figures(base, tmp_path):
    report = trained(write_pairs(tmp_path / "prefs.jsonl"), base, tmp_path / "out", epochs=6.0)
    found = report.held_out
    assert found.after["asks"].mean > found.before["asks"].mean, "it has learnt to ask"
    assert found.difference["reply_tokens"].mean == pytest.approx(
        found.after["reply_tokens"].mean - found.before["reply_tokens"].mean
    )
    assert found.difference["ordinary_logp"].n == found.before["ordinary_logp"].n == 24
    assert {reply.after for reply in found.replies} == {ASKS}
    assert {reply.before for reply in found.replies}.isdisjoint({ASKS, GUESSES})
    assert found.update > 0.01


def test_the_last_step_is_kept_unless_an_earlier_one_was_clearly_better(tmp_path):
    from collab_trl.preference.looks import Looks

    names = [f"chat {number}" for number in range(12)]
    random = Random(0)
    looks = Looks(tmp_path / "looks.json", names, until=0)
    for step in range(5):  # all the same but for noise
        looks.add(step, [1 + random.gauss(0, 0.3) for _ in names], write=True)
    assert looks.standing().kept == 4
    assert looks.standing().worse == 0
    looks.add(5, [2 + random.gauss(0, 0.3) for _ in names], write=True)
    looks.add(6, [2 + random.gauss(0, 0.3) for _ in names], write=True)
    assert looks.standing().worse == 2
    assert looks.standing().kept == looks.standing().best < 5
    again = Looks(tmp_path / "looks.json", names, until=5)
    assert again.standing().worse == 1, "what was seen after the checkpoint is seen again"


def test_training_is_not_stopped_within_its_first_pass(base, tmp_path):
    data = write_rows(tmp_path / "prefs.jsonl", [pair(number) for number in range(40)])
    held_out = [{**guest(number), "chosen": pair(0)["rejected"], "rejected": pair(0)["chosen"]} for number in range(60)]
    write_rows(
        tmp_path / "prefs.eval.jsonl", [{**row, "conversation_id": f"other {n}"} for n, row in enumerate(held_out)]
    )
    report = trained(data, base, tmp_path / "out", batch_size=2, patience=1, epochs=3.0)
    assert 20 <= report.steps < 60, "every look is worse than the one before, from the first on"
    assert report.held_out.looks > 1
    assert report.kept_step < report.steps, "the adapter that is kept is one from before it got worse"


def test_a_run_of_one_step_learns(base, tmp_path):
    report = trained(write_pairs(tmp_path / "prefs.jsonl"), base, tmp_path / "out", max_steps=1)
    assert report.steps == 1
    assert report.held_out.update > 0


def test_one_that_went_on_from_an_adapter_is_compared_with_that(base, tmp_path):
    """The first was better than the base, and hardly anything is added to it."""
    data = write_pairs(tmp_path / "prefs.jsonl")
    first = trained(data, base, tmp_path / "first", epochs=6.0)
    assert first.verdict.found == "better"
    second = trained(data, base, tmp_path / "second", adapter=tmp_path / "first", learning_rate=1e-9)
    assert "from the adapter it began with" in second.verdict.said
    assert second.held_out.before["margin"].mean == pytest.approx(first.held_out.after["margin"].mean, rel=1e-3)
    assert second.held_out.before["asks"] == first.held_out.after["asks"]
    card = (tmp_path / "second" / "README.md").read_text()
    assert "| statistic | before | adapter | difference |" in card
    assert "What the adapter was trained on before is not known" in card


def test_most_steps_do_not_lengthen_a_training(base, tmp_path):
    data = write_pairs(tmp_path / "prefs.jsonl")
    settings = {"epochs": 1.0, "batch_size": 10, "eval_fraction": 0.0}
    plain = trained(data, base, tmp_path / "plain", **settings)
    assert trained(data, base, tmp_path / "capped", **settings, max_steps=1000).steps == plain.steps == 4


def test_a_training_of_most_steps_is_not_stopped_within_its_first_pass_either(base, tmp_path):
    data = write_rows(tmp_path / "prefs.jsonl", [pair(number) for number in range(40)])
    held_out = [{**guest(number), "chosen": pair(0)["rejected"], "rejected": pair(0)["chosen"]} for number in range(60)]
    write_rows(
        tmp_path / "prefs.eval.jsonl", [{**row, "conversation_id": f"other {n}"} for n, row in enumerate(held_out)]
    )
    settings = {"batch_size": 2, "patience": 1, "warmup_ratio": 0.0, "epochs": 6.0, "max_steps": 30}
    assert 20 <= trained(data, base, tmp_path / "out", **settings).steps < 30


def test_schedule_and_layers_are_options(base, tmp_path):
    data = write_pairs(tmp_path / "prefs.jsonl")
    settings = {"target_modules": ("q_proj", "v_proj"), "lora_dropout": 0.1, "weight_decay": 0.1, "max_steps": 4}
    trained(data, base, tmp_path / "out", **settings, lr_scheduler_type="constant", warmup_ratio=0.0)
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["target_modules"] == ["q_proj", "v_proj"]
    assert config["lora_dropout"] == 0.1
    rates = [log["learning_rate"] for log in metrics_of(tmp_path / "out")["history"]["dpo"] if "learning_rate" in log]
    assert set(rates) == {2e-2}
    with pytest.raises(UnknownNameError, match="Did you mean 'q_proj'"):
        trained(data, base, tmp_path / "other", target_modules=("q_prj",))
    with pytest.raises(UnknownNameError, match="lr scheduler type"):
        trained(data, base, tmp_path / "other", lr_scheduler_type="cosin")


def figures(**difference):
    """Of 10 conversations in which each figure changes by about so much."""
    pairs = {name: [[(0.0, change * (1 + n / 100))] for n in range(10)] for name, change in difference.items()}
    found = {name: estimate_difference(groups) for name, groups in pairs.items()}
    sides = {"before": found, "after": found, "difference": found}
    return HeldOut(**sides, examples=10, conversations=10, steps=40, kept=40, looks=0, update=0.01)


@pytest.mark.parametrize(
    ("difference", "found"),
    [
        ({"margin": 1.0}, "better"),
        ({"margin": -1.0}, "worse"),
        ({"margin": 0.001}, "no different"),
        ({"loss": -0.1}, "better"),
        ({"loss": 0.1}, "worse"),
        ({"loss": -1e-5}, "no different"),
    ],
)
def test_a_change_counts_where_it_is_sure_and_shows(difference, found):
    verdict = verdict_of(figures(**difference))
    assert verdict.found == found
    assert ("try" in verdict.said.lower()) is (found != "better")


def test_what_was_lost_elsewhere_is_warned_about():
    assert not costs(figures(margin=1.0, ordinary_logp=-0.05))
    [forgotten] = costs(figures(margin=1.0, ordinary_logp=-0.5))
    assert "unlearns what the base could do" in forgotten
    [endless] = costs(figures(margin=1.0, ends=-0.5))
    assert "replies that end before their limit fell" in endless
    [unlikely] = costs(figures(margin=1.0, chosen_logp=-3.0))
    assert "Chosen replies became less likely" in unlikely
    [destroyed] = costs(replace(figures(margin=1.0), update=200.0))
    assert "little can be left of the base" in destroyed
    assert verdict_of(replace(figures(margin=1.0), update=200.0)).said.endswith("see the warnings.")


def test_few_steps_are_the_reason_only_where_they_changed_little():
    few = replace(figures(margin=0.001), steps=5)
    assert "5 optimizer steps, which are few" in verdict_of(replace(few, update=1e-4)).said
    assert "their order may be noise" in verdict_of(replace(few, update=0.2)).said


def test_kto_with_good_replies_alone_does_not_know(base, tmp_path):
    reply = [{"role": "assistant", "content": ASKS}]
    rows = [{"prompt": guest(number)["prompt"], "completion": reply, "label": True} for number in range(40)]
    report = trained(write_rows(tmp_path / "prefs.jsonl", rows), base, tmp_path / "out", method="kto")
    assert report.verdict.found == "not known"
    assert "good replies alone" in report.verdict.said


def test_what_users_and_models_said_is_text_in_the_card_and_nothing_else(tmp_path):
    evil = (
        "a mocha\n\n\x1b[31mRED \x1b]0;title\x07 <img src=x onerror=alert(1)> ![t](http://evil/x.png) "
        "[c](http://evil) `x` </td>\r \u202e\u2028 a|b \\| \x0f"
    )
    figure = estimate_difference([[(0.0, 1.0)], [(1.0, 3.0)]])
    sides = {side: {"chosen_logp": figure} for side in ("before", "after", "difference")}
    replies = [
        RepliesCompared(asked=evil, before=ASKS, after="so " * 900),
        RepliesCompared(asked=ASKS, before="", after=evil),
    ]
    held_out = HeldOut(
        **sides, examples=2, conversations=2, steps=1, kept=1, looks=0, update=None, replies=tuple(replies)
    )
    metrics = {
        "base": "a/base",
        "held_out": held_out.to_dict(),
        "verdict": {"said": "Better than its base."},
        "settings": {"layout": "none"},
        "options": {"method": "dpo"},
        "data": {evil: evil},
        "notes": [evil],
        "warnings": [evil],
        "serve": {"vLLM": "vllm serve base"},
        "versions": {"trl": "1"},
    }
    card = model_card(metrics, tmp_path / "out")
    assert all(char.isprintable() or char == "\n" for char in card)
    html = MarkdownIt("commonmark").enable("table").render(card.partition("---\n\n")[2])
    assert set(re.findall(r"<(?:img|a|script)[^>]*", html)) == {'<img src="curves.png" alt="curves" /'}
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") == 6
    tables = [part.partition("</table>")[0] for part in html.split("<table>")]
    [rows] = [table for table in tables if "<th>asked</th>" in table]
    assert rows.count("<tr>") == 3 and rows.count("<td>") == 6, "one table of them all"
    assert rows.count("a|b \\") == 2
    assert "so " * 90 in rows and "so " * 110 not in rows
    assert "<td>chosen logp</td>" in html


def test_a_change_without_any_spread_counts_and_one_that_is_no_number_is_worse():
    same = estimate_difference([[(0.0, 2.0)] for _ in range(10)])
    assert verdict_of(replace(figures(margin=1.0), difference={"margin": same})).found == "better"
    endless = replace(same, mean=math.nan)
    broken = verdict_of(replace(figures(margin=1.0), difference={"margin": endless}))
    assert broken.found == "worse"
    assert "not a finite number" in broken.said


def test_the_card_has_every_option_that_decides_what_is_learnt(base, tmp_path):
    settings = {"weight_decay": 0.25, "lora_dropout": 0.1, "max_steps": 2, "warmup_ratio": 0.0, "patience": 0}
    trained(write_pairs(tmp_path / "prefs.jsonl", 16), base, tmp_path / "out", **settings)
    card = (tmp_path / "out" / "README.md").read_text()
    rows = {"--weight-decay": 0.25, "--lora-dropout": 0.1, "--max-steps": 2, "--warmup-ratio": 0.0, "--patience": 0}
    assert all(f"| {name} | {value} |" in card for name, value in rows.items())
    assert set(metrics_of(tmp_path / "out")["run"]) >= {name[2:].replace("-", "_") for name in rows}


def test_sft_first_takes_the_rate_that_was_asked_for(base, tmp_path):
    settings = {"sft_first": True, "learning_rate": 1e-3, "sft_learning_rate": None, "warmup_ratio": 0.0, "epochs": 1.0}
    data = write_pairs(tmp_path / "prefs.jsonl", 16)
    trained(data, base, tmp_path / "out", **settings, lr_scheduler_type="constant", eval_fraction=0.0)
    history = metrics_of(tmp_path / "out")["history"]
    rates = {name: {log["learning_rate"] for log in logs if "learning_rate" in log} for name, logs in history.items()}
    assert rates == {"sft": {1e-3}, "dpo": {1e-3}}
