"""The last price of a contract, from its newest bar. The broker has no other place to ask for one."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from eventrouter.connectors.projectx import answers
from eventrouter.connectors.projectx.gateway import Gateway
from eventrouter.connectors.projectx.json_values import Unreadable, moment, money, objects
from eventrouter.domain.broker import Price
from eventrouter.errors import BrokerRefused, BrokerUnavailable

FRESH_S = 2.0  # one alert for many accounts asks once
_MINUTE = 2
_LOOK_BACK_MIN = 15
_MOST_REMEMBERED = 500


class Prices:
    """`now` is the time by which bars are asked for, `clock` gives seconds that only grow."""

    def __init__(
        self, gateway: Gateway, clock: Callable[[], float], now: Callable[[], datetime], *, live_data: bool
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._now = now
        self._live_data = live_data
        self._lock = asyncio.Lock()
        self._known: dict[str, tuple[Price | None, float]] = {}

    async def last(self, contract: str) -> Price | None:
        """The close of the newest minute, and until when it is known to have stood: now, or that minute's end.

        A bar's own time is its beginning: that of a minute under way is older than fills which came before its close.

        None when nothing was traded for a quarter of an hour, or the broker does not know the contract. Raises BrokerError.
        """
        async with self._lock:
            price, until = self._known.get(contract, (None, float("-inf")))
            if self._clock() < until:
                return price
            price = await self._asked(contract)
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[contract] = (price, self._clock() + FRESH_S)
            return price

    async def _asked(self, contract: str) -> Price | None:
        now = self._now().astimezone(UTC)
        # All bars of the window: which of them a smaller limit would give is not documented.
        query = {
            "contractId": contract,
            "live": self._live_data,
            "startTime": (now - timedelta(minutes=_LOOK_BACK_MIN)).isoformat(timespec="milliseconds"),
            "endTime": (now + timedelta(minutes=1)).isoformat(timespec="milliseconds"),
            "unit": _MINUTE,
            "unitNumber": 1,
            "limit": _LOOK_BACK_MIN + 2,
            "includePartialBar": True,
        }
        try:
            body = await self._gateway.read(answers.BARS, query)
        except BrokerRefused as refused:
            if refused.status == 200:
                return None
            raise
        try:
            bars = [(moment(bar, "t"), money(bar, "c")) for bar in objects(body, "bars")]
        except Unreadable as error:
            raise BrokerUnavailable(f"{answers.BARS}: the answer cannot be read: {error}.") from None
        if not bars:
            return None
        began, close = max(bars)
        return Price(contract, close, max(began, min(now, began + timedelta(minutes=1))))
