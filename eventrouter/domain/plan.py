"""One signal, many accounts: who gets a task. Read this first; sizing and risk decide later, when the task is claimed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eventrouter.domain.accounts import Account


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


def plan(event_type: str, accounts: Sequence[Account], *, max_age_s: float | None = None) -> tuple[Intent, ...]:
    """The tasks of a signal: one for each enabled account, in the configuration's order. Age never stops an exit."""
    age = max_age_s if opens(event_type) else None
    return tuple(Intent(account.name, age) for account in accounts if account.enabled)
