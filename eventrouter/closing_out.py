"""One round of closing an account at its broker: cancel what works, then close what is held. It talks to the connector only."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eventrouter.connectors.base import Connector
from eventrouter.domain.broker import BrokerOrder, OrderState, Position
from eventrouter.domain.orders import Accepted, NotSent, Outcome, Rejected, Unknown

_STILL = (OrderState.WORKING, OrderState.UNCLEAR)


@dataclass(frozen=True, slots=True)
class Round:
    """What a round found, and what the broker answered to each cancel and close, in order."""

    orders: tuple[BrokerOrder, ...] = ()
    positions: tuple[Position, ...] = ()
    cancels: tuple[Outcome, ...] = ()
    closes: tuple[Outcome, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether the account was flat: no order worked, and then no position was held."""
        return not self.orders and not self.positions

    @property
    def unknown(self) -> bool:
        """Whether something may still be on its way to the broker."""
        return any(isinstance(each, Unknown) for each in (*self.cancels, *self.closes))

    def in_words(self) -> str:
        """What was found and answered, in a sentence."""
        orders = [
            f"order {each.id}: cancel {_said(said)}" for each, said in zip(self.orders, self.cancels, strict=True)
        ]
        closes = [
            f"{each.quantity:f} {each.contract}: close {_said(said)}"
            for each, said in zip(self.positions, self.closes, strict=True)
        ]
        return f"{'; '.join([*orders, *closes]) or 'nothing was found'}."

    def detail(self) -> dict[str, Any]:
        """The same for the log row: `cancelled` and `closed` with the broker's answers."""
        orders, positions = zip(self.orders, self.cancels, strict=True), zip(self.positions, self.closes, strict=True)
        return {
            "cancelled": [{**_order(each), **_answer(said)} for each, said in orders],
            "closed": [{**_position(each), **_answer(said)} for each, said in positions],
            **self.left(),
        }

    def left(self) -> dict[str, Any]:
        """What was there when the round began: `held` and `working`."""
        return {"held": [_position(each) for each in self.positions], "working": [_order(each) for each in self.orders]}


async def close_out(connector: Connector, account: str, still_alone: Callable[[], Awaitable[None]]) -> Round:
    """Makes a round. Orders are read before positions, so that one which fills in between is seen as what it became.

    `still_alone` raises when somebody else may be at it: then nothing is changed that was read before. Raises BrokerError
    when the broker cannot be read.
    """
    orders = _working(await connector.orders(account))
    await still_alone()
    cancels = await asyncio.gather(*(connector.cancel(account, each.id) for each in orders))
    positions = tuple(each for each in await connector.positions(account) if each.quantity)
    await still_alone()
    closes = await asyncio.gather(*(connector.close_position(account, each.contract) for each in positions))
    return Round(orders, positions, tuple(cancels), tuple(closes))


async def is_flat(connector: Connector, account: str) -> bool:
    """Whether no order works and then no position is held; only looks. Raises BrokerError when the broker cannot be read."""
    if _working(await connector.orders(account)):
        return False
    return not any(each.quantity for each in await connector.positions(account))


def _working(orders: Sequence[BrokerOrder]) -> tuple[BrokerOrder, ...]:
    return tuple(each for each in orders if each.state in _STILL)


def _order(order: BrokerOrder) -> dict[str, Any]:
    left = order.quantity - order.filled
    return {"order": order.id, "contract": order.contract, "side": str(order.side), "quantity": f"{left:f}"}


def _position(position: Position) -> dict[str, Any]:
    return {"contract": position.contract, "quantity": f"{position.quantity:f}"}


def _said(outcome: Outcome) -> str:
    match outcome:
        case Accepted():
            return "accepted"
        case Rejected(_, message):
            return f"refused ({message})"
        case Unknown(_, message):
            return f"unanswered ({message})"
        case NotSent(message):
            return f"not sent ({message})"


def _answer(outcome: Outcome) -> dict[str, Any]:
    answer = None if isinstance(outcome, NotSent) else outcome.answer
    code, body = (answer.code, answer.body) if answer is not None else (None, None)
    return {"outcome": _said(outcome), "code": code, "body": None if body is None else body[:1000]}
