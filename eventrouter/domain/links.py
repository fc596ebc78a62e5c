"""Whether an account's broker can be used, and if not, why: what a login shows of its accounts, held against what is configured. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from eventrouter.domain.broker import BrokerAccount
from eventrouter.domain.denials import Denial
from eventrouter.errors import BrokerError, BrokerRefused

_OF_THE_BOOK = frozenset({"STATE_UNKNOWN", "NUMBER_MISSING", "OTHER_DAY", "OUT_OF_SYNC"})
"""Denials that a broker which answers would have prevented."""
_BARS = frozenset({"NO_SUCH_ACCOUNT", "ACCOUNT_AMBIGUOUS", "CANNOT_TRADE"})
"""What the broker says of an account, and not of the login or the line: an order for it would be refused."""
_MOST_NAMES = 20
_MOST_WORDS = 500


class LinkState(StrEnum):
    """`down`: nothing can be sent there, or nobody knows; its code and message say why."""

    OPENING = "opening"
    OPEN = "open"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Link:
    """An account's way to its broker. `code` and `message` say why it is down; `since` is aware, None where that is not known."""

    state: LinkState
    code: str | None = None
    message: str | None = None
    since: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether orders can go there."""
        return self.state is LinkState.OPEN

    def same(self, other: "Link") -> bool:
        """Whether it stands as it did, whatever the words."""
        return (self.state, self.code) == (other.state, other.code)


OPENING = Link(LinkState.OPENING, None, "It is not open yet.")
OPEN = Link(LinkState.OPEN)


def down(code: str, message: str) -> Link:
    """A link that is down; the message is cut to a few hundred characters."""
    return Link(LinkState.DOWN, code, message[:_MOST_WORDS])


def link_of_error(error: BaseException) -> Link:
    """What a question that failed says of the whole login."""
    if isinstance(error, BrokerRefused):
        return down("LOGIN_REFUSED", f"The broker refused the login: {error}")
    said = (
        str(error) if isinstance(error, BrokerError) else f"The connector failed: {type(error).__name__}."
    )  # whose words may hold anything
    return down("BROKER_UNREACHABLE", said)


def links_of(names: Mapping[str, str], shown: Sequence[BrokerAccount]) -> dict[str, Link]:
    """Our account → its link, from all accounts that the login shows. `names`: ours → the broker's name or id."""
    return {name: _link(wanted, shown) for name, wanted in names.items()}


def _link(wanted: str, shown: Sequence[BrokerAccount]) -> Link:
    found = [each for each in shown if wanted in (each.id, each.name)]
    if not found:
        known = ", ".join(each.name for each in shown[:_MOST_NAMES]) or "none"
        more = f" and {len(shown) - _MOST_NAMES} more" if len(shown) > _MOST_NAMES else ""
        return down("NO_SUCH_ACCOUNT", f"The login has no account {wanted!r}. It has: {known}{more}.")
    if len(found) > 1:
        ids = ", ".join(each.id for each in found[:_MOST_NAMES])
        return down(
            "ACCOUNT_AMBIGUOUS",
            f"The login has several accounts {wanted!r}; set broker_account to one of their ids: {ids}.",
        )
    if not found[0].can_trade:
        return down("CANNOT_TRADE", f"The broker does not let account {wanted!r} trade now.")
    return OPEN


def link_from_row(row: Sequence[Any] | None) -> Link | None:
    """From [state, code, message, since as text], as read_account_facts() has it; None where no router said anything."""
    if not row:
        return None
    state, code, message, since = row
    return Link(LinkState(state), code, message, None if since is None else datetime.fromisoformat(since))


def barred(link: Link | None) -> Denial | None:
    """Why nothing can be opened on this account, as its broker said when it was last asked; None where it may be."""
    if link is None or link.state is not LinkState.DOWN or link.code not in _BARS:
        return None
    return Denial(link.code, link.message or "The broker does not take it.", {"since": _since(link)})


def _since(link: Link) -> str:
    return "" if link.since is None else f"{link.since:%Y-%m-%d %H:%M:%S} UTC"


def explained(denial: Denial, link: Link | None, *, has_book: bool) -> Denial:
    """The denial with its cause, where it is about facts that only the broker can tell."""
    if denial.code not in _OF_THE_BOOK:
        return denial
    if link is not None and link.state is LinkState.DOWN:
        since = _since(link)
        cause = f"{link.code}: {link.message}" + (f" (since {since})" if since else "")
    elif has_book:
        return denial
    else:
        cause = "no router has it" if link is None else "its broker was not read yet"
    begin = "" if has_book else "No book of this account yet: "
    detail = {**denial.detail, **({"connection": link.code} if link is not None and link.code else {})}
    return replace(denial, message=f"{denial.message} {begin}{cause}", detail=detail)
