"""What acts in a text and is not seen is shown as a sign."""

import pytest

from eventrouter.domain.showing import showable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("never \u202eevil", "never \ufffdevil"),
        ("\u2066a\u2069 \u200fb\ufeff", "\ufffda\ufffd \ufffdb\ufffd"),
        ("one\u2028two", "one\ufffdtwo"),
        ("\x1b[31mred\x07\x9b", "\ufffd[31mred\ufffd\ufffd"),
        ("a line\r\nand\ta \u00e4 \u4f60 \U0001f600", "a line\ufffd\nand\ta \u00e4 \u4f60 \U0001f600"),
    ],
)
def test_showable(text: str, shown: str) -> None:
    """Line ends and tabs stay, and so does every letter."""
    assert showable(text) == shown
