"""A random sequence of alerts, prices, halts and broker faults, and what must hold whatever it was."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from eventrouter.store.connect import Database
from eventrouter.store.controls import set_control
from tests.live.market import Row
from tests.live.rig import PATIENCE_S, Rig
from tests.processes import until_async

START, TICK = 24_000.0, 0.25
FAULTS: Sequence[tuple[str, dict[str, Any]]] = (
    ("drop", {"when": "before"}),
    ("drop", {"when": "after"}),
    ("cut", {}),
    ("http", {"when": "after", "status": 500}),
    ("http", {"when": "before", "status": 500}),
    ("http", {"when": "before", "status": 429, "retry_after_s": 1}),
    ("refuse", {"when": "before", "code": 2}),
    ("refuse", {"when": "after", "code": 6}),
    ("reject_later", {"seconds": 0.1}),
    ("partial", {"contracts": 1}),
    ("partial", {"contracts": 1, "rest": "cancel"}),
    ("delay", {"seconds": 0.3}),
    ("hide", {"seconds": 0.3}),
    ("stall", {"when": "before", "seconds": 0.3}),
    ("stall", {"when": "after", "seconds": 0.3}),
    ("drop", {"when": "after", "endpoint": "Order/cancel"}),
    ("refuse", {"when": "before", "code": 3, "endpoint": "Order/cancel"}),
    ("http", {"when": "before", "status": 500, "endpoint": "Order/search"}),
)
OPEN = "('PENDING', 'HELD', 'SENDING', 'UNKNOWN')"
WEIGHTS = {"enter": 8, "add": 2, "leave": 3, "reduce": 2, "reverse": 1, "cancel": 1, "price": 6, "fault": 4, "halt": 1}
WEIGHTS |= {"settle": 6, "drop_hub": 1}
RESUMED = 0.25


@dataclass
class Walk:
    """One sequence: the same seed asks for the same things in the same order."""

    rig: Rig
    draw: Random
    price: float = START
    trades: list[str] = field(default_factory=list)
    halted: list[tuple[datetime, datetime]] = field(default_factory=list)
    halted_since: datetime | None = None
    weights: Mapping[str, int] = field(default_factory=lambda: WEIGHTS)

    async def steps(self, number: int) -> None:
        """Does so many things, then lets everything come to rest. A halt lasts for a few of them."""
        for name in self.draw.choices(list(self.weights), list(self.weights.values()), k=number):
            await getattr(self, f"_{name}")()
            if self.halted_since is not None and self.draw.random() < RESUMED:
                await self._halt()
        if self.halted_since is not None:
            await self._halt()
        await self.rig.market.disarm()
        await self._settle()

    async def leave_all(self) -> None:
        """An exit of every trade, no repeat of one before; returns once nothing is held anywhere and no order works."""
        for trade in self.trades:
            await self._post({"action": "exit", "trade_id": trade, "price": self.price + TICK / 4})

        async def flat() -> bool:
            accounts = (await self.rig.market.accounts()).values()
            return not any(account["positions"] or account["working"] for account in accounts)

        try:
            await until_async(flat, within_s=PATIENCE_S, what="a flat account")
        except TimeoutError:
            raise AssertionError(f"Still held: {await self.rig.market.accounts()}\n{self.rig.watch}") from None

    # what can happen

    async def _enter(self) -> None:
        self.trades.append(f"T{len(self.trades) + 1}")
        side = self.draw.choice(["long", "short"])
        sign = 1 if side == "long" else -1
        alert: dict[str, Any] = {"action": "buy" if sign > 0 else "sell", "side": side, "trade_id": self.trades[-1]}
        alert |= {"quantity": self.draw.randint(1, 3), "price": self.price}
        if self.draw.random() < 0.5:
            alert |= {"stop_loss": self.price - sign * 10, "take_profit": self.price + sign * 10}
        if self.draw.random() < 0.25:
            alert |= {"order_type": "limit", "limit_price": self.price - sign * self.draw.randint(0, 8)}
        await self._post(alert)

    async def _add(self) -> None:
        await self._post({"action": "add", "trade_id": self._trade(), "quantity": 1, "price": self.price})

    async def _leave(self) -> None:
        await self._post({"action": "exit", "trade_id": self._trade()})

    async def _reduce(self) -> None:
        await self._post({"action": "reduce", "trade_id": self._trade(), "quantity": 1})

    async def _cancel(self) -> None:
        await self._post({"action": "cancel", "trade_id": self._trade()})

    async def _reverse(self) -> None:
        side = self.draw.choice(["long", "short"])
        self.trades.append(f"T{len(self.trades) + 1}")
        await self._post(
            {"action": "reverse", "side": side, "quantity": 1, "price": self.price, "trade_id": self.trades[-1]}
        )

    async def _price(self) -> None:
        self.price += self.draw.randint(-40, 40) * TICK
        await self.rig.market.price("MNQ", self.price)

    async def _fault(self) -> None:
        fault, how = self.draw.choice(FAULTS)
        await self.rig.market.arm(fault, **how)

    async def _drop_hub(self) -> None:
        await self.rig.market.client.control("hub", {"drop": True})

    async def _flatten(self) -> None:
        """Closes everything, and halts with that. What resumes it may come before it is done."""
        if self.halted_since is None:
            await self._halt("flatten")

    async def _halt(self, action: str = "halt") -> None:
        """Halts, or resumes."""
        action = action if self.halted_since is None else "resume"
        before = await self._now()
        async with await Database(self.rig.dsn).connect("walk") as conn:
            await set_control(conn, "all", action, "walk", "a step of the walk")
        if self.halted_since is not None:
            self.halted.append((self.halted_since, before))
        self.halted_since = await self._now() if action != "resume" else None

    async def _settle(self) -> None:
        """Waits until nothing is on its way to the broker. What waits for a working entry, and entries behind it, may wait on;
        so may entries behind one in REVIEW, for which nobody comes here. No exit may."""
        query = (
            f"SELECT id, account, event_type, status FROM execution_tasks t WHERE status IN {OPEN} AND NOT EXISTS ("
            " SELECT FROM execution_tasks w JOIN execution_logs l ON l.task_id = w.id AND l.seq = w.version"
            " WHERE w.lane = t.lane AND w.status = 'PENDING' AND l.reason = 'WAITS_FOR_ENTRY'"
            " AND (w.id = t.id OR t.opening AND w.id < t.id))"
            " AND NOT (t.opening AND EXISTS (SELECT FROM execution_tasks r"
            " WHERE r.lane = t.lane AND r.status = 'REVIEW' AND r.id < t.id))"
        )
        seen: list[Row] = []

        async def idle() -> bool:
            seen[:] = await self.rig.rows(query)
            if seen:  # an order that fills in parts needs a price for each
                await self.rig.market.price("MNQ", self.price)
            return not seen

        try:
            await until_async(idle, within_s=PATIENCE_S, what="nothing under way")
        except TimeoutError:
            raise AssertionError(f"Still under way: {seen}\n{self.rig.watch}") from None

    def _trade(self) -> str:
        return self.draw.choice(self.trades[-4:] or ["none"])

    async def _post(self, alert: Mapping[str, Any]) -> None:
        status, answer = await self.rig.site.alert(self.rig.token, {"symbol": "MNQ1!", **alert})
        assert status in (200, 422), answer

    async def _now(self) -> datetime:
        found: datetime = (await self.rig.rows("SELECT clock_timestamp() AS now"))[0]["now"]
        return found

    # what must hold

    async def check(self, most: Mapping[int, int]) -> None:
        """Every rule, on the broker's ledger and on our log. `most`: contracts that an account of the broker may hold."""
        await self.rig.both_sides()
        ledger = await self.rig.market.ledger()
        tasks = await self.rig.rows("SELECT event_type, client_order_id FROM execution_tasks")
        closing = {row["client_order_id"] for row in tasks if row["event_type"] not in ("ENTRY", "ADD")}
        repeated, too_large = once(await self.rig.market.executions()), beyond(ledger, closing, most)
        assert repeated == [], repeated
        assert too_large == [], f"{too_large}\n{self.rig.watch}"
        for since, until in self.halted:
            sent = await self.rig.rows(
                "SELECT task_id FROM execution_logs l JOIN execution_tasks t ON t.id = l.task_id"
                " WHERE l.reason = 'INTENT' AND t.event_type IN ('ENTRY', 'ADD') AND l.created_at BETWEEN %s AND %s",
                since,
                until,
            )
            assert sent == [], "entries were sent while halted"


def once(executions: Mapping[str, Row]) -> list[Row]:
    """Client order ids that were executed more than once."""
    return [row for row in executions.values() if row["executed"] > 1]


def beyond(ledger: Sequence[Row], closing: set[str], most: Mapping[int, int]) -> list[tuple[Row, int, int]]:
    """Fills after which an account held more than it may, and closing fills that were larger than the position."""
    net: Counter[int] = Counter()
    found = []
    for row in ledger:
        if row["what"] != "filled":
            continue
        before = net[row["account"]]
        after = before + row["size"] * (1 if row["side"] == "BUY" else -1)
        net[row["account"]] = after
        closes = row["tag"] in closing or row["tag"] is None or row["parent"] is not None
        too_large = closes and (abs(after) >= abs(before) or before * after < 0)
        if too_large or abs(after) > most[row["account"]]:
            found.append((row, before, after))
    return found
