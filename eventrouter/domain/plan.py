"""One signal, many accounts: who gets a task. Read this first; sizing and risk decide later, when the task is claimed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from eventrouter.domain.accounts import Account
from eventrouter.domain.trades import Leg


@dataclass(frozen=True, slots=True)
class Intent:
    """A task to enqueue for one account. `max_age_s`: an entry older than this is never sent (None: no limit)."""

    account: str
    max_age_s: float | None


def opens(event_type: str) -> bool:
    """Whether an event adds exposure and waits in line; exits and their like wait only while their lane is sending."""
    return not event_type.startswith(("EXIT", "CANCEL", "REDUCE", "MOVE_STOP", "FLATTEN"))


def follow_trade(planned: Sequence[Intent], event_type: str, held: Iterable[str]) -> tuple[Intent, ...]:
    """What closes goes also to accounts that hold the trade and that the configuration does not name for it any more."""
    if opens(event_type):
        return tuple(planned)
    names = {intent.account for intent in planned}
    return (*planned, *(Intent(account, None) for account in held if account not in names))


def tasks_of(leg: Leg, planned: Sequence[Intent], held: Mapping[str, str | None]) -> tuple[Leg, tuple[Intent, ...]]:
    """The tasks of one leg, and the leg as they have it. `held`: the accounts that hold its trade → the symbol named there.

    What closes follows its trade: to its accounts, at any age, and in its symbol where it names none.
    """
    if opens(leg.event_type):
        return leg, tuple(planned)
    symbol = leg.payload.get("symbol") or next((symbol for symbol in held.values() if symbol), None)
    payload = {**leg.payload, **({"symbol": symbol} if symbol else {})}
    ageless = [replace(intent, max_age_s=None) for intent in planned]
    return replace(leg, payload=payload), follow_trade(ageless, leg.event_type, held)


def plan(event_type: str, accounts: Sequence[Account], *, max_age_s: float | None = None) -> tuple[Intent, ...]:
    """The tasks of a signal: one for each enabled account, in the configuration's order. Age never stops an exit."""
    age = max_age_s if opens(event_type) else None
    return tuple(Intent(account.name, age) for account in accounts if account.enabled)
