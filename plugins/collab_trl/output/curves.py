"""The curves of a training as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from collab_trl.figures import Log, series

PANELS = (
    ("reward", ("reward",)),
    ("tokens of a reply", ("reply_tokens",)),
    ("KL to the base, nats a token", ("kl",)),
    ("share of replies that ask", ("ask_rate",)),
    ("loss", ("loss", "eval_loss")),
    ("reward accuracy", ("rewards/accuracies", "eval_rewards/accuracies")),
    ("reward margin", ("rewards/margins", "eval_rewards/margins")),
    ("log-probability", ("logps/chosen", "logps/rejected", "eval_logps/chosen", "eval_logps/rejected")),
)


def draw_curves(stages: Mapping[str, Sequence[Log]], target: Path) -> None:
    """One row of panels for each stage; held-out figures are dashed."""
    from matplotlib.figure import Figure

    logged = {key for history in stages.values() for log in history for key in log}
    panels = [(title, keys) for title, keys in PANELS if not logged.isdisjoint(keys)]
    figure = Figure(figsize=(4 * len(panels), 3 * len(stages)), layout="constrained")
    axes = figure.subplots(len(stages), len(panels), squeeze=False)
    for row, (stage, history) in zip(axes, stages.items(), strict=True):
        for axis, (title, keys) in zip(row, panels, strict=True):
            for key in keys:
                steps, values = series(history, key)
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
