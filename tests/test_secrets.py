"""Text that is shown to people: what could drive their terminal is gone, and the rest is as it was."""

import pytest

from collab_sdk.secrets import harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a \x1b[31mred\x1b[0m bike", "a red bike"),
        ("\x1b]0;title\x07wiped\x9b2J", "]0;titlewiped2J"),
        ("one\r\ntwo\u202e\x00", "one\ntwo"),
        ("a\tb", "a    b"),
        ("Straße 東京", "Straße 東京"),
    ],
)
def test_nobodys_text_drives_a_terminal(text, shown):
    assert harmless(text) == shown
