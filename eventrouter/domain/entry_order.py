"""The order that an entry becomes once it is sized, or the log row that says why it becomes none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventrouter.domain.accounts import Account
from eventrouter.domain.contract_choice import Waits
from eventrouter.domain.decide import DueTask
from eventrouter.domain.denials import Denial, whole
from eventrouter.domain.instruments import Product, Rounding
from eventrouter.domain.orders import Order, order_from_payload
from eventrouter.domain.signals import LevelKind
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.wish import Level, Wish, in_ticks, on_tick, points_to_stop, points_to_target

SIMULATED = "dryrun"
"""The connector of accounts that have no broker."""
WAIT_SHORTEST_S = 1.0
WAIT_LONGEST_S = 60.0


@dataclass(frozen=True, slots=True)
class Planned:
    """How much of what an entry opens. `product`: None for a simulated order that cannot be sized; `sizing`: for the log."""

    root: str
    product: Product | None
    quantity: Decimal
    sizing: Mapping[str, Any]
    direction: str | None


def order_of(task: DueTask, account: Account, wish: Wish, planned: Planned, symbol: str) -> Order:
    """The whole order. Raises Denied for prices and levels that make none."""
    order = order_from_payload(
        task.payload or {},
        client_order_id=task.client_order_id,
        account=task.account,
        trade_id=task.trade_id,
        action="OPEN",
    )
    product, direction, named = planned.product, planned.direction, wish.product
    if product is None or direction is None or named is None:
        return replace(order, quantity=order.quantity or whole(planned.quantity))
    trail = order.trail
    if wish.trail is not None and wish.trail.kind is LevelKind.PRICE:
        trail = on_tick(wish.trail.value, "trail", product, direction)
    quantity = planned.quantity
    stop, target = order.stop_loss, order.take_profit
    if wish.stop is not None and not _kept(account, wish, wish.stop):
        points = points_to_stop(wish, wish.stop, direction, named)
        stop = in_ticks(wish.stop, points, "stop_loss", product, quantity, Rounding.UP)
    if wish.target is not None and not _kept(account, wish, wish.target):
        points = points_to_target(wish, wish.target, direction, named)
        target = in_ticks(wish.target, points, "take_profit", product, quantity, Rounding.DOWN)
    return replace(
        order,
        symbol=symbol,
        direction=direction,
        quantity=whole(quantity),
        quantity_kind=None,
        limit_price=on_tick(wish.limit_price, "limit_price", product, direction),
        stop_price=on_tick(wish.stop_price, "stop_price", product, direction),
        trail=trail,
        stop_loss=stop,
        take_profit=target,
    )


def _kept(account: Account, wish: Wish, level: Level) -> bool:
    """A simulated order needs no ticks, so a level without an entry price to count them from stays as it is."""
    relative = level.kind in (LevelKind.PRICE, LevelKind.PERCENT)
    return account.connector == SIMULATED and wish.entry is None and relative


def denied_entry(task: DueTask, denial: Denial) -> LogEntry:
    """The row for an entry that comes to no order."""
    return LogEntry(task.id, task.version, Status.DENIED, denial.code, denial.message, detail=dict(denial.detail))


def refused(task: DueTask, findings: Sequence[Denial], planned: Planned) -> LogEntry:
    """The row for what decided, with everything else that stood against the order and the size it would have had."""
    first, *others = findings
    status = Status.HELD if first.held else Status.EXPIRED if first.code == "TOO_OLD" else Status.DENIED
    order = {"root": planned.root, "direction": planned.direction, "quantity": whole(planned.quantity)}
    detail: dict[str, Any] = {**first.detail, "order": order, "sizing": planned.sizing}
    if others:
        detail["also"] = [{"code": each.code, "message": each.message, **each.detail} for each in others]
    return LogEntry(task.id, task.version, status, first.code, first.message, detail=detail)


def waiting_entry(task: DueTask, waits: Waits, now: datetime) -> LogEntry:
    """The row for an entry whose contract the broker cannot name now: looked at again, the less often the longer it waits."""
    wait_s = min(max(WAIT_SHORTEST_S, (now - task.created_at).total_seconds() / 3), WAIT_LONGEST_S)
    message = f"The broker could not say which contract {waits.symbol} is: {waits.fault}"
    detail = {"symbol": waits.symbol}
    return LogEntry(task.id, task.version, Status.PENDING, "CONTRACT_WAITS", message, detail=detail, run_in_s=wait_s)
