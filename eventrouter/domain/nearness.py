"""How much of its loss limits an account has used: told at a part of them (80 %), and when they are reached. Pure."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, localcontext

from eventrouter.domain.balances import Balances, drawdown_floor
from eventrouter.domain.book import Book
from eventrouter.domain.denials import EXACT, Denied, plain
from eventrouter.domain.notices import Kind, Notice, Severity, plain_notice
from eventrouter.domain.risk_inputs import RiskLimits


def limit_notices(
    account: str, mode: str, book: Book, limits: RiskLimits, near: Decimal, now: datetime
) -> list[Notice]:
    """A notice for each loss limit of which at least the part `near` is used, buffer included; once a trading day each.

    Figures that are not known, or are of another trading day, say nothing.
    """
    if book.balances is None or book.day != limits.days.of(now):
        return []
    try:
        with localcontext(EXACT):
            used = list(_used(book.balances, limits))
    except Denied:
        return []
    return [
        _notice(account, mode, name, lost, allowed, book, now)
        for name, lost, allowed in used
        if allowed <= 0 or lost >= allowed * near
    ]


def _used(balances: Balances, limits: RiskLimits) -> Iterator[tuple[str, Decimal, Decimal]]:
    """Each loss limit: its name, what was lost of it, and what may be lost in all."""
    if limits.daily_loss is not None:
        yield "daily loss", balances.day_loss(), limits.daily_loss - limits.buffer
    if limits.drawdown is not None:
        room = balances.equity() - drawdown_floor(limits.drawdown, balances)
        yield "drawdown", limits.drawdown.amount - room, limits.drawdown.amount - limits.buffer


def _notice(account: str, mode: str, name: str, lost: Decimal, allowed: Decimal, book: Book, now: datetime) -> Notice:
    reached = lost >= allowed
    word = "reached" if reached else "near"
    share = "" if allowed <= 0 else f" ({int(lost / allowed * 100)} %)"
    dry = " (dry run)" if mode == "dry" else ""
    day = "" if book.day is None else book.day.isoformat()
    return plain_notice(
        Kind.LIMIT,
        Severity.ERROR if reached else Severity.WARNING,
        f"{account}: {name} {word}{dry}",
        f"{plain(lost)} of {plain(allowed)}{share} is used on the trading day {day}, open positions included.",
        topic=f"limit/{account}/{mode}/{name}/{word}/{day}",
        at=now,
        account=account,
    )
