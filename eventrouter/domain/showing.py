"""Text from elsewhere as people can be shown it: nothing in it reorders, breaks or hides what stands beside it. Pure."""

import re

REORDERING = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
"""Marks that turn the direction of writing or break a line unseen, as a part of a class of a regular expression."""

_UNSEEN = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{REORDERING}]")


def showable(text: str) -> str:
    """The text with a sign in place of each mark that acts and is not seen; line ends and tabs stay."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)
