"""The endpoints: each takes a checked body and gives its answer's own fields, or raises Refused.

Business refusals are HTTP 200 with `success: false` and the endpoint's own number (codes); its fields are then empty.
Not played: loginApp and the market hub.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from eventrouter.simulator import bodies, codes, wire
from eventrouter.simulator.broker import Broker, as_utc
from eventrouter.simulator.codes import Reason, Refused
from eventrouter.simulator.orders import Leg, Order, Shape, Status, Ticket
from eventrouter.simulator.sessions import Sessions
from eventrouter.simulator.tape import MOST_BARS, UNITS_S

Fields = dict[str, Any]
_OPEN = frozenset({Status.OPEN, Status.PENDING})


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its checked body, who asks, and what armed faults do to the order that it makes.

    `made`: orders that it made, for a fault that hides them until it is released.
    """

    broker: Broker
    sessions: Sessions
    body: Any
    user: str
    token: str
    shape: Shape = field(default_factory=Shape)
    made: list[Order] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How one address is served. `empty`: its fields when it refuses. `public`: needs no token."""

    run: Callable[[Call], Fields]
    body: type[Any]
    numbers: Mapping[Reason, int] = field(default_factory=dict)
    empty: Mapping[str, Any] = field(default_factory=dict)
    public: bool = False

    def answer(self, call: Call) -> Fields:
        """The whole answer, also of a refusal."""
        try:
            fields = self.run(call)
        except Refused as refused:
            return self.refusal(self.numbers[refused.reason], refused.message, order=refused.order)
        return {**fields, "success": True, "errorCode": 0, "errorMessage": None}

    def refusal(self, number: int, message: str | None, order: int | None = None) -> Fields:
        """An answer that says no."""
        fields = dict(self.empty)
        if "orderId" in fields:
            fields["orderId"] = order
        return {**fields, "success": False, "errorCode": number, "errorMessage": message}


def _login(call: Call) -> Fields:
    settings = call.broker.settings
    if (call.body.user_name, call.body.api_key) != (settings.user, settings.api_key):
        raise Refused(Reason.CREDENTIALS_INVALID, "Invalid credentials.")
    return {"token": call.sessions.open(settings.user)}


def _validate(call: Call) -> Fields:
    return {"newToken": call.sessions.open(call.user)}


def _logout(call: Call) -> Fields:
    call.sessions.end(call.token)
    return {}


def _search_accounts(call: Call) -> Fields:
    accounts = call.broker.engine.accounts.values()
    shown = [each for each in accounts if each.visible and (each.can_trade or not call.body.only_active_accounts)]
    return {"accounts": [wire.account_body(each) for each in shown]}


def _search_contracts(call: Call) -> Fields:
    day = call.broker.listing()
    found = day.search(call.body.search_text or "")
    return {"contracts": [wire.contract_body(each, active=day.is_active(each)) for each in found]}


def _available_contracts(call: Call) -> Fields:
    return {"contracts": [wire.contract_body(each, active=True) for each in call.broker.listing().active()]}


def _contract_by_id(call: Call) -> Fields:
    day = call.broker.listing()
    contract = day.contracts.get(call.body.contract_id)
    if contract is None:
        raise Refused(Reason.CONTRACT_NOT_FOUND, "Contract not found.")
    return {"contract": wire.contract_body(contract, active=day.is_active(contract))}


def _place(call: Call) -> Fields:
    body: bodies.PlaceOrder = call.body
    call.broker.account(body.account_id)
    ticket = Ticket(
        account=body.account_id,
        contract=call.broker.contract(body.contract_id),
        type=body.type,
        side=body.side,
        size=body.size,
        limit_price=body.limit_price,
        stop_price=body.stop_price,
        trail_price=body.trail_price,
        tag=body.custom_tag,
        stop_loss=_leg(body.stop_loss_bracket),
        take_profit=_leg(body.take_profit_bracket),
    )
    order = call.broker.place(ticket, call.shape)
    call.made.append(order)
    return {"orderId": order.id}


def _leg(bracket: bodies.Bracket | None) -> Leg | None:
    return None if bracket is None else Leg(bracket.ticks, bracket.type)


def _modify(call: Call) -> Fields:
    body: bodies.ModifyOrder = call.body
    call.broker.modify(
        body.account_id,
        body.order_id,
        size=body.size,
        limit_price=body.limit_price,
        stop_price=body.stop_price,
        trail_price=body.trail_price,
    )
    return {}


def _cancel(call: Call) -> Fields:
    call.broker.cancel(call.body.account_id, call.body.order_id)
    return {}


def _search_orders(call: Call) -> Fields:
    orders = call.broker.orders(call.body.account_id)
    start, end = call.body.start_timestamp, call.body.end_timestamp
    return {"orders": [wire.order_body(each) for each in orders if _within(each.created, start, end)]}


def _open_orders(call: Call) -> Fields:
    orders = call.broker.orders(call.body.account_id)
    return {"orders": [wire.order_body(each) for each in orders if each.status in _OPEN]}


def _order_by_id(call: Call) -> Fields:
    for order in call.broker.all_orders(call.body.account_id):
        if order.id == call.body.order_id:
            return {"order": wire.order_body(order)}
    raise Refused(Reason.ORDER_NOT_FOUND, "Order not found.")


def _query_orders(call: Call) -> Fields:
    body: bodies.OrderQuery = call.body
    wanted = body.filter
    found = [
        order
        for order in call.broker.all_orders(wanted.account_id)
        if (wanted.statuses is None or order.status in wanted.statuses)
        and wanted.contract_id in (None, order.contract.id)
        and _within(order.created, wanted.created_after, wanted.created_before)
    ]
    found.sort(key=lambda order: (order.id,) if body.sort_by else (order.created, order.id))
    if body.sort_direction:
        found.reverse()
    page = found[body.page_offset : body.page_offset + body.page_size]
    total = {"totalCount": len(found)} if body.include_total_count else {}
    return {"orders": [wire.order_body(each) for each in page], **total}


def _open_positions(call: Call) -> Fields:
    return {"positions": [wire.position_body(each) for each in call.broker.positions(call.body.account_id)]}


def _close(call: Call) -> Fields:
    call.made.append(call.broker.close(call.body.account_id, call.body.contract_id, shape=call.shape))
    return {}


def _partial_close(call: Call) -> Fields:
    body: bodies.PartialClose = call.body
    call.made.append(call.broker.close(body.account_id, body.contract_id, body.size, call.shape))
    return {}


def _search_trades(call: Call) -> Fields:
    turns = call.broker.trades(call.body.account_id)
    start, end = call.body.start_timestamp, call.body.end_timestamp
    return {"trades": [wire.trade_body(each) for each in turns if _within(each.at, start, end)]}


def _bars(call: Call) -> Fields:
    body: bodies.RetrieveBars = call.body
    contract = call.broker.listing().contracts.get(body.contract_id)
    if contract is None:
        raise Refused(Reason.CONTRACT_NOT_FOUND, "Contract not found.")
    if body.unit not in UNITS_S:
        raise Refused(Reason.UNIT_INVALID, "Invalid unit.")
    if body.unit_number < 1:
        raise Refused(Reason.UNIT_NUMBER_INVALID, "Invalid unit number.")
    if not 1 <= body.limit <= MOST_BARS:
        raise Refused(Reason.LIMIT_INVALID, "Invalid limit.")
    length = timedelta(seconds=UNITS_S[body.unit] * body.unit_number)
    found = call.broker.bars(contract, as_utc(body.start_time), as_utc(body.end_time), length)
    whole = [bar for bar in found if body.include_partial_bar or bar.at + length <= call.broker.now()]
    return {"bars": [wire.bar_body(each) for each in whole[: body.limit]]}


def _within(at: datetime, start: datetime | None, end: datetime | None) -> bool:
    return (start is None or at >= as_utc(start)) and (end is None or at <= as_utc(end))


_ORDERS: Mapping[str, Any] = {"orders": []}
ENDPOINTS: Mapping[str, Endpoint] = {
    "Auth/loginKey": Endpoint(_login, bodies.LoginKey, codes.LOGIN, {"token": None}, public=True),
    "Auth/validate": Endpoint(_validate, bodies.Empty, empty={"newToken": None}),
    "Auth/logout": Endpoint(_logout, bodies.Empty),
    "Account/search": Endpoint(_search_accounts, bodies.AccountSearch, empty={"accounts": []}),
    "Contract/search": Endpoint(_search_contracts, bodies.ContractSearch, empty={"contracts": []}),
    "Contract/available": Endpoint(_available_contracts, bodies.ContractsAvailable, empty={"contracts": []}),
    "Contract/searchById": Endpoint(_contract_by_id, bodies.ContractById, codes.CONTRACT, {"contract": None}),
    "Order/place": Endpoint(_place, bodies.PlaceOrder, codes.PLACE, {"orderId": None}),
    "Order/modify": Endpoint(_modify, bodies.ModifyOrder, codes.MODIFY),
    "Order/cancel": Endpoint(_cancel, bodies.OneOrder, codes.CANCEL),
    "Order/search": Endpoint(_search_orders, bodies.OrderWindow, codes.SEARCH, _ORDERS),
    "Order/searchOpen": Endpoint(_open_orders, bodies.OfAccount, codes.SEARCH, _ORDERS),
    "Order/searchById": Endpoint(_order_by_id, bodies.OneOrder, codes.ORDER_BY_ID, {"order": None}),
    "Order/v2/query": Endpoint(_query_orders, bodies.OrderQuery, codes.SEARCH, _ORDERS),
    "Position/searchOpen": Endpoint(_open_positions, bodies.OfAccount, codes.SEARCH, {"positions": []}),
    "Position/closeContract": Endpoint(_close, bodies.CloseContract, codes.CLOSE),
    "Position/partialCloseContract": Endpoint(_partial_close, bodies.PartialClose, codes.PARTIAL_CLOSE),
    "Trade/search": Endpoint(_search_trades, bodies.TimeWindow, codes.SEARCH, {"trades": []}),
    "History/retrieveBars": Endpoint(_bars, bodies.RetrieveBars, codes.BARS, {"bars": []}),
}
