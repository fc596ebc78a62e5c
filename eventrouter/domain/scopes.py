"""What a halt, a resume or a flattening is for: everything, one account, or one strategy."""

from collections.abc import Collection
from difflib import get_close_matches

from eventrouter.domain.controls import ALL
from eventrouter.errors import ScopeWrong

_KINDS = ("account", "strategy")
_SHOWN = 10


def scope_of(text: str, accounts: Collection[str], strategies: Collection[str]) -> str:
    """`all`, `account:NAME` or `strategy:NAME` with the name as it is known; strategies are one in any letter case.

    Raises ScopeWrong, which says what there is instead: a halt of nothing would look like one of something.
    """
    if text == ALL:
        return ALL
    kind, colon, name = text.partition(":")
    if kind not in _KINDS or not colon or not name:
        raise ScopeWrong(f"{text!r} is no scope: use all, account:NAME or strategy:NAME.")
    known = accounts if kind == "account" else strategies
    if name in known:
        return text
    same = [each for each in known if each.casefold() == name.casefold()]
    if kind == "strategy" and same:
        return f"strategy:{same[0]}"
    raise ScopeWrong(f"There is no {kind} {name!r}.{_instead(kind, name, known)}")


def _instead(kind: str, name: str, known: Collection[str]) -> str:
    folded = {each.casefold(): each for each in known}
    close = get_close_matches(name.casefold(), folded, n=3, cutoff=0.7)
    if close:
        return f" Did you mean {' or '.join(f'{kind}:{folded[each]}' for each in close)}?"
    if not known:
        return f" No {kind} is known yet."
    listed = sorted(known)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f" There is {', '.join(listed[:_SHOWN])}{more}."
