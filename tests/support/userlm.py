"""A served model with the manner of UserLM: plain text, and a token of its own when it leaves."""

from collections.abc import Callable

from support.faults import Body

END = "<|endconversation|>"
SAID = ("\nso i want a mocha", "\nno nuts", f"\nthx{END}assistant\n\nYou're welcome!")
"""What it says, turn by turn: a line break of its template's before it, and what it makes up after the end."""


def userlm(*turns: str) -> Callable[[Body], str]:
    """The brain of a server: the turns in order, by how often the user has spoken; the last for ever."""
    said = turns or SAID

    def brain(body: Body) -> str:
        return said[min(spoken(body), len(said) - 1)]

    return brain


def spoken(body: Body) -> int:
    """How often the model itself has spoken in the chat that it is sent."""
    own = "user" if keeps_sides(body) else "assistant"
    return sum(message["role"] == own for message in body["messages"])


def keeps_sides(body: Body) -> bool:
    return "userlm-8b" in body["model"].lower()
