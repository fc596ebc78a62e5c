"""The ProjectX connector: the protocol's verbs, each one or a few requests to the gateway."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from eventrouter.connectors.base import Capabilities, ConnectionSettings
from eventrouter.connectors.projectx import answers
from eventrouter.connectors.projectx.budget import Budget
from eventrouter.connectors.projectx.credentials import Credentials
from eventrouter.connectors.projectx.directory import Directory, Unresolved
from eventrouter.connectors.projectx.events import Events
from eventrouter.connectors.projectx.gateway import Gateway
from eventrouter.connectors.projectx.history import History
from eventrouter.connectors.projectx.hub import Hub, Pace
from eventrouter.connectors.projectx.login import TOKEN_LIFETIME_S
from eventrouter.connectors.projectx.placing import BracketSigns, Unplaceable, json_number, place_body
from eventrouter.connectors.projectx.prices import Prices
from eventrouter.connectors.projectx.rest import CONNECT_TIMEOUT_S, TIMEOUT_S, Rest
from eventrouter.domain.broker import (
    BrokerAccount,
    BrokerEvent,
    BrokerOrder,
    Change,
    Contract,
    Fill,
    OrderState,
    Position,
    Price,
)
from eventrouter.domain.orders import Absent, Accepted, Answer, LookUp, NotSent, Order, Outcome, Rejected
from eventrouter.errors import BrokerError

BASE_URL = "https://api.topstepx.com"
HUB_URL = "https://rtc.topstepx.com/hubs/user"
MOST_IN_FLIGHT = 40
_LOOK_BACK = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: for a whole request, for its connection, a token's life, and the hub's pace. Clocks are given by tests."""

    timeout_s: float = TIMEOUT_S
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    token_lifetime_s: float = TOKEN_LIFETIME_S
    hub: Pace = field(default_factory=Pace)
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class ProjectXConnector:
    """One login. `accounts`: our names of its accounts, and the broker's name or id of each.

    `unique_ids`: the broker refuses a customTag that its account used before, as it documents. `live_data`: search
    contracts in the live data feed instead of the simulated one.
    """

    def __init__(
        self,
        credentials: Credentials,
        accounts: Mapping[str, str],
        *,
        base_url: str = BASE_URL,
        hub_url: str = HUB_URL,
        bracket_signs: BracketSigns = BracketSigns.SIGNED,
        unique_ids: bool = True,
        live_data: bool = False,
        budget: Budget | None = None,
        timing: Timing | None = None,
    ) -> None:
        timing = timing or Timing()
        self.capabilities = Capabilities(
            # the broker names no limit; with fewer slots than a login's accounts, the last intent of an alert waits for
            # answers to the first
            most_in_flight=MOST_IN_FLIGHT,
            refuses_repeated_ids=unique_ids,
            finds_closed_orders=True,
            lists_ids=True,
            attaches_brackets=True,
        )
        self._signs = bracket_signs
        self._now = timing.now
        self._rest = Rest(base_url, timeout_s=timing.timeout_s, connect_timeout_s=timing.connect_timeout_s)
        self._gateway = Gateway(
            self._rest,
            credentials,
            budget or Budget(timing.clock),
            timing.clock,
            token_lifetime_s=timing.token_lifetime_s,
        )
        self._directory = Directory(self._gateway, accounts, timing.clock, live_data=live_data)
        self._history = History(self._gateway)
        self._prices = Prices(self._gateway, timing.clock, timing.now, live_data=live_data)
        self._events = Events(self._directory.name_of)
        self._hub = Hub(
            hub_url,
            session=lambda: self._rest.session,
            token=self._gateway.login.token,
            forget=self._gateway.login.forget,
            accounts=self._directory.ids,
            on_event=self._events.take,
            on_gap=self._events.gap,
            pace=timing.hub,
        )
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, settings: ConnectionSettings) -> "ProjectXConnector":
        """The connector of a configured login."""
        return cls(
            Credentials(settings.secret["user_name"].get_secret_value(), settings.secret["api_key"]),
            settings.accounts,
            base_url=settings.url or BASE_URL,
            hub_url=settings.hub_url or HUB_URL,
        )

    def __repr__(self) -> str:
        return f"ProjectXConnector({self._rest!r})"

    @property
    def listening(self) -> bool:
        """Whether the hub reports now."""
        return self._hub.connected

    async def open(self) -> None:
        """Makes the HTTP session; the first request logs in."""
        await self._rest.open()
        self._events.begin()

    async def close(self) -> None:
        """Stops listening and closes the session."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        self._events.end()
        await self._rest.close()

    async def send(self, order: Order, *, repeated: bool = False) -> Outcome:
        """Order/place, with its brackets and the client order id as customTag."""
        urgent = order.action != "OPEN"
        try:
            account = await self._directory.account(order.account, urgent=urgent)
            if not account.can_trade and not urgent:
                return _refused(f"The broker does not let account {account.name} trade now.")
            contract = await self._directory.contract(order.symbol or "", urgent=urgent)
            if contract is None:
                return _refused(f"No contract, or more than one, fits {order.symbol!r}.")
            body = place_body(order, contract, int(account.id), self._signs)
        except (Unplaceable, Unresolved) as error:
            return _refused(str(error))
        except BrokerError as error:
            return _not_sent(error)
        return await self._gateway.change(answers.PLACE, body, urgent=urgent, repeated=repeated)

    async def look_up(self, account: str, client_order_id: str, since: datetime | None = None) -> LookUp:
        """Order/search, and where it finds nothing Order/v2/query, for orders with this customTag.

        Absence is never proven: an order may become visible late.
        """
        start = since or self._now() - _LOOK_BACK
        account_id = await self._id(account)
        tagged = await self._history.tagged(account, account_id, client_order_id, start)
        if not tagged:
            return Absent(proven=False, message=f"No order since {start:%Y-%m-%d %H:%M:%S} UTC has this id.")
        return _found(tagged)

    async def cancel(self, account: str, order_id: str) -> Outcome:
        """Order/cancel."""
        if not order_id.isdecimal():
            return _no_such(order_id)
        return await self._change(answers.CANCEL, account, {"orderId": int(order_id)})

    async def modify(self, account: str, order_id: str, change: Change) -> Outcome:
        """Order/modify; only what changes is sent. Prices must lie on the contract's ticks: the broker looks."""
        if not order_id.isdecimal():
            return _no_such(order_id)
        body: dict[str, Any] = {"orderId": int(order_id)}
        if change.quantity is not None:
            if not _whole(change.quantity):
                return _refused(f"{change.quantity:f} is not a whole number of contracts.")
            body["size"] = int(change.quantity)
        for name, price in (("limitPrice", change.limit_price), ("stopPrice", change.stop_price)):
            if price is not None:
                body[name] = json_number(price)
        if len(body) == 1:
            return _refused("Nothing is to be changed.")
        return await self._change(answers.MODIFY, account, body)

    async def close_position(self, account: str, contract: str, quantity: Decimal | None = None) -> Outcome:
        """Position/closeContract, or partialCloseContract for a part: the broker refuses more than is held."""
        if quantity is None:
            return await self._change(answers.CLOSE, account, {"contractId": contract})
        if not _whole(quantity):
            return _refused(f"{quantity:f} is not a whole number of contracts.")
        return await self._change(answers.PARTIAL_CLOSE, account, {"contractId": contract, "size": int(quantity)})

    async def positions(self, account: str) -> Sequence[Position]:
        """Position/searchOpen."""
        return await self._history.positions(account, await self._id(account, urgent=True))

    async def orders(self, account: str, since: datetime | None = None) -> Sequence[BrokerOrder]:
        """Order/search, or Order/searchOpen, which leaves out brackets that still wait for their entry."""
        account_id = await self._id(account, urgent=since is None)
        if since is None:
            return await self._history.working(account, account_id)
        return await self._history.orders(account, account_id, since)

    async def fills(self, account: str, since: datetime) -> Sequence[Fill]:
        """Trade/search."""
        return await self._history.fills(account, await self._id(account), since)

    async def accounts(self) -> Sequence[BrokerAccount]:
        """Account/search, asked anew."""
        return await self._directory.accounts()

    async def contract(self, symbol: str) -> Contract | None:
        """Contract/search by name, or searchById for an id; remembered for some minutes."""
        return await self._directory.contract(symbol)

    async def price(self, contract: str) -> Price | None:
        """History/retrieveBars; remembered for two seconds."""
        return await self._prices.last(contract)

    async def events(self) -> AsyncIterator[BrokerEvent]:
        """The user hub, from the first call on; it reconnects by itself, and each time reports a Gap."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._hub.run())
        while (event := await self._events.next()) is not None:
            yield event

    async def _id(self, account: str, *, urgent: bool = False) -> int:
        return int((await self._directory.account(account, urgent=urgent)).id)

    async def _change(self, endpoint: str, account: str, body: Mapping[str, Any]) -> Outcome:
        """Something that closes, cancels or protects: all of the budget is open to it."""
        try:
            account_id = await self._id(account, urgent=True)
        except Unresolved as error:
            return _refused(str(error))
        except BrokerError as error:
            return _not_sent(error)
        return await self._gateway.change(endpoint, {"accountId": account_id, **body}, urgent=True)


def _found(tagged: Sequence[BrokerOrder]) -> LookUp:
    """The order that counts of those with one tag: a repeat that the broker rejected may bear the same."""
    first = next((order for order in tagged if order.state is not OrderState.REJECTED), tagged[0])
    answer = Answer(200, None, {"orders": [order.id for order in tagged], "state": str(first.state)})
    ended = first.state in (OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED)
    if ended and not first.filled:
        return Rejected(answer, f"The broker shows the order as {first.state}.", order=first)
    done = ended or first.state is OrderState.FILLED
    return Accepted(answer, done=done, order_id=first.id, order=first)


def _refused(message: str) -> Rejected:
    """Refused here, before anything was sent."""
    return Rejected(Answer(detail={"refused_by": "connector"}), message)


def _not_sent(error: BrokerError) -> NotSent:
    return NotSent(str(error), getattr(error, "retry_after_s", None))


def _whole(quantity: Decimal) -> bool:
    return quantity.is_finite() and quantity >= 1 and quantity == quantity.to_integral_value()


def _no_such(order_id: str) -> Rejected:
    return _refused(f"{order_id!r} is no order of this broker: its ids are numbers.")
