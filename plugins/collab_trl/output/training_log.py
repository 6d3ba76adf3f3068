"""What a trainer has logged: a warning, and the curves as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

Log = Mapping[str, float]

FALL = 1.0
"""Nats that a chosen reply may become less likely on average before it is worth a warning."""
PANELS = (
    ("reward", ("reward",)),
    ("tokens of a reply", ("reply_tokens",)),
    ("KL to the base, nats a token", ("kl",)),
    ("share of replies that ask", ("ask_rate",)),
    ("loss", ("loss", "eval_loss")),
    ("loss that chooses", ("eval_watched_loss",)),
    ("reward accuracy", ("rewards/accuracies", "eval_rewards/accuracies")),
    ("reward margin", ("rewards/margins", "eval_rewards/margins")),
    ("log-probability", ("logps/chosen", "logps/rejected", "eval_logps/chosen", "eval_logps/rejected")),
)


def chosen_fall(history: Sequence[Log], *, beta: float) -> str | None:
    """A warning if chosen replies became less likely than they were: DPO then only pushes rejected ones down faster.

    A reward is beta times what the log-probability has gained. The mean of the last tenth of all batches counts, for
    trainings of which nothing is held out.
    """
    batches = [log["rewards/chosen"] for log in history if "rewards/chosen" in log]
    last = batches[-max(1, len(batches) // 10) :]
    fall = -sum(last) / len(last) / beta if last else 0.0
    return less_likely(fall) if fall > FALL else None


def less_likely(fall: float) -> str:
    """The warning, given by how many nats."""
    return (
        f"Chosen replies became less likely, by {fall:.1f} nats on average: the model unlearns them while it unlearns "
        "the rejected ones faster, and its own replies may degenerate. Give the SFT term more weight (--loss sigmoid=1 "
        "--loss sft=2), or take a larger --beta or a smaller --learning-rate."
    )


def draw_curves(stages: Mapping[str, Sequence[Log]], target: Path) -> None:
    """One row of panels for each stage; held-out values are dashed."""
    from matplotlib.figure import Figure

    logged = {key for history in stages.values() for log in history for key in log}
    panels = [(title, keys) for title, keys in PANELS if not logged.isdisjoint(keys)]
    width, height = 4 * len(panels), 3 * len(stages)
    figure = Figure(figsize=(width, height))
    # In inches: matplotlib's own layouts draw everything twice, and a short training waits for it.
    figure.subplots_adjust(left=0.7 / width, right=1 - 0.15 / width, bottom=0.5 / height, top=1 - 0.35 / height)
    figure.subplots_adjust(wspace=0.25, hspace=0.45)
    axes = figure.subplots(len(stages), len(panels), squeeze=False)
    for row, (stage, history) in zip(axes, stages.items(), strict=True):
        for axis, (title, keys) in zip(row, panels, strict=True):
            for key in keys:
                steps, values = _series(history, key)
                if steps:
                    held_out = key.startswith("eval_")
                    name = key.partition("logps/")[2]
                    label = " ".join(filter(None, [name, "held out" if held_out else "train"]))
                    axis.plot(steps, values, "--" if held_out else "-", label=label)
            axis.set_title(f"{stage}: {title}")
            axis.set_xlabel("step")
            if axis.lines:
                axis.legend(fontsize="small")
            else:
                axis.set_visible(False)
    figure.savefig(target, dpi=80)


def _series(history: Sequence[Log], key: str) -> tuple[list[float], list[float]]:
    """Steps and values of one of the trainer's statistics."""
    found = [(float(log["step"]), float(log[key])) for log in history if log.get(key) is not None]
    return [step for step, _ in found], [value for _, value in found]
