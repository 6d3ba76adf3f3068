"""Chats written out as one text, with the name of the speaker before what each says: Anthropic's HH, and its heirs."""

import re
from typing import Any

_HH = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant): ?")
_HEADED = re.compile(r"(?:\A|\n)\s*### ?(Human|Assistant): ?")
_CHATML = re.compile(r"(?:\A|\n)?<\|im_start\|>(\w+)\n")
_BEGINS = {
    _HH: re.compile(r"\s*Human:.*?(?:\n\n)Assistant:", re.DOTALL),
    _HEADED: re.compile(r"\s*### ?(?:Human|Assistant):"),
    _CHATML: re.compile(r"\s*<\|im_start\|>\w+\n"),
}


def transcript(text: Any) -> list[dict[str, Any]] | None:
    """The messages of such a text, without an empty last one, which waits for an answer; None for any other text."""
    if not isinstance(text, str):
        return None
    mark = next((mark for mark, begins in _BEGINS.items() if begins.match(text)), None)
    if mark is None:
        return None
    _, *parts = mark.split(text)
    messages = [
        {"role": role, "content": said.strip().removesuffix("<|im_end|>").rstrip()}
        for role, said in zip(parts[::2], parts[1::2], strict=True)
    ]
    if messages and not messages[-1]["content"]:
        messages.pop()
    return messages
