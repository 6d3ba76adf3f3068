"""Axolotl's `chat_template.default`: it renders roles and texts, knows no tools, and takes single messages as sides."""

from collab_sdk.logs.writers.base import PreferenceFormat, Row, more_than_a_text, prompt, side
from collab_sdk.types import PreferencePair

_BEFORE = "<|im_start|>user\n[[dummy_message]]<|im_end|>\n<|im_start|>assistant\n"
"""What stands before a response in the text that Axolotl takes it from, with its ChatML template; others have whole
instructions there, with many a word in them."""


def _rows(pair: PreferencePair) -> list[Row]:
    [chosen], [rejected] = side(pair.chosen), side(pair.rejected)
    return [{"messages": prompt(pair), "chosen": chosen, "rejected": rejected}]


def _cannot_hold(pair: PreferencePair) -> str | None:
    """A response is rendered behind a message of Axolotl's, and taken from where its text is first found.

    Where a template trims it, it is not found, and one bracket is learnt; a word that the template has before it is
    found too early.
    """
    if any(message.tool_calls or message.role == "tool" for message in pair.prompt):
        return "calls in the prompt"
    if problem := more_than_a_text(pair):
        return problem
    texts = [message.content for score in (pair.chosen, pair.rejected) for message in score.response]
    if any(text != text.strip() for text in texts):
        return "white space around a response"
    return "a response of one word" if any(text.isalnum() or text in _BEFORE for text in texts) else None


def _does_without(pair: PreferencePair) -> str | None:
    return "tools" if pair.tools else None


AXOLOTL = PreferenceFormat(rows=_rows, cannot_hold=_cannot_hold, does_without=_does_without)
