"""The engine's objects in the gateway's JSON. Decimals become the JSON numbers of the same digits, up to fifteen of them.

So recorded from the live gateway: a bracket's orders name their entry (`parentOrderId`), the target also names the stop
(`linkedOrderId`), and `trailDistance` is in signed ticks and `trailPrice` the same distance in points.
"""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventrouter.simulator.contracts import Contract
from eventrouter.simulator.orders import Account, HalfTurn, Order, Position, Side
from eventrouter.simulator.tape import Bar

Body = dict[str, Any]


def dumps(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"))


def loads(text: str | bytes) -> Any:
    """JSON with exact decimals; NaN and Infinity are refused (ValueError)."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_float=Decimal, parse_constant=refuse)


def number(value: Decimal | None) -> float | None:
    """A Decimal as a JSON number; its shortest text gives back the same digits."""
    return None if value is None else float(value)


def account_body(account: Account) -> Body:
    """TradingAccountModel."""
    return {
        "id": account.id,
        "name": account.name,
        "balance": number(account.balance),
        "canTrade": account.can_trade,
        "isVisible": account.visible,
        "simulated": account.simulated,
    }


def bar_body(bar: Bar) -> Body:
    """AggregateBarModel."""
    levels = {"o": bar.open, "h": bar.high, "l": bar.low, "c": bar.close}
    return {"t": bar.at.isoformat(), **{name: number(level) for name, level in levels.items()}, "v": bar.volume}


def contract_body(contract: Contract, *, active: bool) -> Body:
    """ContractModel."""
    return {
        "id": contract.id,
        "name": contract.name,
        "description": contract.description,
        "tickSize": number(contract.tick_size),
        "tickValue": number(contract.tick_value),
        "activeContract": active,
        "symbolId": contract.symbol_id,
    }


def order_body(order: Order) -> Body:
    """OrderModel."""
    distance = _trail_ticks(order)
    return {
        "id": order.id,
        "accountId": order.account,
        "contractId": order.contract.id,
        "symbolId": order.contract.symbol_id,
        "creationTimestamp": _time(order.created),
        "updateTimestamp": _time(order.updated),
        "status": int(order.status),
        "type": int(order.type),
        "side": int(order.side),
        "size": order.size,
        "limitPrice": number(order.limit_price),
        "stopPrice": number(order.stop_price),
        "fillVolume": order.filled,
        "filledPrice": number(order.average),
        "customTag": order.tag,
        "trailDistance": distance,
        "trailPrice": None if distance is None else number(distance * order.contract.tick_size),
        "parentOrderId": order.parent,
        "linkedOrderId": order.linked,
    }


def trade_body(turn: HalfTurn) -> Body:
    """HalfTradeModel; `profitAndLoss` is null where the fill opens."""
    return {
        "id": turn.id,
        "accountId": turn.account,
        "contractId": turn.contract.id,
        "creationTimestamp": _time(turn.at),
        "price": number(turn.price),
        "profitAndLoss": number(turn.profit),
        "fees": number(turn.fees),
        "side": int(turn.side),
        "size": turn.size,
        "voided": False,
        "orderId": turn.order,
    }


def position_body(position: Position) -> Body:
    """PositionModel; a position that has just been closed has type 0 and size 0, as the hub sends it."""
    long_or_short = 1 if position.side is Side.BUY else 2
    return {
        "id": position.id,
        "accountId": position.account,
        "contractId": position.contract.id,
        "contractDisplayName": position.contract.name,
        "creationTimestamp": _time(position.created),
        "type": long_or_short if position.size else 0,
        "size": position.size,
        "averagePrice": number(position.average),
    }


def _trail_ticks(order: Order) -> int | None:
    if order.leg is not None:
        return order.leg.ticks
    if order.trail is None:
        return None
    return int(order.trail / order.contract.tick_size)


def _time(at: datetime) -> str:
    return at.isoformat()
