"""An engine with two accounts and a price of MNQ, and the orders that its tests give."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from eventrouter.simulator.contracts import listing
from eventrouter.simulator.engine import Engine
from eventrouter.simulator.orders import Account, Leg, Order, OrderType, Side, Ticket
from eventrouter.simulator.settings import BracketMode

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
DAY = listing(date(2026, 11, 23))
MNQ, ZF = DAY.contracts["CON.F.US.MNQ.Z26"], DAY.contracts["CON.F.US.FVA.Z26"]
FEE = Decimal("0.37")
START = Decimal(50_000)
ONE, OTHER = 101, 102


def engine(**more: Any) -> Engine:
    """An engine with two accounts."""
    made = Engine(fee_per_side=FEE, **more)
    for number in (ONE, OTHER):
        made.accounts[number] = Account(number, f"SIM-{number}", START, BracketMode.AUTO_OCO)
    return made


def ticket(kind: OrderType = OrderType.MARKET, side: Side = Side.BUY, size: int = 1, **more: Any) -> Ticket:
    """What is asked of the account ONE for MNQ."""
    return Ticket(**{"account": ONE, "contract": MNQ, "type": kind, "side": side, "size": size, **more})


def bracketed(size: int = 2, side: Side = Side.BUY, stop: int = 40, target: int = 80, **more: Any) -> Ticket:
    """A market order with a stop and a target so many ticks away."""
    sign = side.sign
    legs: dict[str, Any] = {
        "stop_loss": Leg(-sign * stop, OrderType.STOP),
        "take_profit": Leg(sign * target, OrderType.LIMIT),
    }
    return ticket(side=side, size=size, tag="t", **{**legs, **more})


def legs_of(made: Engine, entry: Order) -> tuple[Order, Order]:
    """Stop and target."""
    stop, target = (made.orders[each] for each in entry.legs)
    return stop, target


def price(made: Engine, text: str) -> None:
    """Posts a price of MNQ, which starts at 24000."""
    made.post(MNQ, Decimal(text), NOW)
