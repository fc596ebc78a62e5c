"""/_control: how a test steers the broker. Errors are 400 with a sentence. It has no password: listen on loopback only.

GET  ledger                {executions, rows}; ?tag=… for one client order id
GET  accounts              accounts with positions and working orders;  PATCH accounts/ID changes one
GET  prices                last prices;  POST {contract id or name: price} posts them, in this order
GET  clock                 {now, frozen};  POST {set, advance_s, frozen}
GET  faults                what is armed;  POST arms one (see faults);  DELETE faults[/ID];  POST faults/ID/release
GET  requests              how many arrived at each endpoint
POST tokens/expire         every token given out ends now
GET  hub                   {connections, muted};  POST {drop, muted}
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StrictInt, TypeAdapter, ValidationError

from eventrouter.simulator import wire
from eventrouter.simulator.broker import Broker, as_utc
from eventrouter.simulator.faults import FAULT, Hide
from eventrouter.simulator.gateway import Gateway
from eventrouter.simulator.hub import Hub
from eventrouter.simulator.settings import BracketMode

_PRICES: TypeAdapter[dict[str, Decimal]] = TypeAdapter(dict[str, Decimal])


class _Change(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AccountChange(_Change):
    """What is given is set."""

    balance: Decimal | None = None
    brackets: BracketMode | None = None
    can_trade: bool | None = None
    visible: bool | None = None
    simulated: bool | None = None
    follower: bool | None = None
    margin: Decimal | None = Field(default=None, ge=0)
    most: StrictInt | None = Field(default=None, ge=0)


class ClockChange(_Change):
    """`set`, then `frozen`, then `advance_s` are done, as far as they are given."""

    set: datetime | None = None
    frozen: bool | None = None
    advance_s: float | None = None


class HubChange(_Change):
    """`drop` closes every connection; `muted` loses every event from now on."""

    drop: bool = False
    muted: bool | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """Its handlers; every one that changes something lets the broker act on it before it answers."""

    broker: Broker
    gateway: Gateway
    hub: Hub

    def routes(self) -> list[web.RouteDef]:
        """All of /_control."""
        at = "/_control"
        return [
            web.get(f"{at}/ledger", _answered(self.ledger)),
            web.get(f"{at}/accounts", _answered(self.accounts)),
            web.patch(f"{at}/accounts/{{id:[0-9]+}}", _answered(self.change_account)),
            web.get(f"{at}/prices", _answered(self.prices)),
            web.post(f"{at}/prices", _answered(self.post_prices)),
            web.get(f"{at}/clock", _answered(self.clock)),
            web.post(f"{at}/clock", _answered(self.change_clock)),
            web.get(f"{at}/faults", _answered(self.faults)),
            web.post(f"{at}/faults", _answered(self.arm)),
            web.delete(f"{at}/faults", _answered(self.disarm_all)),
            web.delete(f"{at}/faults/{{id:[0-9]+}}", _answered(self.disarm)),
            web.post(f"{at}/faults/{{id:[0-9]+}}/release", _answered(self.release)),
            web.get(f"{at}/requests", _answered(self.requests)),
            web.post(f"{at}/tokens/expire", _answered(self.expire_tokens)),
            web.get(f"{at}/hub", _answered(self.hub_state)),
            web.post(f"{at}/hub", _answered(self.change_hub)),
        ]

    async def ledger(self, request: web.Request) -> Any:
        """What was executed."""
        rows, tag = self.broker.ledger.rows, request.query.get("tag")
        if tag is not None:
            rows = [row for row in rows if row["tag"] == tag]
        return {"executions": self.broker.ledger.executions(rows), "rows": rows}

    async def accounts(self, _request: web.Request) -> Any:
        """Every account."""
        return [self._account(number) for number in self.broker.engine.accounts]

    async def change_account(self, request: web.Request) -> Any:
        """Sets an account's fields."""
        number = int(request.match_info["id"])
        if number not in self.broker.engine.accounts:
            raise ValueError(f"There is no account {number}.")
        change = AccountChange.model_validate(await _json(request))
        account = self.broker.engine.accounts[number]
        for name in change.model_fields_set:
            setattr(account, name, getattr(change, name))
        return self._account(number)

    async def prices(self, _request: web.Request) -> Any:
        """Last prices of all listed contracts, by id, as text."""
        contracts = self.broker.listing().contracts.values()
        return {each.id: str(self.broker.engine.price(each)) for each in contracts}

    async def post_prices(self, request: web.Request) -> Any:
        """Posts prices; nothing is posted when one of them is wrong."""
        posted = _PRICES.validate_python(await _json(request))
        found = {name: self.broker.listing().find(name) for name in posted}
        checked = []
        for name, price in posted.items():
            contract = found[name]
            if contract is None:
                raise ValueError(f"{name[:40]!r} is no listed contract.")
            if not price.is_finite() or price <= 0 or not contract.on_grid(price):
                raise ValueError(f"{price} is no price of {name}: ticks are {contract.tick_size}.")
            checked.append((contract, price))
        for contract, price in checked:
            self.broker.post(contract, price)
        return {contract.id: str(price) for contract, price in checked}

    async def clock(self, _request: web.Request) -> Any:
        """The broker's time."""
        return {"now": self.broker.now().isoformat(), "frozen": self.broker.clock.frozen}

    async def change_clock(self, request: web.Request) -> Any:
        """Moves, stops or starts the clock."""
        change = ClockChange.model_validate(await _json(request))
        clock = self.broker.clock
        if change.set is not None:
            clock.set(as_utc(change.set))
        if change.frozen is not None:
            clock.freeze(frozen=change.frozen)
        if change.advance_s is not None:
            clock.advance(change.advance_s)
        self.broker.advance()
        return await self.clock(request)

    async def faults(self, _request: web.Request) -> Any:
        """All faults, also those that are used up."""
        return [each.body() for each in self.gateway.faults.armed.values()]

    async def arm(self, request: web.Request) -> Any:
        """Arms a fault."""
        return self.gateway.faults.arm(FAULT.validate_python(await _json(request))).body()

    async def disarm_all(self, _request: web.Request) -> Any:
        """Disarms all, and releases what they hold."""
        return [self._disarm(number) for number in list(self.gateway.faults.armed)]

    async def disarm(self, request: web.Request) -> Any:
        """Disarms one, and releases what it holds."""
        return self._disarm(int(request.match_info["id"]))

    async def release(self, request: web.Request) -> Any:
        """Lets stalled requests go on, and shows what is hidden."""
        return self._release(int(request.match_info["id"]))

    async def requests(self, _request: web.Request) -> Any:
        """Requests by endpoint."""
        return dict(self.gateway.requests)

    async def expire_tokens(self, _request: web.Request) -> Any:
        """Ends all tokens."""
        return {"expired": self.gateway.sessions.expire_all()}

    async def hub_state(self, _request: web.Request) -> Any:
        """The hub's connections."""
        return {"connections": len(self.hub.connections), "muted": self.hub.muted}

    async def change_hub(self, request: web.Request) -> Any:
        """Drops connections, or loses events."""
        change = HubChange.model_validate(await _json(request))
        if change.muted is not None:
            self.hub.muted = change.muted
        return {"dropped": self.hub.drop() if change.drop else 0, "muted": self.hub.muted}

    def _account(self, number: int) -> wire.Body:
        account = self.broker.engine.accounts[number]
        working = [each for each in self.broker.engine.orders.values() if each.account == number and each.working]
        return {
            **wire.account_body(account),
            "balance": str(account.balance),
            "brackets": account.brackets.value,
            "follower": account.follower,
            "margin": str(account.margin),
            "most": account.most,
            "positions": [wire.position_body(each) for each in self.broker.positions(number)],
            "working": [wire.order_body(each) for each in working],
        }

    def _disarm(self, number: int) -> wire.Body:
        body = self._release(number)
        del self.gateway.faults.armed[number]
        return body

    def _release(self, number: int) -> wire.Body:
        armed = self.gateway.faults.armed.get(number)
        if armed is None:
            raise ValueError(f"There is no fault {number}.")
        armed.released.set()
        if isinstance(armed.fault, Hide):
            self.broker.reveal(armed.hidden)
        return armed.body()


async def _json(request: web.Request) -> Any:
    return wire.loads(await request.read() or b"{}")


def _answered(handler: Callable[[web.Request], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """JSON of what the handler gives, or 400 and what is wrong."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return web.json_response(await handler(request), dumps=wire.dumps)
        except ValidationError as wrong:
            said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong.errors())
            return web.json_response({"error": said}, status=400)
        except (ValueError, RecursionError) as wrong:
            return web.json_response({"error": str(wrong)}, status=400)

    return answer
