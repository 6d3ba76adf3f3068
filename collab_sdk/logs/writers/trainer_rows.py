"""Rows for training on one's own machines: TRL's formats, UltraFeedback's and Axolotl's."""

import hashlib

from collab_sdk.files import to_json
from collab_sdk.logs.writers.pair_parts import Row, origin, prompt, reply, scores, tools_as_text
from collab_sdk.types import PreferencePair

SCHEMA = "collab/preference/v1"


def trl_rows(pair: PreferencePair) -> list[Row]:
    """TRL's preference type with the prompt by itself: DPO, ORPO, CPO."""
    row = {
        "schema": SCHEMA,
        "prompt": prompt(pair),
        "chosen": [reply(pair.chosen.response)],
        "rejected": [reply(pair.rejected.response)],
        **scores(pair),
        "margin": pair.margin,
        **origin(pair),
    }
    return [row | tools_as_text(pair)]


def trl_implicit_rows(pair: PreferencePair) -> list[Row]:
    """TRL's preference type with the prompt in both sides: reward models.

    Without the margin: RewardTrainer would put a column of that name into its loss.
    """
    row = {"schema": SCHEMA, **_whole(pair), **scores(pair), **origin(pair)}
    return [row | tools_as_text(pair)]


def kto_rows(pair: PreferencePair) -> list[Row]:
    """TRL's unpaired preferences: the chosen response labelled true, the rejected one false."""
    rows = []
    for score, label in ((pair.chosen, True), (pair.rejected, False)):
        row = {"prompt": prompt(pair), "completion": [reply(score.response)], "label": label}
        rows.append({**row, "score": float(score), **origin(pair)} | tools_as_text(pair))
    return rows


def sft_rows(pair: PreferencePair) -> list[Row]:
    """The chosen response as a chat to imitate."""
    return [{"messages": [*prompt(pair), reply(pair.chosen.response)]} | tools_as_text(pair)]


def ultrafeedback_rows(pair: PreferencePair) -> list[Row]:
    """As in `ultrafeedback_binarized`: the first request beside whole conversations."""
    messages = prompt(pair)
    first = next((message["content"] for message in messages if message["role"] == "user"), "")
    whole = _whole(pair)
    row = {
        "prompt": first,
        "prompt_id": hashlib.sha256(to_json(messages).encode()).hexdigest(),
        **whole,
        "messages": whole["chosen"],
        **scores(pair),
    }
    return [row | tools_as_text(pair)]


def axolotl_rows(pair: PreferencePair) -> list[Row]:
    """Axolotl's `chat_template.default`, whose sides are single messages."""
    return [
        {
            "messages": prompt(pair),
            "chosen": reply(pair.chosen.response),
            "rejected": reply(pair.rejected.response),
        }
    ]


def _whole(pair: PreferencePair) -> Row:
    return {
        "chosen": [*prompt(pair), reply(pair.chosen.response)],
        "rejected": [*prompt(pair), reply(pair.rejected.response)],
    }
