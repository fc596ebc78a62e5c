"""Dead letters: what to do about each, and what keeps one from being sent again. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from eventrouter.domain.denials import plain
from eventrouter.domain.tasks import Status

SUGGESTIONS: Mapping[str, str] = MappingProxyType(
    {
        "REJECTED": "Read the broker's answer. Mend what it names and retry, retry with another value, or discard.",
        "FOUND_REJECTED": "Read the broker's answer. Mend what it names and retry, retry with another value, or discard.",
        "REJECTED_LATE": "The broker took it and rejected it later. Look why there, then retry or discard.",
        "EXPIRED_AT_BROKER": "It ended without a fill. Retry it if it is still meant, else discard.",
        "CANCELLED_AT_BROKER": "Somebody or the broker cancelled it. Find out who, then retry or discard.",
        "NOT_SENT": "It never left this machine. See that the broker can be reached, then retry; an old entry is better discarded.",
        "SESSION_REFUSED": "The broker refused the login each time. See eventrouter credentials list, then retry.",
        "NOT_PROVEN": "Look at the broker for its client order id, its contract and its time. There and done: resolve. There and "
        "working: wait, or cancel it there and discard. Certainly not there: retry, or discard.",
        "NOT_OURS": "Compare the order found with what was sent. If it is this one: resolve. If it is not: look whether another one "
        "is there, then retry or discard.",
    }
)
"""What to do about a dead letter, by the code that opened it."""

_OTHERWISE: Mapping[str, str] = MappingProxyType(
    {
        Status.FAILED: "Read its log. Mend what it names and retry, or discard.",
        Status.REVIEW: "Look at the broker for its client order id first. Done there: resolve. Certainly not there: retry, or discard.",
    }
)

CHANGEABLE = ("quantity", "symbol", "order_type", "limit_price", "stop_price", "stop_loss", "take_profit")
"""What of an order can be changed when it is sent again as another task."""

SHORTEST_AGE = timedelta(minutes=1)


def suggestion(code: str, status: str) -> str:
    """What to do about a letter: a sentence or two."""
    return SUGGESTIONS.get(code) or _OTHERWISE.get(status, "")


@dataclass(frozen=True, slots=True)
class Retry:
    """How a task is to be sent again. `confirm`: its id once more, which a task in REVIEW needs.

    `changes`: order fields → new values as text; then it is sent as another task.
    """

    confirm: int | None = None
    even_if_old: bool = False
    even_if_held: bool = False
    changes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RetryFacts:
    """A dead task and what the books say. Quantities are texts; `differences`: [contract, the broker's, ours], signed.

    `filled`: contract → what its own orders executed; `working`: [order id, side, left, contract]; `held`: contract → what its
    trade holds, above zero long; `orders`: [order id, side, quantity, filled, contract, state] of all that it ever had;
    `accepted_at`: since when it is ACCEPTED, where it is.
    """

    version: int
    status: Status
    event_type: str
    opening: bool
    trade_id: str
    account: str
    mode: str
    payload: Any
    client_order_id: str
    expires_at: datetime | None
    received_at: datetime
    now: datetime
    intent: Mapping[str, Any] | None
    filled: Mapping[str, str]
    working: Sequence[Sequence[str]]
    held: Mapping[str, str]
    differences: Sequence[Sequence[str]] | None
    orders: Sequence[Sequence[str]] = ()
    accepted_at: datetime | None = None


def obstacle(task_id: int, facts: RetryFacts, retry: Retry) -> tuple[str, str] | None:
    """Why it may not be sent again (code, sentence), or None. What nobody can overrule comes first, the confirmation last."""
    if facts.filled:
        done = ", ".join(f"{plain(Decimal(quantity))} {contract}" for contract, quantity in facts.filled.items())
        return (
            "WOULD_DOUBLE",
            f"Task {task_id} has executed {done} already: it would be done twice. Resolve it instead.",
        )
    # an order is often shown as filled before its fills are, and a FAILED task needs no confirmation
    for order_id, _, _, filled, contract, state in facts.orders:
        if Decimal(filled) > 0:
            shown = f"The broker shows order {order_id} of task {task_id} as {state}, {plain(Decimal(filled))} {contract} filled"
            return "WOULD_DOUBLE", f"{shown}: it would be done twice. Look at the broker's position, then resolve it."
    if facts.working:
        order_id, side, left, contract = facts.working[0]
        said = f"order {order_id} of task {task_id} works at the broker: {side} {plain(Decimal(left))} {contract}"
        return "WOULD_DOUBLE", f"It would be done twice: {said}. Cancel that one first."
    if not retry.even_if_held and (why := _held_already(facts)):
        return "WOULD_DOUBLE", f"{why} If it is meant all the same: even if it may have been done (--even-if-held)."
    if facts.opening and facts.expires_at is not None and facts.now >= facts.expires_at and not retry.even_if_old:
        age_s, limit_s = ((each - facts.received_at).total_seconds() for each in (facts.now, facts.expires_at))
        said = f"The entry is {age_s:.0f} s old, and its limit was {limit_s:g} s."
        return "TOO_OLD", f"{said} If it is still meant: even if it is old (--even-if-old)."
    if facts.status is Status.REVIEW and retry.confirm != task_id:
        said = f"Whether the broker has {facts.client_order_id} is not known: sent again, it may be executed twice."
        return "NOT_CONFIRMED", f"{said} Look there first, then confirm with the task's id: --confirm {task_id}."
    return None


def _held_already(facts: RetryFacts) -> str | None:
    """What the account holds of what the task would do: in its trade by our books, or at the broker and nowhere in our books."""
    intent = facts.intent or {}
    contract, direction = intent.get("contract"), intent.get("direction") or _payload(facts).get("direction")
    asked = f" It would open {intent['quantity']} more." if facts.opening and intent.get("quantity") else ""
    sign = {"LONG": 1, "SHORT": -1}.get(str(direction), 0)
    if facts.event_type == "ENTRY":
        for held_contract, quantity in facts.held.items():
            if Decimal(quantity) * sign > 0:
                held = f"Trade {facts.trade_id} holds {plain(Decimal(quantity))} {held_contract} on {facts.account} already."
                return held + asked
    for its_contract, theirs, ours, *_ in facts.differences or ():
        difference = Decimal(theirs) - Decimal(ours)
        wanted = sign if facts.opening else -_sign(Decimal(facts.held.get(its_contract, "0")))
        if its_contract == contract or not facts.opening:
            figures = f"{plain(Decimal(theirs))} {its_contract}, and our fills add up to {plain(Decimal(ours))}"
            if difference * wanted > 0:
                return f"The broker holds {figures}: it may have been done.{asked}"
    return None


def _sign(value: Decimal) -> int:
    return (value > 0) - (value < 0)


def _payload(facts: RetryFacts) -> Mapping[str, Any]:
    return facts.payload if isinstance(facts.payload, Mapping) else {}


def expires_anew(facts: RetryFacts, retry: Retry) -> datetime | None:
    """Until when an entry may be sent: an old one has its age limit once more from now on, a minute at least."""
    if not (facts.opening and retry.even_if_old and facts.expires_at is not None and facts.now >= facts.expires_at):
        return facts.expires_at
    return facts.now + max(SHORTEST_AGE, facts.expires_at - facts.received_at)
