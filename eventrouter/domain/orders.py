"""What is asked of a broker, and the four answers there can be."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

MOST_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Order:
    """One order for one account. `action` is OPEN or CLOSE; `direction` LONG, SHORT or None when the alert named none."""

    client_order_id: str
    account: str
    trade_id: str
    action: str
    symbol: str | None
    direction: str | None
    quantity: str | None
    price: str | None
    stop_loss: str | None

    def request_hash(self) -> str:
        """SHA-256 over the order's canonical JSON: two orders with one hash ask for the same thing."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def payload_fault(payload: Mapping[str, Any] | None) -> str | None:
    """Why no order can be made of a task's payload, or None. The webhook refuses such values; SQL can enqueue anything."""
    if payload is None:
        return "The payload is not a JSON object that can be read."
    direction = payload.get("direction")
    if direction is not None and direction not in ("LONG", "SHORT"):
        return f"direction is {str(direction)[:40]!r}; it must be LONG or SHORT."
    for name in ("quantity", "entry_price", "stop_loss", "exit_price"):
        value = payload.get(name)
        if value is not None and not _is_positive(value):
            return f"{name} is {str(value)[:40]!r}; it must be a number greater than zero."
    return None


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
    opening: bool,
    held_symbol: str | None = None,
) -> Order:
    """The order behind a task's payload. What is closed is what the trade holds, whatever symbol the exit names."""

    def text(*names: str) -> str | None:
        return next((str(payload[name]) for name in names if payload.get(name) is not None), None)

    return Order(
        client_order_id=client_order_id,
        account=account,
        trade_id=trade_id,
        action="OPEN" if opening else "CLOSE",
        symbol=held_symbol or text("symbol"),
        direction=text("direction"),
        quantity=text("quantity"),
        price=text("entry_price") if opening else text("exit_price"),
        stop_loss=text("stop_loss"),
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, if anything: a status code, the text as received, and facts worth keeping."""

    code: int | None = None
    body: str | None = None
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker has the order. `done`: nothing more will happen to it; otherwise it is working."""

    answer: Answer
    done: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """The broker's definitive refusal."""

    answer: Answer
    message: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """Proof that nothing left: name not resolved, connection refused, TLS failed before the first byte."""

    message: str
    retry_after_s: float | None = None


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
