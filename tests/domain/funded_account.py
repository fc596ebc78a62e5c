"""An account that may trade, and short words for what differs from it.

50,000 at first, 51,500 at its best close, 51,000 when today began. It may hold 5 contracts (10 micros are one), send 3
entries a minute, lose 1,000 a day; its floor trails the best close by 2,000 and stops at 50,000. It keeps 100 away from
both. It is Friday 2026-11-20, 09:00 in Chicago.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from eventrouter.domain.balances import Balances, Drawdown, Trail
from eventrouter.domain.risk import Verdict, judge
from eventrouter.domain.risk_inputs import AccountState, Automation, Exposure, Proposal, RiskLimits, Standing
from eventrouter.domain.trading_day import TradingDays, Window

D = Decimal
NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
BALANCES = Balances(D(50000), D(51000), D(0), D(51000), D(51500), D(52000))
LIMITS = RiskLimits(
    days=TradingDays("America/Chicago", time(17)),
    live=True,
    automation=Automation.ALLOWED,
    approve_within=timedelta(minutes=10),
    instruments=frozenset({"NQ", "MNQ"}),
    windows=(Window(time(8, 30), time(15, 30), frozenset(range(5))),),
    flat_by=time(15, 10),
    early_closes=((date(2026, 11, 27), time(12)),),
    max_contracts=D(5),
    micros_per_contract=D(10),
    max_orders_per_minute=3,
    daily_loss=D(1000),
    drawdown=Drawdown(Trail.END_OF_DAY, D(2000), D(50000)),
    buffer=D(100),
    max_price_off=D(1),
)
STATE = AccountState(
    standing=Standing.ACTIVE,
    exposures=(),
    owner_exposures=(),
    intents_at=(),
    balances=BALANCES,
    day=date(2026, 11, 20),
    last_price=D(20000),
    last_price_at=NOW - timedelta(seconds=10),
)
ORDER = Proposal(
    opening=True,
    root="NQ",
    side="LONG",
    quantity=D(1),
    price=D(20000),
    mode="live",
    received_at=NOW - timedelta(seconds=2),
    max_age=timedelta(seconds=60),
)


def ago(*seconds: float) -> tuple[datetime, ...]:
    """Instants before NOW."""
    return tuple(NOW - timedelta(seconds=second) for second in seconds)


def own(*held: tuple[str, str, str]) -> dict[str, Any]:
    """Positions and working entries of the account itself: side, quantity, root."""
    return {"exposures": tuple(Exposure("mine", root, side, D(quantity)) for side, quantity, root in held)}


def other(*held: tuple[str, str, str]) -> dict[str, Any]:
    """The same of the owner's other account."""
    return {"owner_exposures": tuple(Exposure("other", root, side, D(quantity)) for side, quantity, root in held)}


def money(**changed: str) -> dict[str, Any]:
    """Other balances."""
    values: dict[str, Any] = {name: D(text) for name, text in changed.items()}
    return {"balances": replace(BALANCES, **values)}


def drawdown(trail: str, amount: str, stops_at: str | None = None, **changed: Any) -> dict[str, Any]:
    """Another drawdown rule and no daily loss limit."""
    stop = None if stops_at is None else D(stops_at)
    return {"daily_loss": None, "drawdown": Drawdown(Trail(trail), D(amount), stop), **changed}


def at(text: str, day: str) -> dict[str, Any]:
    """Another instant: the alert, the last price and the trading day move with it."""
    return {"now": datetime.fromisoformat(text).replace(tzinfo=UTC), "day": date.fromisoformat(day)}


NO_DAILY = {"daily_loss": None}
NO_WINDOW = {"windows": (), "flat_by": None}


def judged(
    proposal: Mapping[str, Any], state: Mapping[str, Any], limits: Mapping[str, Any], when: Mapping[str, Any]
) -> Verdict:
    """The gate's answer with these differences."""
    order, account, now = ORDER, STATE, NOW
    if when:
        now = when["now"]
        order = replace(order, received_at=now - timedelta(seconds=2))
        account = replace(account, day=when["day"], last_price_at=now)
    return judge(replace(order, **proposal), replace(account, **state), replace(LIMITS, **limits), now)
