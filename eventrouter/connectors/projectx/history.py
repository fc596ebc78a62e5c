"""What the broker lists: orders, fills, positions."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from eventrouter.connectors.projectx import answers
from eventrouter.connectors.projectx.budget import KEPT_FROM_BOOKS
from eventrouter.connectors.projectx.gateway import Gateway
from eventrouter.connectors.projectx.json_values import Unreadable, objects, optional_words, whole_number
from eventrouter.connectors.projectx.reading import fill_of, order_of, position_of
from eventrouter.domain.broker import BrokerOrder, Fill, Position
from eventrouter.errors import BrokerRefused, BrokerUnavailable

CLOCK_SKEW = timedelta(seconds=60)  # the broker's clock may be behind ours: an order is older than its intent by that
_PAGE = 100
_MOST_PAGES = 20
_NO_SUCH_QUERY = 404

_Read = TypeVar("_Read")


class History:
    """Asks for one account at a time: `account` is our name, `number` the broker's id. Raises BrokerError."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def tagged(self, account: str, number: int, tag: str, since: datetime) -> list[BrokerOrder]:
        """Orders with this customTag, the oldest first; a bracket's orders are not their entry's."""
        found = await self._searched(number, since)
        if not any(_bears(item, tag) for item in found):
            found = await self._queried(number, since)
        # only what bears the tag is read: an order of somebody else's that we cannot read is not in the way
        bearing = [item for item in found if _bears(item, tag)]
        orders = _all(bearing, order_of, account, number, answers.ORDER_SEARCH)
        return sorted(
            (order for order in orders if order.parent_id is None), key=lambda order: (order.created_at, int(order.id))
        )

    async def orders(self, account: str, number: int, since: datetime) -> list[BrokerOrder]:
        """All orders since then."""
        found = await self._searched(number, since, spared=KEPT_FROM_BOOKS)
        return _all(found, order_of, account, number, answers.ORDER_SEARCH)

    async def working(self, account: str, number: int) -> list[BrokerOrder]:
        """Orders that work now."""
        body = await self._gateway.read(answers.ORDERS_OPEN, {"accountId": number}, urgent=True)
        return _all(_listed(body, "orders", answers.ORDERS_OPEN), order_of, account, number, answers.ORDERS_OPEN)

    async def fills(self, account: str, number: int, since: datetime) -> list[Fill]:
        """Half turns since then, the oldest first."""
        asked = {"accountId": number, "startTimestamp": _stamp(since)}
        body = await self._gateway.read(answers.TRADES, asked, spared=KEPT_FROM_BOOKS)
        fills = _all(_listed(body, "trades", answers.TRADES), fill_of, account, number, answers.TRADES)
        return sorted(fills, key=lambda fill: (fill.at, int(fill.id)))

    async def positions(self, account: str, number: int) -> list[Position]:
        """What is held."""
        body = await self._gateway.read(answers.POSITIONS, {"accountId": number}, urgent=True)
        held = _all(_listed(body, "positions", answers.POSITIONS), position_of, account, number, answers.POSITIONS)
        return [position for position in held if position.quantity]

    async def _searched(self, number: int, since: datetime, *, spared: int = 0) -> list[dict[str, Any]]:
        asked = {"accountId": number, "startTimestamp": _stamp(since - CLOCK_SKEW)}
        body = await self._gateway.read(answers.ORDER_SEARCH, asked, spared=spared)
        return _listed(body, "orders", answers.ORDER_SEARCH)

    async def _queried(self, number: int, since: datetime) -> list[dict[str, Any]]:
        """The second search, page by page. Nothing where the gateway has none.

        Whether pageOffset counts pages or orders is not documented. The second page tells: where it shows an order of the
        first one again, orders are counted. When some stay unseen that would be no absence, and BrokerUnavailable is raised.
        """
        found: dict[int, dict[str, Any]] = {}
        asked = {"filter": {"accountId": number, "createdAfter": _stamp(since - CLOCK_SKEW)}, "pageSize": _PAGE}
        offset, counts_orders = 0, False
        for page in range(_MOST_PAGES):
            query = {**asked, "pageOffset": offset, "includeTotalCount": True}
            try:
                body = await self._gateway.read(answers.ORDER_QUERY, query)
            except BrokerRefused as refused:
                if refused.status == _NO_SUCH_QUERY:
                    return []
                raise
            items = {_whole(item, "id"): item for item in _listed(body, "orders", answers.ORDER_QUERY)}
            before = len(found)
            counts_orders = counts_orders or (page == 1 and bool(items.keys() & found.keys()))
            found |= items
            offset = len(found) if counts_orders else page + 1
            total = _whole(body, "totalCount") if body.get("totalCount") is not None else None
            if len(found) == total or (total is None and (len(items) < _PAGE or len(found) == before)):
                return list(found.values())
            if len(found) == before:
                break
        raise BrokerUnavailable(f"{answers.ORDER_QUERY}: not all of its orders can be read.")


def _bears(item: Mapping[str, Any], tag: str) -> bool:
    try:
        return optional_words(item, "customTag") == tag
    except Unreadable:
        return False


def _whole(item: Mapping[str, Any], name: str) -> int:
    try:
        return whole_number(item, name)
    except Unreadable as error:
        raise BrokerUnavailable(f"{answers.ORDER_QUERY}: the answer cannot be read: {error}.") from None


def _listed(body: Mapping[str, Any], name: str, endpoint: str) -> list[dict[str, Any]]:
    try:
        return objects(body, name)
    except Unreadable as error:
        raise BrokerUnavailable(f"{endpoint}: the answer cannot be read: {error}.") from None


def _all(
    items: Sequence[dict[str, Any]],
    read: Callable[[Mapping[str, Any], str], _Read],
    account: str,
    number: int,
    endpoint: str,
) -> list[_Read]:
    try:
        if any(whole_number(item, "accountId") != number for item in items):
            raise Unreadable("it shows another account")  # noqa: TRY301 - one place says what unreadable means
        return [read(item, account) for item in items]
    except Unreadable as error:
        raise BrokerUnavailable(f"{endpoint}: the answer cannot be read: {error}.") from None


def _stamp(at: datetime) -> str:
    """A time as the broker writes them; it must have a zone."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
