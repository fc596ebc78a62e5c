"""Halts and resumes: what an account may do at all. Pure; see db/migrations/0004_accounts.sql for the rows."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from eventrouter.domain.risk_inputs import Standing

ALL = "all"
_STANDINGS = {
    "halt": Standing.HALTED,
    "reduce": Standing.REDUCING,
    "flatten": Standing.REDUCING,  # what is being closed must not be opened again meanwhile
    "resume": Standing.ACTIVE,
}
_STRICTNESS = (Standing.ACTIVE, Standing.REDUCING, Standing.HALTED)


class Control(NamedTuple):
    """A row of `controls`: what was ordered for a scope, by whom, why and when. Of one scope the highest id counts."""

    scope: str
    action: str
    id: int
    actor: str = ""
    reason: str | None = None
    at: datetime | None = None

    def in_words(self) -> str:
        """flatten of account:one by guardian at 2026-11-22 21:08:00 UTC: FLAT_BY: …"""
        by = f" by {self.actor}" if self.actor else ""
        at = "" if self.at is None else f" at {self.at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.action} of {self.scope}{by}{at}{f': {self.reason}' if self.reason else ''}"


def account_scope(name: str) -> str:
    """The scope of an account; names of accounts are told apart by case."""
    return f"account:{name}"


def strategy_scope(name: str) -> str:
    """The scope of a strategy, whose name is the same in any case."""
    return f"strategy:{name.casefold()}"


def standing_of(rows: Iterable[Control], account: str, strategy: str | None) -> Standing:
    """The strictest standing of all accounts, of this one, and of the strategy that a task belongs to (None: of no one's).

    An action that is not known halts. Rows may come in any order; those of other scopes mean nothing here.
    """
    return max(map(_standing, _latest(rows, account, strategy)), key=_STRICTNESS.index, default=Standing.ACTIVE)


def ordered_by(rows: Iterable[Control], account: str, strategy: str | None) -> Control | None:
    """The row that makes the standing what it is; of several the first. None for an active account."""
    found = sorted(_latest(rows, account, strategy), key=lambda row: row.id)
    strictest = max(found, key=lambda row: _STRICTNESS.index(_standing(row)), default=None)
    return None if strictest is None or _standing(strictest) is Standing.ACTIVE else strictest


def _standing(row: Control) -> Standing:
    return _STANDINGS.get(row.action, Standing.HALTED)


def _latest(rows: Iterable[Control], account: str, strategy: str | None) -> list[Control]:
    """Of each scope that concerns them, the row that counts."""
    scopes = {ALL, account_scope(account)} | ({strategy_scope(strategy)} if strategy else set())
    latest: dict[str, Control] = {}
    for row in rows:
        scope = _scope_of(row.scope)
        if scope in scopes and (scope not in latest or row.id > latest[scope].id):
            latest[scope] = row
    return list(latest.values())


def _scope_of(text: str) -> str:
    kind, _, name = text.partition(":")
    return strategy_scope(name) if kind == "strategy" else text
