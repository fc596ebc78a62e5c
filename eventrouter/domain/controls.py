"""Halts and resumes: what an account may do at all. Pure; see db/migrations/0004_accounts.sql for the rows."""

from collections.abc import Iterable
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
    """A row of `controls`: what was ordered for a scope. Of one scope the highest id counts."""

    scope: str
    action: str
    id: int


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
    scopes = {ALL, account_scope(account)} | ({strategy_scope(strategy)} if strategy else set())
    latest: dict[str, Control] = {}
    for row in rows:
        scope = _scope_of(row.scope)
        if scope in scopes and (scope not in latest or row.id > latest[scope].id):
            latest[scope] = row
    found = (_STANDINGS.get(row.action, Standing.HALTED) for row in latest.values())
    return max(found, key=_STRICTNESS.index, default=Standing.ACTIVE)


def _scope_of(text: str) -> str:
    kind, _, name = text.partition(":")
    return strategy_scope(name) if kind == "strategy" else text
