"""What is asked of a broker, and the four answers there can be."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from eventrouter.domain.broker import BrokerOrder, Fill
from eventrouter.domain.signals import LevelKind, OrderType, QuantityKind

MOST_DIGITS = 15
_NUMBERS = ("quantity", "entry_price", "exit_price", "limit_price", "stop_price")
_LEVELS = ("stop_loss", "take_profit", "trail")
_WORDS = {
    "direction": ("LONG", "SHORT"),
    "order_type": tuple(map(str, OrderType)),
    "quantity_kind": tuple(map(str, QuantityKind)),
}
_AS_SAID = ("quantity", "limit_price", "stop_price", *_WORDS, *_LEVELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order for one account. `action` is OPEN, CLOSE, REDUCE, CANCEL or MOVE_STOP; `direction` LONG, SHORT or None when the
    alert named none. Numbers are texts. A stop loss, take profit or trail is a price, or a distance such as "20 ticks".
    `targets` are the broker's ids of the orders that a CANCEL withdraws or a MOVE_STOP changes.
    """

    action: str
    symbol: str | None = None
    direction: str | None = None
    quantity: str | None = None
    quantity_kind: str | None = None
    order_type: str | None = None
    price: str | None = None
    limit_price: str | None = None
    stop_price: str | None = None
    trail: str | None = None
    stop_loss: str | None = None
    take_profit: str | None = None
    account: str
    trade_id: str
    client_order_id: str
    targets: tuple[str, ...] = ()

    def request_hash(self) -> str:
        """SHA-256 over the order's canonical JSON: two orders with one hash ask for the same thing."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def payload_fault(payload: Mapping[str, Any] | None) -> str | None:
    """Why no order can be made of a task's payload, or None. The webhook refuses such values; SQL can enqueue anything."""
    if payload is None:
        return "The payload is not a JSON object that can be read."
    for name, allowed in _WORDS.items():
        value = payload.get(name)
        if value is not None and value not in allowed:
            return f"{name} is {str(value)[:40]!r}; it must be {', '.join(allowed[:-1])} or {allowed[-1]}."
    for name in (*_NUMBERS, *_LEVELS):
        value = payload.get(name)
        if value is None or _is_positive(value) or (name in _LEVELS and _is_distance(value)):
            continue
        kinds = " or {value, kind}" if name in _LEVELS else ""
        return f"{name} is {str(value)[:40]!r}; it must be a number greater than zero{kinds}."
    return None


def _is_distance(value: object) -> bool:
    return isinstance(value, Mapping) and _is_positive(value.get("value")) and value.get("kind") in tuple(LevelKind)


def _is_positive(value: object) -> bool:
    """Whether a JSON value is a finite number, or the text of one, above zero and not absurdly long."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return False
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return False
    return number.is_finite() and number > 0 and -MOST_DIGITS <= number.adjusted() <= MOST_DIGITS


def order_from_payload(
    payload: Mapping[str, Any],
    *,
    client_order_id: str,
    account: str,
    trade_id: str,
    action: str,
    held_symbol: str | None = None,
) -> Order:
    """The order behind a task's payload. What is closed is what the trade holds, whatever symbol the exit names."""

    def text(name: str) -> str | None:
        value = payload.get(name)
        if isinstance(value, Mapping):
            return f"{value['value']} {value['kind']}" + (" trailing" if value.get("trailing") else "")
        return None if value is None else str(value)

    said: dict[str, Any] = {name: text(name) for name in _AS_SAID}
    return Order(
        client_order_id=client_order_id,
        account=account,
        trade_id=trade_id,
        action=action,
        symbol=held_symbol or text("symbol"),
        price=text("entry_price") if action == "OPEN" else text("exit_price"),
        **said,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, if anything: a status code, the text as received, and facts worth keeping."""

    code: int | None = None
    body: str | None = None
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker has the order. `done`: nothing more will happen to it; otherwise it is working.

    `order_id` is the broker's id of it, `order` all that a look-up found, `fills` what was executed of it at once.
    """

    answer: Answer
    done: bool
    order_id: str | None = None
    order: BrokerOrder | None = None
    fills: tuple[Fill, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """The broker's definitive refusal: it executed nothing, and will not.

    `repeatable`: it refused the session and not the order, so that the same order may be taken later. `order` is what a
    look-up found: one that the broker rejected, or that ended without a fill. `gone`: the order to cancel or to change does
    not work any more.
    """

    answer: Answer
    message: str
    repeatable: bool = False
    order: BrokerOrder | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class NotSent:
    """Proof that nothing left: name not resolved, connection refused, TLS failed before the first byte.

    `retry_after_s`: the broker's limit of requests is reached for so long. `late`: we came too late to send it, which tells
    nothing about the broker.
    """

    message: str
    retry_after_s: float | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Anything else: the broker may or may not have the order."""

    answer: Answer
    message: str


Outcome = Accepted | Rejected | NotSent | Unknown


@dataclass(frozen=True, slots=True)
class Absent:
    """A look-up that found no order. `proven`: it certainly never existed, so sending again is safe."""

    proven: bool
    message: str


LookUp = Accepted | Rejected | Absent
