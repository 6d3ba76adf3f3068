"""Whether an adapter is better than its base, or than the one it began with, by what was held out, in a sentence."""

from math import isfinite

from collab_sdk.stats import LEAST_MEAN, Estimate
from collab_sdk.training import ASSISTANT, USER, HeldOut, Verdict
from collab_trl.defaults import FEW_STEPS
from collab_trl.output.training_log import FALL, less_likely

SMALL_UPDATE = 1e-3
"""Of the layers' size; what bfloat16 can tell apart is four times as much."""
LARGE_UPDATE = 1e-2
"""Of the layers' size: whoever changed so much has learnt something."""
JUDGED_BY = {"margin": 1e-2, "loss": 1e-3}
"""Figures, and what of each, in nats, is nothing that shows in a reply, however sure it is."""
FORGOTTEN = 0.2
"""Nats a token that ordinary replies may become less likely before it is worth a warning."""
NOT_JUDGED = Verdict(
    found="not judged", said="Nothing was held out, so it is not known whether it is better than its base."
)


def verdict_of(held_out: HeldOut | None, *, role: str = ASSISTANT) -> Verdict:
    """By the margin of pairs, or the loss of replies that were to be learnt, on examples that chose nothing."""
    if held_out is None:
        return Verdict(
            found="not known",
            said="No conversation is held out, so it is not known whether it is better than its base: give more rows, "
            "or --eval-fraction 0 to take it as it is.",
        )
    name = next((name for name in JUDGED_BY if name in held_out.difference), None)
    if name is None:
        return Verdict(
            found="not known",
            said=f"It is not known whether it is better than {held_out.against}: what is held out has good replies "
            "alone, or bad ones alone, so that it does not show whether they are told apart. Give rows of both.",
        )
    difference = held_out.difference[name]
    if held_out.conversations < LEAST_MEAN:
        return Verdict(
            found="not known",
            said=f"It is not known whether it is better than {held_out.against}: {held_out.conversations} held-out "
            f"conversations are too few to tell, at least {LEAST_MEAN} are needed. Give more rows, or a larger "
            "--eval-fraction.",
        )
    if not isfinite(difference.mean):
        return Verdict(
            found="worse",
            said=f"Worse than {held_out.against}: the {name} of held-out examples is not a finite number any more. Try "
            "a much smaller --learning-rate.",
        )
    # Without an interval all examples changed by the same.
    least, most = (difference.mean if end is None else end for end in (difference.low, difference.high))
    rise = f"the {name} changed by {difference:+.3g} {'nats' if name == 'margin' else 'nats a token'}"
    on = f"on {held_out.examples:,} held-out examples of {held_out.conversations:,} conversations {rise}"
    low, high = (least, most) if name == "margin" else (-most, -least)
    if low > 0 and abs(difference.mean) >= JUDGED_BY[name]:
        but = " It has its price: see the warnings." if costs(held_out, role=role) else ""
        return Verdict(found="better", said=f"Better than {held_out.against}: {on}.{but}")
    if high < 0 and abs(difference.mean) >= JUDGED_BY[name]:
        return Verdict(
            found="worse",
            said=f"Worse than {held_out.against}: {on}. Try a smaller --learning-rate or fewer --epochs"
            + ("." if role == USER else ", and look at whether the rows contradict each other."),
        )
    said = f"Not distinguishable from {held_out.against}: {on}. {_why(held_out, role)}"
    return Verdict(found="no different", said=said)


def costs(held_out: HeldOut, *, role: str = ASSISTANT) -> list[str]:
    """Warnings of what was lost elsewhere, whatever the verdict."""
    said = []
    chosen, forgotten, ends = (held_out.difference.get(name) for name in ("chosen_logp", "ordinary_logp", "ends"))
    if held_out.update is not None and held_out.update > 1:
        said.append(
            f"The adapter adds {held_out.update:.0%} to the weights, more than there was: little can be left of the "
            "base. Take a much smaller --learning-rate."
        )
    if chosen is not None and _fell(chosen, FALL):
        said.append(less_likely(-chosen.mean))
    if forgotten is not None and _fell(forgotten, FORGOTTEN):
        said.append(
            f"Ordinary replies became less likely, by {-forgotten.mean:.2f} nats a token: the adapter unlearns what "
            "the base could do. Take a smaller --learning-rate, fewer --epochs, or a larger --beta."
        )
    if ends is not None and ends.high is not None and ends.high < 0:
        said.append(
            f"The share of its own replies that end before their limit fell from {held_out.before['ends'].mean:.0%} to "
            f"{held_out.after['ends'].mean:.0%}: they may repeat themselves. "
            + (
                "Take a smaller --learning-rate or fewer --epochs."
                if role == USER
                else "Give the SFT term more weight (--loss sigmoid=1 --loss sft=2), or take a smaller --learning-rate."
            )
        )
    return said


def _fell(difference: Estimate, by: float) -> bool:
    """By so much at least, and surely."""
    return difference.high is not None and difference.high < 0 and difference.mean <= -by


def _why(held_out: HeldOut, role: str) -> str:
    """Why it may be, and what to try."""
    update = f"changes the weights by {held_out.update:.2%}" if held_out.update is not None else "is small"
    is_small = held_out.update is None or held_out.update < LARGE_UPDATE
    if held_out.steps < FEW_STEPS and is_small:
        return (
            f"It made {held_out.steps} optimizer steps, which are few: try more rows, more --epochs, or a smaller "
            "--batch-size."
        )
    if held_out.update is not None and held_out.update < SMALL_UPDATE:
        return f"The adapter {update} in {held_out.steps} steps: try a higher --learning-rate or more --epochs."
    if role == USER:
        return f"The adapter {update}, but that hardly shows in chats it has not seen: try more of them."
    return (
        f"The adapter {update}, but that hardly shows in rows it has not seen: their order may be noise, or they are "
        "too few to learn it from. Try pairs that are surer (export-prefs --min-confidence), or more of them."
    )
